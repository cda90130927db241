//! Which member a certificate belongs to.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{
        CertificateState, Member, MemberKind, ResolveCertificateRequest,
        directory_service_client::DirectoryServiceClient,
    },
};
use tokio::time::Instant;
use tonic::Status;

use super::{
    Context, Transport,
    pem::Facts,
    replay::{Use, Uses},
};
use crate::{id::MemberId, lifecycle::Lifecycle};

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
            // The library would take any curve.
            Err(_) if is_p256(pem) => (Algorithm::ES256, DecodingKey::from_ec_pem(pem.as_bytes()).ok()?),
            Err(_) => return None,
        };
        Some(Self { kid: kid.to_owned(), algorithm, key })
    }
}

/// How the DER form of a public key on the curve P-256 begins (RFC 5480), up to an uncompressed point.
const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";

fn is_p256(pem: &str) -> bool {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
    key.is_ok_and(|key| key.len() == P256.len() + 64 && key.starts_with(P256))
}

/// Finds the member that a certificate belongs to.
#[tonic::async_trait]
pub trait Identities: Send + Sync + 'static {
    /// Returns the active member, or why the certificate counts for nothing.
    async fn resolve(&self, certificate: &Facts) -> Result<Resolved, Status>;

    /// Uses a token of a member; false when it was used before, here or elsewhere.
    async fn use_token(&self, used: Use) -> Result<bool, Status>;
}

/// The member that a certificate belongs to, or why it counts for nothing.
pub type Resolved = Result<Arc<Party>, CertificateState>;

/// A question to the directory that is under way or answered; whoever asks the same meanwhile waits for the same answer.
type Asked = Shared<BoxFuture<'static, Result<Resolved, Status>>>;

/// Asks the directory, and remembers for a second whose a certificate is.
pub struct DirectoryIdentities {
    client: DirectoryServiceClient<Transport>,
    service: &'static str,
    /// What was asked of each certificate, and until when the answer is used.
    cache: Mutex<HashMap<[u8; 32], (Instant, Asked)>>,
    uses: Uses,
}

impl DirectoryIdentities {
    /// Asks through a transport, in the name of a service of the exchange.
    pub fn new(directory: Transport, service: &'static str, lifecycle: &Lifecycle) -> Self {
        let client = DirectoryServiceClient::new(directory);
        let uses = Uses::start(client.clone(), service, lifecycle);
        Self { client, service, cache: Mutex::default(), uses }
    }

    /// Returns the question about a certificate that is in force, asked now when there is none.
    fn asked(&self, certificate: &Facts) -> Asked {
        let now = Instant::now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match cache.get(&certificate.fingerprint) {
            Some((until, asked)) if *until > now => return asked.clone(),
            _ if cache.len() >= CACHE_MAX => cache.clear(),
            _ => {}
        }
        let asked = ask(self.client.clone(), self.service, certificate.clone()).boxed().shared();
        cache.insert(certificate.fingerprint, (now + CACHE_TTL, asked.clone()));
        asked
    }
}

async fn ask(
    mut directory: DirectoryServiceClient<Transport>,
    service: &'static str,
    certificate: Facts,
) -> Result<Resolved, Status> {
    let request = ResolveCertificateRequest { fingerprint: certificate.fingerprint.to_vec() };
    let request = Context::exchange(service).within(Duration::from_secs(5)).request(request);
    let response = directory.resolve_certificate(request).await?.into_inner();
    // The name in the certificate must be the member's as well, not the fingerprint alone.
    Ok(match &response.member {
        Some(member) if member.member_id == certificate.member_id.as_str() => {
            Ok(Arc::new(party(certificate.member_id, member)))
        }
        Some(_) => Err(CertificateState::Unregistered),
        None => Err(response.refusal()),
    })
}

#[tonic::async_trait]
impl Identities for DirectoryIdentities {
    async fn resolve(&self, certificate: &Facts) -> Result<Resolved, Status> {
        let asked = self.asked(certificate);
        let answer = asked.clone().await;
        if answer.is_err() {
            // It may do better when it is asked again.
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.get(&certificate.fingerprint).is_some_and(|(_, known)| known.ptr_eq(&asked)) {
                cache.remove(&certificate.fingerprint);
            }
        }
        answer
    }

    async fn use_token(&self, used: Use) -> Result<bool, Status> {
        self.uses.once(used).await
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
    async fn resolve(&self, certificate: &Facts) -> Result<Resolved, Status> {
        if !self.0.contains(&certificate.member_id) {
            return Ok(Err(CertificateState::Unregistered));
        }
        Ok(Ok(Arc::new(Party {
            member_id: certificate.member_id.clone(),
            kind: MemberKind::Exchange,
            purposes: vec![],
            token_keys: vec![],
        })))
    }

    /// Services of the exchange bring no tokens: none counts.
    async fn use_token(&self, _: Use) -> Result<bool, Status> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use jiff::Timestamp;
    use tower::util::BoxCloneSyncService;

    use super::*;
    use crate::rpc::Unreachable;

    #[tokio::test]
    async fn calls_that_come_together_ask_the_directory_once() {
        let asked = Arc::<AtomicUsize>::default();
        let counted = asked.clone();
        let down = tower::service_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err::<http::Response<tonic::body::Body>, _>(Unreachable::new("it is down"))
            }
        });
        let lifecycle = Lifecycle::new();
        let identities = DirectoryIdentities::new(BoxCloneSyncService::new(down), "test", &lifecycle);
        let certificate = |number| Facts {
            fingerprint: [number; 32],
            member_id: "north".parse().unwrap(),
            not_after: Timestamp::MAX,
        };
        let (one, two) = (certificate(1), certificate(2));
        let answers = join_all((0..50).map(|_| identities.resolve(&one))).await;
        assert!(answers.iter().all(Result::is_err), "nobody is admitted");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // A failure is not remembered.
        identities.resolve(&one).await.unwrap_err();
        identities.resolve(&two).await.unwrap_err();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
