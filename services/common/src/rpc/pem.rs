//! Certificates as files and as facts.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use crate::{hash, id::MemberId, secret_file};

/// Prefix of the URI subject alternative name that names a member.
pub const MEMBER_URN: &str = "urn:signpost:member:";

/// Why a PEM file or a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read as PEM.
    #[error("reading {0}")]
    Read(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The file with a private key cannot be read, or everybody may read it.
    #[error("reading the private key {0}")]
    Secret(PathBuf, #[source] std::io::Error),
    /// The file holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// The file holds what is neither a certificate nor a list of revoked ones.
    #[error("{0} cannot be read beyond its PEM form")]
    Unreadable(PathBuf),
    /// The file holds no list of revoked certificates.
    #[error("{0} holds no list of revoked certificates")]
    NoRevocations(PathBuf),
    /// The text is not a PEM certificate.
    #[error("not a PEM certificate")]
    NotCertificate,
    /// The certificate names no member.
    #[error("the certificate has no subject alternative name {MEMBER_URN}ID")]
    NoMember,
}

/// What the exchange needs to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
    /// Member that its subject alternative name states.
    pub member_id: MemberId,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Reads a certificate chain.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = |error| Error::Read(path.to_owned(), error);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(read)?.collect();
    let chain = chain.map_err(read)?;
    if chain.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(chain) }
}

/// Reads lists of revoked certificates.
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let read = |error| Error::Read(path.to_owned(), error);
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(path).map_err(read)?.collect();
    let lists = lists.map_err(read)?;
    if lists.is_empty() { Err(Error::NoRevocations(path.to_owned())) } else { Ok(lists) }
}

/// Returns from when on a list of revoked certificates is out of date; `None` when it cannot be read or does not say.
pub fn next_update(list: &CertificateRevocationListDer<'_>) -> Option<Timestamp> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    Timestamp::from_second(list.next_update()?.timestamp()).ok()
}

/// Returns when a certificate ends.
pub fn ends(der: &CertificateDer<'_>) -> Result<Timestamp, Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Error::NotCertificate)?;
    Ok(Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MIN))
}

/// Reads a private key, from a file that is not open to everybody.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = secret_file::read(path).map_err(|error| Error::Secret(path.to_owned(), error))?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| Error::Read(path.to_owned(), error))
}

/// Reads the facts of a certificate in PEM form.
pub fn facts_of_pem(pem: &str) -> Result<Facts, Error> {
    facts(&CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::NotCertificate)?)
}

/// Reads the facts of a certificate.
pub fn facts(der: &CertificateDer<'_>) -> Result<Facts, Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Error::NotCertificate)?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let member_id = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(MEMBER_URN)?.parse().ok(),
            _ => None,
        })
        .ok_or(Error::NoMember)?;
    Ok(Facts { fingerprint: hash::sha256(der), member_id, not_after: ends(der)? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::rpc::token::{self, Signer};

    #[test]
    fn a_private_key_that_everybody_may_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        // RFC 8410, 10.3.
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        std::fs::write(&path, key).unwrap();
        let signs = || Signer::from_file("north".parse().unwrap(), "k", &path, &[0; 32]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        private_key(&path).unwrap();
        signs().unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(private_key(&path), Err(Error::Secret(file, _)) if file == path));
        assert!(matches!(signs(), Err(token::Error::Read(file, _)) if file == path));
    }
}
