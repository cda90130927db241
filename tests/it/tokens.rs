//! Tokens: forged, borrowed, replayed and wrong ones, and keys that roll over.

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use rcgen::KeyPair;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use signpost::{client::files, config::Service, pki, wiring};
use signpost_common::{
    clock::{Clock, ShiftedClock, SystemClock},
    rpc::{Transport, client, status, tls},
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    directory::v1::{AddTokenKeyRequest, RevokeTokenKeyRequest, SetPurposeGrantsRequest, TokenKey},
    mpi::v1::{
        GetPersonRequest, get_person_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use signpost_tests::{Cluster, Topology, operator, physician, postgres};
use tonic::{Request, Status};

/// What a call is answered that was admitted.
const ADMITTED: &str = "PERSON_UNKNOWN";

fn part(json: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}

fn now_s() -> i64 {
    SystemClock.now().as_second()
}

/// A member that signs whatever it likes.
struct Forger {
    transport: Transport,
    key: Ed25519KeyPair,
    claims: Value,
}

impl Forger {
    fn new(cluster: &Cluster, member: &str, service: Service) -> anyhow::Result<Self> {
        Self::at(cluster, member, &cluster.endpoint(service))
    }

    fn at(cluster: &Cluster, member: &str, endpoint: &str) -> anyhow::Result<Self> {
        let (pki, own) = (cluster.pki(), cluster.pki().join(member));
        let key = PrivateKeyDer::from_pem_file(own.join("token.pem"))?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der())?;
        let transport = client::remote(endpoint, "exchange", tls::client(&files(&pki, member))?)?;
        let claims = pki::signer(&pki, &member.parse()?)?.claims(&physician(), SystemClock.now());
        Ok(Self { transport, key, claims: serde_json::to_value(claims)? })
    }

    /// Good claims with others in their place; null takes one away.
    fn claims(&self, others: Value) -> Value {
        let mut claims = self.claims.clone();
        claims["jti"] = json!(uuid::Uuid::new_v4().to_string());
        for (name, value) in others.as_object().into_iter().flatten() {
            if value.is_null() {
                claims.as_object_mut().map(|claims| claims.remove(name));
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let signed = format!("{}.{}", part(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn token(&self, others: Value) -> String {
        self.sign(&header(), &self.claims(others).to_string())
    }

    /// Calls the index with a token, and returns the reason of the answer.
    async fn calls(&self, token: &str) -> anyhow::Result<String> {
        let by = By::PersonId("01a2035c-2b37-7179-9aa7-7dd86f89df2f".into());
        let mut request = Request::new(GetPersonRequest { by: Some(by), as_of: None });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        let answer = MasterPatientIndexServiceClient::new(self.transport.clone()).get_person(request).await;
        let answer = answer.map(drop).err().unwrap_or_else(|| Status::ok("answered"));
        Ok(status::reason(&answer))
    }

    async fn is_refused(&self, token: &str, reason: &str) -> anyhow::Result<()> {
        let answer = self.calls(token).await?;
        ensure!(answer == reason, "answered {answer}, not {reason}: {token}");
        Ok(())
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "JWT", "kid": pki::KID})
}

async fn north() -> anyhow::Result<(Cluster, Forger)> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let north = Forger::new(&cluster, "north", Service::Mpi)?;
    Ok((cluster, north))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_required_claim_is_refused() -> anyhow::Result<()> {
    let (_cluster, north) = north().await?;
    north.is_refused(&north.token(json!({})), ADMITTED).await?;
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "role", "purpose", "encounter"] {
        north.is_refused(&north.token(json!({ claim: null })), "TOKEN_MALFORMED").await?;
        north.is_refused(&north.token(json!({ claim: [1] })), "TOKEN_MALFORMED").await?;
    }
    for claim in ["sub", "jti"] {
        north.is_refused(&north.token(json!({ claim: "" })), "TOKEN_MALFORMED").await?;
    }
    for claim in ["sub", "jti", "encounter"] {
        north.is_refused(&north.token(json!({ claim: "x".repeat(129) })), "TOKEN_MALFORMED").await?;
        north.is_refused(&north.token(json!({ claim: "a\nb" })), "TOKEN_MALFORMED").await?;
        north.is_refused(&north.token(json!({ claim: "x".repeat(128) })), ADMITTED).await?;
    }
    north.is_refused(&north.token(json!({"encounter": ""})), ADMITTED).await?;
    // Twice the same claim: which of them counts, no two readers agree on.
    let twice = north.claims(json!({})).to_string().replacen('{', r#"{"role":"steward","#, 1);
    north.is_refused(&north.sign(&header(), &twice), "TOKEN_MALFORMED").await?;
    north.is_refused(&north.token(json!({"padding": "x".repeat(4096)})), "TOKEN_SIZE").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_brings_its_own_rules_is_refused() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        north.sign(&header, &north.claims(json!({})).to_string())
    };
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let refused = [
        ("crit", json!(["exp"])),
        ("jwk", jwk),
        ("jku", json!("https://eve.example/keys")),
        ("x5u", json!("https://eve.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("typ", json!("dpop+jwt")),
        ("cty", json!("JWT")),
        ("kid", json!("")),
        ("kid", json!("x".repeat(129))),
    ];
    for (name, value) in refused {
        north.is_refused(&with(name, value), "TOKEN_MALFORMED").await?;
    }
    north.is_refused(&with("kid", json!("another")), "TOKEN_KEY_UNKNOWN").await?;
    // The public key as the secret of a symmetric algorithm (RFC 8725, 2.1).
    let public = std::fs::read(cluster.pki().join("north/token.pub.pem"))?;
    for alg in ["HS256", "hs256"] {
        let header = json!({"alg": alg, "typ": "JWT", "kid": pki::KID});
        let signed = format!("{}.{}", part(&header), part(&north.claims(json!({}))));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed.as_bytes());
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag));
        let reason = if alg == "HS256" { "TOKEN_ALGORITHM" } else { "TOKEN_MALFORMED" };
        north.is_refused(&token, reason).await?;
    }
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "kid": pki::KID});
        for signature in ["", "AA"] {
            let token = format!("{}.{}.{signature}", part(&header), part(&north.claims(json!({}))));
            north.is_refused(&token, "TOKEN_MALFORMED").await?;
        }
    }
    let es256 = sign_es256(&p256()?.1, pki::KID, &north.claims(json!({})))?;
    north.is_refused(&es256, "TOKEN_ALGORITHM").await
}

