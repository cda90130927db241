//! Certificates as files and as facts.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{hash, id::MemberId};

/// Prefix of the URI subject alternative name that names a member.
pub const MEMBER_URN: &str = "urn:signpost:member:";

/// Why a PEM file or a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read as PEM.
    #[error("reading {0}")]
    Read(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
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

/// Reads a private key.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| Error::Read(path.to_owned(), error))
}

/// Reads the facts of a certificate in PEM form.
pub fn facts_of_pem(pem: &str) -> Result<Facts, Error> {
    facts(&CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::NotCertificate)?)
}

/// Reads the facts of a certificate.
pub fn facts(der: &CertificateDer<'_>) -> Result<Facts, Error> {
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(der).map_err(|_| Error::NotCertificate)?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let member_id = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(MEMBER_URN)?.parse().ok(),
            _ => None,
        })
        .ok_or(Error::NoMember)?;
    let not_after =
        Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MIN);
    Ok(Facts { fingerprint: hash::sha256(der), member_id, not_after })
}
