//! TLS 1.3 with client certificates, everywhere.
//!
//! A server asks for a client certificate and lets a connection without one through to admission, which
//! refuses every call on it with a reason the caller can read; a certificate that does not verify ends the
//! handshake. No session is resumed: resumption would revive an expired certificate.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use serde::{Deserialize, Serialize};

use super::pem;

/// The three files of a party: who it trusts and who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Certificate authorities that are trusted, PEM.
    pub ca: PathBuf,
    /// Own certificate chain, PEM.
    pub cert: PathBuf,
    /// Own private key, PEM.
    pub key: PathBuf,
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
    /// The certificate authorities cannot be used to verify clients.
    #[error("verifying clients with {0}")]
    Verifier(PathBuf, #[source] rustls::server::VerifierBuilderError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(files: &Files) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| Error::Rustls(files.ca.clone(), error))?;
    }
    Ok(Arc::new(roots))
}

/// Makes the server's side.
pub fn server(files: &Files) -> Result<Arc<ServerConfig>, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(files)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Verifier(files.ca.clone(), error))?;
    let with = |error| Error::Rustls(files.cert.clone(), error);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(with)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pem::certificates(&files.cert)?, pem::private_key(&files.key)?)
        .map_err(with)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Makes the client's side.
pub fn client(files: &Files) -> Result<Arc<ClientConfig>, Error> {
    let with = |error| Error::Rustls(files.cert.clone(), error);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(with)?
        .with_root_certificates(roots(files)?)
        .with_client_auth_cert(pem::certificates(&files.cert)?, pem::private_key(&files.key)?)
        .map_err(with)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