/// Makes a key on P-256; returns its public part as PEM and itself.
fn p256() -> anyhow::Result<(String, EcdsaKeyPair)> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let own = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der())?;
    Ok((pair.public_key_pem(), own))
}

fn sign_es256(key: &EcdsaKeyPair, kid: &str, claims: &Value) -> anyhow::Result<String> {
    let signed = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": kid})), part(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes())?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_roll_over_by_their_ids() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    let admin = cluster.client("operator", Service::Directory)?;
    let sam = operator(Role::Operator);
    let add = async |kid: &str, public_key_pem: String| -> anyhow::Result<Result<(), Status>> {
        let key = TokenKey { kid: kid.into(), public_key_pem, revoked_at: None };
        let request =
            AddTokenKeyRequest { member_id: "north".into(), token_key: Some(key), request_id: String::new() };
        Ok(admin.directory().add_token_key(admin.request(&sam, request)?).await.map(drop))
    };
    let (public, next) = p256()?;
    add("2026-b", public).await??;
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?.public_key_pem();
    let refusal = add("other-curve", p384).await?.err().context("it was taken")?;
    assert_eq!(status::field(&refusal), "token_key.public_key_pem");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let by_next = || sign_es256(&next, "2026-b", &north.claims(json!({})));
    north.is_refused(&by_next()?, ADMITTED).await?;
    north.is_refused(&north.token(json!({})), ADMITTED).await?;
    // Each key signs under its own id alone.
    let mut wrong = header();
    wrong["kid"] = json!("2026-b");
    let wrong = north.sign(&wrong, &north.claims(json!({})).to_string());
    north.is_refused(&wrong, "TOKEN_ALGORITHM").await?;
    let request =
        RevokeTokenKeyRequest { member_id: "north".into(), kid: pki::KID.into(), request_id: String::new() };
    admin.directory().revoke_token_key(admin.request(&sam, request)?).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    north.is_refused(&north.token(json!({})), "TOKEN_KEY_UNKNOWN").await?;
    north.is_refused(&by_next()?, ADMITTED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_once() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    let token = north.token(json!({}));
    north.is_refused(&token, ADMITTED).await?;
    north.is_refused(&token, "TOKEN_REPLAYED").await?;
    // Other claims under the same id, and another connection.
    let jti = "the same again";
    north.is_refused(&north.token(json!({"jti": jti})), ADMITTED).await?;
    north.is_refused(&north.token(json!({"jti": jti, "sub": "dr.no"})), "TOKEN_REPLAYED").await?;
    let again = Forger::new(&cluster, "north", Service::Registry)?;
    again.is_refused(&token, "TOKEN_REPLAYED").await?;
    // An id means something within its member only.
    let south = Forger::new(&cluster, "south", Service::Mpi)?;
    south.is_refused(&south.token(json!({"jti": jti})), ADMITTED).await?;
    // What was refused did not count.
    let early = json!({"jti": "early", "nbf": now_s() + 60, "exp": now_s() + 120});
    north.is_refused(&north.token(early), "TOKEN_NOT_YET_VALID").await?;
    north.is_refused(&north.token(json!({"jti": "early"})), ADMITTED).await?;
    // Many at once: one of them.
    let token = north.token(json!({}));
    let calls = futures_util::future::try_join_all((0..64).map(|_| north.calls(&token))).await?;
    let admitted = calls.iter().filter(|reason| *reason == ADMITTED).count();
    let replayed = calls.iter().filter(|reason| *reason == "TOKEN_REPLAYED").count();
    assert_eq!((admitted, replayed), (1, 63));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_once_also_after_kill_9() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let north = Forger::new(&cluster, "north", Service::Mpi)?;
    let tokens: Vec<_> = (0..50).map(|_| north.token(json!({}))).collect();
    for token in &tokens {
        north.is_refused(token, ADMITTED).await?;
    }
    cluster.take_process(Service::Mpi)?.kill().await?;
    cluster.restart(Service::Mpi).await?;
    let north = Forger::new(&cluster, "north", Service::Mpi)?;
    for token in &tokens {
        north.is_refused(token, "TOKEN_REPLAYED").await?;
    }
    north.is_refused(&north.token(json!({})), ADMITTED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_once_among_replicas_and_not_without_the_directory() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let mut cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    let (_replica, endpoint) = cluster.replica(Service::Mpi).await?;
    let first = Forger::new(&cluster, "north", Service::Mpi)?;
    let second = Forger::at(&cluster, "north", &endpoint)?;
    for _ in 0..10 {
        let token = first.token(json!({}));
        first.is_refused(&token, ADMITTED).await?;
        second.is_refused(&token, "TOKEN_REPLAYED").await?;
        // At both in the same moment.
        let token = first.token(json!({}));
        let (one, other) = tokio::try_join!(first.calls(&token), second.calls(&token))?;
        let mut both = [one, other];
        both.sort();
        assert_eq!(both, [ADMITTED, "TOKEN_REPLAYED"]);
    }
    cluster.take_process(Service::Directory)?.kill().await?;
    // Also while it is still remembered whose the certificate is.
    first.is_refused(&first.token(json!({})), "DIRECTORY_UNAVAILABLE").await?;
    cluster.restart(Service::Directory).await?;
    let token = first.token(json!({}));
    for _ in 0..50 {
        if first.calls(&token).await? == ADMITTED {
            return second.is_refused(&token, "TOKEN_REPLAYED").await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nobody is admitted after the directory came back")
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_may_differ_by_ten_seconds_and_not_by_five_minutes() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    let now = now_s();
    let at = |nbf: i64, exp: i64| north.token(json!({"nbf": now + nbf, "iat": now + nbf, "exp": now + exp}));
    north.is_refused(&at(8, 68), ADMITTED).await?;
    north.is_refused(&at(-60, -5), ADMITTED).await?;
    north.is_refused(&at(30, 90), "TOKEN_NOT_YET_VALID").await?;
    north.is_refused(&at(300, 360), "TOKEN_NOT_YET_VALID").await?;
    north.is_refused(&at(-60, -11), "TOKEN_EXPIRED").await?;
    north.is_refused(&at(-360, -300), "TOKEN_EXPIRED").await?;
    north.is_refused(&at(-1, 299), ADMITTED).await?;
    north.is_refused(&at(-1, 300), "TOKEN_LIFETIME").await?;
    // The other way round: it is the exchange's clock that differs.
    for (ahead_s, reason) in
        [(-8, ADMITTED), (8, ADMITTED), (-300, "TOKEN_NOT_YET_VALID"), (300, "TOKEN_EXPIRED")]
    {
        let mut config = cluster.config().clone();
        config.data_dir = cluster.dir().join(format!("ahead-{ahead_s}"));
        let clock = std::sync::Arc::new(ShiftedClock(SignedDuration::from_secs(ahead_s)));
        let running = Box::pin(wiring::start_at(&config, &[], clock)).await?;
        let north = Forger::at(&cluster, "north", &format!("https://{}", running.address))?;
        north.is_refused(&north.token(json!({})), reason).await.with_context(|| format!("{ahead_s} s"))?;
        drop(north);
        running.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purpose_must_be_in_the_token_and_in_the_grant() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    north.is_refused(&north.token(json!({"purpose": "HRESCH"})), "PURPOSE_NOT_GRANTED").await?;
    for unknown in ["", "treat", "TREAT ", "UNSPECIFIED", "CURIOSITY", "*"] {
        north.is_refused(&north.token(json!({ "purpose": unknown })), "TOKEN_PURPOSE").await?;
    }
    north.is_refused(&north.token(json!({"purpose": "ETREAT"})), ADMITTED).await?;
    let admin = cluster.client("operator", Service::Directory)?;
    let request = SetPurposeGrantsRequest {
        member_id: "north".into(),
        purposes: vec![PurposeOfUse::Treat.into()],
        request_id: String::new(),
    };
    admin.directory().set_purpose_grants(admin.request(&operator(Role::Operator), request)?).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The connection is the same; the grant is not.
    north.is_refused(&north.token(json!({"purpose": "ETREAT"})), "PURPOSE_NOT_GRANTED").await?;
    north.is_refused(&north.token(json!({"purpose": "TREAT"})), ADMITTED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_of_no_use_to_another_member() -> anyhow::Result<()> {
    let (cluster, north) = north().await?;
    let south = Forger::new(&cluster, "south", Service::Mpi)?;
    let token = north.token(json!({}));
    south.is_refused(&token, "TOKEN_SIGNATURE").await?;
    // Not even with a key of its own that the directory knows.
    let norths = &north.claims;
    south.is_refused(&south.token(json!({"iss": "north"})), "TOKEN_ISSUER").await?;
    south.is_refused(&south.token(json!({"cnf": norths["cnf"].clone()})), "TOKEN_BINDING").await?;
    // It was not used up by who could not use it.
    north.is_refused(&token, ADMITTED).await
}
