//! Which member a certificate belongs to.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{
        Member, MemberKind, ResolveCertificateRequest, directory_service_client::DirectoryServiceClient,
    },
};
use tokio::time::Instant;
use tonic::Status;

use super::{Context, Transport, pem::Facts};
use crate::id::MemberId;

/// How long an answer of the directory is used: a revocation takes effect within this time everywhere.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Most certificates remembered at once.
const CACHE_MAX: usize = 10_000;

/// An active member, as its certificate proved it.
pub struct Party {
    /// Id.
    pub member_id: MemberId,
    /// What it is.
    pub kind: MemberKind,
    /// Purposes it may claim.
    pub purposes: Vec<PurposeOfUse>,
    /// Keys that sign its tokens.
    pub token_keys: Vec<TokenKey>,
}

/// A key that signs tokens.
pub struct TokenKey {
    /// Key id.
    pub kid: String,
    /// The one algorithm the key is for: a token cannot choose another.
    pub algorithm: Algorithm,
    /// The public key.
    pub key: DecodingKey,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party")
            .field("member_id", &self.member_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl TokenKey {
    /// Reads a public key: PEM, Ed25519 or P-256.
    pub fn from_pem(kid: &str, pem: &str) -> Option<Self> {
        let (algorithm, key) = match DecodingKey::from_ed_pem(pem.as_bytes()) {
            Ok(key) => (Algorithm::EdDSA, key),
            Err(_) => (Algorithm::ES256, DecodingKey::from_ec_pem(pem.as_bytes()).ok()?),
        };
        Some(Self { kid: kid.to_owned(), algorithm, key })
    }
}

/// Finds the member that a certificate belongs to.
#[tonic::async_trait]
pub trait Identities: Send + Sync + 'static {
    /// Returns the active member, or `None` when the certificate is unknown, revoked, or its member is not active.
    async fn resolve(&self, certificate: &Facts) -> Result<Option<Arc<Party>>, Status>;
}

/// An answer of the directory, and until when it is used.
type Answer = (Instant, Option<Arc<Party>>);

/// Asks the directory, and remembers its answers for a second.
pub struct DirectoryIdentities {
    client: DirectoryServiceClient<Transport>,
    service: &'static str,
    cache: Mutex<HashMap<[u8; 32], Answer>>,
}

impl DirectoryIdentities {
    /// Asks through a transport, in the name of a service of the exchange.
    pub fn new(directory: Transport, service: &'static str) -> Self {
        Self { client: DirectoryServiceClient::new(directory), service, cache: Mutex::default() }
    }

    fn cached(&self, fingerprint: &[u8; 32]) -> Option<Option<Arc<Party>>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, party) = cache.get(fingerprint)?;
        (*until > Instant::now()).then(|| party.clone())
    }

    fn remember(&self, fingerprint: [u8; 32], party: Option<Arc<Party>>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(fingerprint, (Instant::now() + CACHE_TTL, party));
    }
}

#[tonic::async_trait]
impl Identities for DirectoryIdentities {
    async fn resolve(&self, certificate: &Facts) -> Result<Option<Arc<Party>>, Status> {
        if let Some(known) = self.cached(&certificate.fingerprint) {
            return Ok(known);
        }
        let request = ResolveCertificateRequest { fingerprint: certificate.fingerprint.to_vec() };
        let request = Context::exchange(self.service).within(Duration::from_secs(5)).request(request);
        let response = self.client.clone().resolve_certificate(request).await?.into_inner();
        // The name in the certificate must be the member's as well, not the fingerprint alone.
        let party = response
            .member
            .filter(|member| member.member_id == certificate.member_id.as_str())
            .map(|member| Arc::new(party(certificate.member_id.clone(), &member)));
        self.remember(certificate.fingerprint, party.clone());
        Ok(party)
    }
}

fn party(member_id: MemberId, member: &Member) -> Party {
    Party {
        member_id,
        kind: member.kind(),
        purposes: member.purposes().collect(),
        token_keys: member
            .token_keys
            .iter()
            .filter_map(|key| TokenKey::from_pem(&key.kid, &key.public_key_pem))
            .collect(),
    }
}

/// A fixed list of services of the exchange: what a member's own document source accepts.
#[derive(Debug)]
pub struct FixedIdentities(pub Vec<MemberId>);

#[tonic::async_trait]
impl Identities for FixedIdentities {
    async fn resolve(&self, certificate: &Facts) -> Result<Option<Arc<Party>>, Status> {
        let known = self.0.contains(&certificate.member_id);
        Ok(known.then(|| {
            Arc::new(Party {
                member_id: certificate.member_id.clone(),
                kind: MemberKind::Exchange,
                purposes: vec![],
                token_keys: vec![],
            })
        }))
    }
}
