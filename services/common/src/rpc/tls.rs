//! TLS 1.3 with client certificates, everywhere.
//!
//! A server asks for a client certificate and lets a connection without one through to admission, which
//! refuses every call on it with a reason the caller can read; a certificate that does not verify ends the
//! handshake. No session is resumed: resumption would revive an expired certificate. Where lists of revoked certificates are
//! named, a certificate that they do not speak for is refused, and all are once a list is out of date.

use std::{fmt, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use serde::{Deserialize, Serialize};

use super::pem;
use crate::{hash, id::MemberId};

/// The files of a party: who it trusts and who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Certificate authorities that are trusted, PEM.
    pub ca: PathBuf,
    /// Own certificate chain, PEM.
    pub cert: PathBuf,
    /// Own private key, PEM.
    pub key: PathBuf,
    /// Lists of revoked certificates, PEM; one of each authority, or none at all.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
}

impl Files {
    /// Returns all of them.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca, &self.cert, &self.key].into_iter().chain(&self.crl)
    }
}

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is of no use.
    #[error(transparent)]
    Pem(#[from] pem::Error),
    /// Certificate and key do not fit, or are not usable.
    #[error("setting up TLS with {0}")]
    Rustls(PathBuf, #[source] rustls::Error),
    /// The certificate authorities cannot be used to verify others.
    #[error("verifying others with {0}")]
    Verifier(PathBuf, #[source] rustls::server::VerifierBuilderError),
    /// The certificate has ended.
    #[error("the certificate {0} ended at {1}")]
    Ended(PathBuf, Timestamp),
    /// The certificate does not verify: others would not take it either.
    #[error("verifying the own certificate {0} with {1}")]
    Own(PathBuf, PathBuf, #[source] rustls::Error),
    /// The certificate is somebody else's.
    #[error("the certificate {0} names another member than the one before")]
    Renamed(PathBuf),
    /// A list of revoked certificates is out of date.
    #[error("the list of revoked certificates {0} is out of date since {1}")]
    Stale(PathBuf, Timestamp),
}

/// Why a certificate that was good at the handshake is so no longer, or was not then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It has ended.
    #[error("the client certificate has expired")]
    Expired,
    /// Its authority revoked it.
    #[error("the client certificate was revoked by its authority")]
    Revoked,
    /// Nobody knows whether its authority revoked it.
    #[error("the list of revoked certificates is out of date, or says nothing of the client certificate")]
    RevocationUnknown,
    /// Its authority is not trusted.
    #[error("the client certificate's authority is not trusted")]
    AuthorityUnknown,
    /// It is of no use otherwise.
    #[error("the client certificate does not verify")]
    Unusable,
}

impl Distrust {
    /// Returns the stable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "CERTIFICATE_EXPIRED",
            Self::Revoked => "CERTIFICATE_REVOKED",
            Self::RevocationUnknown => "CERTIFICATE_REVOCATION_UNKNOWN",
            Self::AuthorityUnknown => "CERTIFICATE_AUTHORITY_UNKNOWN",
            Self::Unusable => "CERTIFICATE_UNUSABLE",
        }
    }

    /// Reads what the library says; `None` when the certificate is not what failed.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(error) = error else { return None };
        Some(match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::RevocationUnknown,
            // A bad signature: another authority of the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::AuthorityUnknown,
            _ => Self::Unusable,
        })
    }
}

/// What the files of a party said when they were read, as a whole.
pub struct Credentials {
    /// For connections from others.
    pub server: Arc<ServerConfig>,
    /// For connections to others.
    pub client: Arc<ClientConfig>,
    /// SHA-256 of the own certificate's DER form.
    pub fingerprint: [u8; 32],
    /// When the own certificate ends.
    pub ends: Timestamp,
    /// From when on a list of revoked certificates is out of date, and which; `None` without lists.
    pub stale_from: Option<(Timestamp, PathBuf)>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// The own certificates, and whom they name.
    chain: Vec<CertificateDer<'static>>,
    member_id: Option<MemberId>,
    /// Knows the authorities and no lists: one that names the own certificate must come into force all the same.
    authorities: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(until {})", self.ends)
    }
}

impl Credentials {
    /// Reads the files of a party. They are refused when they do not fit each other.
    pub fn read(files: &Files) -> Result<Self, Error> {
        let read = Read::of(files)?;
        let verifier = read.client_verifier(&read.crls)?;
        let ends = pem::ends(&read.chain[0]).map_err(|_| pem::Error::Unreadable(files.cert.clone()))?;
        Ok(Self {
            server: read.server(verifier.clone())?,
            client: read.client()?,
            fingerprint: hash::sha256(&read.chain[0]),
            ends,
            stale_from: read.stale_from.clone(),
            verifier,
            member_id: pem::facts(&read.chain[0]).ok().map(|facts| facts.member_id),
            authorities: read.client_verifier(&[])?,
            chain: read.chain,
        })
    }

    /// Checks that they are of use at a moment in place of others: files that would have every connection fail are not.
    pub fn replaces(&self, before: &Self, files: &Files, now: Timestamp) -> Result<(), Error> {
        self.outdated(files, now)?;
        let verified = self.authorities.verify_client_cert(&self.chain[0], &self.chain[1..], unix(now));
        verified.map_err(|error| Error::Own(files.cert.clone(), files.ca.clone(), error))?;
        if self.member_id == before.member_id { Ok(()) } else { Err(Error::Renamed(files.cert.clone())) }
    }

    /// Returns what is out of date at a moment: files that would have every connection fail.
    pub fn outdated(&self, files: &Files, now: Timestamp) -> Result<(), Error> {
        if self.ends <= now {
            return Err(Error::Ended(files.cert.clone(), self.ends));
        }
        match &self.stale_from {
            Some((from, file)) if *from <= now => Err(Error::Stale(file.clone(), *from)),
            _ => Ok(()),
        }
    }

    /// Verifies the certificates that a client showed, the own one first, as of a moment.
    pub fn verify(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<(), Distrust> {
        let Some((own, between)) = chain.split_first() else { return Err(Distrust::Unusable) };
        let verified = self.verifier.verify_client_cert(own, between, unix(now));
        verified.map(drop).map_err(|error| Distrust::of(&error).unwrap_or(Distrust::Unusable))
    }
}

fn unix(time: Timestamp) -> UnixTime {
    let since_1970 = u64::try_from(time.as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(since_1970))
}

/// The files of a party, read and not yet put together.
struct Read<'a> {
    files: &'a Files,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    stale_from: Option<(Timestamp, PathBuf)>,
}

impl<'a> Read<'a> {
    fn of(files: &'a Files) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(&files.ca)? {
            roots.add(certificate).map_err(|error| Error::Rustls(files.ca.clone(), error))?;
        }
        let (mut crls, mut stale_from) = (vec![], None);
        for path in &files.crl {
            let lists = pem::revocations(path)?;
            for list in &lists {
                let until = pem::next_update(list).ok_or_else(|| pem::Error::Unreadable(path.clone()))?;
                let earlier = |(from, _): &(Timestamp, PathBuf)| *from <= until;
                stale_from = stale_from.filter(earlier).or_else(|| Some((until, path.clone())));
            }
            crls.extend(lists);
        }
        let chain = pem::certificates(&files.cert)?;
        Ok(Self { files, roots: Arc::new(roots), chain, crls, stale_from })
    }

    fn client_verifier(
        &self,
        crls: &[CertificateRevocationListDer<'static>],
    ) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider());
        if !crls.is_empty() {
            builder = builder.with_crls(crls.to_vec()).enforce_revocation_expiration();
        }
        let built = builder.allow_unauthenticated().build();
        built.map_err(|error| Error::Verifier(self.files.ca.clone(), error))
    }

    fn server(&self, verifier: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, Error> {
        let with = |error| Error::Rustls(self.files.cert.clone(), error);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(with)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), pem::private_key(&self.files.key)?)
            .map_err(with)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let with = |error| Error::Rustls(self.files.cert.clone(), error);
        let mut verifier = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider());
        if !self.crls.is_empty() {
            verifier = verifier.with_crls(self.crls.clone()).enforce_revocation_expiration();
        }
        let verifier = verifier.build().map_err(|error| Error::Verifier(self.files.ca.clone(), error))?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(with)?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), pem::private_key(&self.files.key)?)
            .map_err(with)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes the server's side.
pub fn server(files: &Files) -> Result<Arc<ServerConfig>, Error> {
    let read = Read::of(files)?;
    read.server(read.client_verifier(&read.crls)?)
}

/// Makes the client's side.
pub fn client(files: &Files) -> Result<Arc<ClientConfig>, Error> {
    Read::of(files)?.client()
}
