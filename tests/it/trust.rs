//! Who may come in, and that every refusal is named and recorded.

use std::sync::Arc;

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version::TLS13};
use signpost::{client::files, config::Service, pki};
use signpost_common::{
    clock::{Clock, SystemClock},
    id::MemberId,
    rpc::{CALLER_METADATA, Transport, client, pem, status, tls, token::Claims},
};
use signpost_proto::{
    audit::v1::{EventKind, SearchEventsRequest},
    common::v1::{Caller, PurposeOfUse, Role},
    directory::v1::{MemberState, RevokeCertificateRequest, UpdateMemberRequest},
    mpi::v1::{
        GetPersonRequest, get_person_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use signpost_tests::{Cluster, operator, physician, system, user};
use tonic::{Code, Request, Status, metadata::MetadataValue};

/// A call that every admitted member may make; it answers NOT_FOUND.
fn harmless() -> Request<GetPersonRequest> {
    let by = By::PersonId("01a2035c-2b37-7179-9aa7-7dd86f89df2f".into());
    Request::new(GetPersonRequest { by: Some(by), as_of: None })
}

async fn call(transport: &Transport, request: Request<GetPersonRequest>) -> Status {
    let answer = MasterPatientIndexServiceClient::new(transport.clone()).get_person(request).await;
    answer.map(drop).err().unwrap_or_else(|| Status::ok("answered"))
}

fn with_token(token: &str) -> anyhow::Result<Request<GetPersonRequest>> {
    let mut request = harmless();
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    Ok(request)
}

fn transport(cluster: &Cluster, tls: Arc<ClientConfig>) -> anyhow::Result<Transport> {
    Ok(client::remote(&cluster.endpoint(Service::Mpi), "exchange", tls)?)
}

fn as_member(cluster: &Cluster, member: &str) -> anyhow::Result<Transport> {
    transport(cluster, tls::client(&files(&cluster.pki(), member))?)
}

fn claims(cluster: &Cluster, member: &str) -> anyhow::Result<(Claims, signpost_common::rpc::token::Signer)> {
    let signer = pki::signer(&cluster.pki(), &member.parse::<MemberId>()?)?;
    Ok((signer.claims(&physician(), SystemClock.now()), signer))
}

/// Returns the reasons of the refusals that were recorded, the newest first.
async fn recorded(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let client = cluster.client("operator", Service::Audit)?;
    let request =
        SearchEventsRequest { kinds: vec![EventKind::Refusal.into()], ..SearchEventsRequest::default() };
    let found =
        client.audit().search_events(client.request(&operator(Role::PrivacyOfficer), request)?).await?;
    Ok(found
        .into_inner()
        .events
        .into_iter()
        .filter_map(|logged| logged.event)
        .map(|event| event.reason)
        .collect())
}

async fn refused(
    cluster: &Cluster,
    transport: &Transport,
    request: Request<GetPersonRequest>,
    code: Code,
    reason: &str,
) -> anyhow::Result<()> {
    let refusal = call(transport, request).await;
    assert_eq!((refusal.code(), status::reason(&refusal).as_str()), (code, reason), "{}", refusal.message());
    is_recorded(cluster, reason).await
}

async fn is_recorded(cluster: &Cluster, reason: &str) -> anyhow::Result<()> {
    let recorded = recorded(cluster).await?;
    assert_eq!(recorded.first().map(String::as_str), Some(reason), "the refusal is not recorded");
    Ok(())
}

/// The caller learns that it is not admitted; the operator learns why.
async fn unknown(
    cluster: &Cluster,
    transport: &Transport,
    request: Request<GetPersonRequest>,
    why: &str,
) -> anyhow::Result<()> {
    let refusal = call(transport, request).await;
    assert_eq!(
        (refusal.code(), status::reason(&refusal).as_str()),
        (Code::Unauthenticated, "MEMBER_UNKNOWN")
    );
    is_recorded(cluster, why).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_is_admitted() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let (claims, signer) = claims(&cluster, "north")?;
    let answer = call(&as_member(&cluster, "north")?, with_token(&signer.sign(&claims)?)?).await;
    assert_eq!((answer.code(), status::reason(&answer).as_str()), (Code::NotFound, "PERSON_UNKNOWN"));
    assert_eq!(recorded(&cluster).await?, [""; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_certificate_is_refused_by_name() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(&cluster.pki().join("ca.pem"))? {
        roots.add(certificate)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let anonymous = transport(&cluster, Arc::new(config))?;
    refused(&cluster, &anonymous, harmless(), Code::Unauthenticated, "CERTIFICATE_MISSING").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_does_not_connect() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let other = tempfile_pki("north")?;
    let mut stolen = files(other.path(), "north");
    stolen.ca = cluster.pki().join("ca.pem");
    let answer = call(&transport(&cluster, tls::client(&stolen)?)?, harmless()).await;
    assert_eq!(answer.code(), Code::Unavailable, "{answer:?}");
    assert_eq!(status::reason(&answer), "", "no service was reached");
    // The client knows before the log does.
    for _ in 0..100 {
        if !recorded(&cluster).await?.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    is_recorded(&cluster, "CERTIFICATE_AUTHORITY_UNKNOWN").await
}

fn tempfile_pki(member: &str) -> anyhow::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    pki::create(dir.path(), &[new_member(member)])?;
    Ok(dir)
}

fn new_member(id: &str) -> pki::NewMember {
    pki::NewMember {
        id: id.into(),
        name: id.into(),
        region: String::new(),
        kind: pki::Kind::Provider,
        endpoint: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_registered_is_refused() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    // The authority is the exchange's own; the directory has not heard of the member.
    pki::create(&cluster.pki(), &[new_member("stranger")])?;
    let stranger = as_member(&cluster, "stranger")?;
    unknown(&cluster, &stranger, harmless(), "CERTIFICATE_UNREGISTERED").await?;
    // A certificate that names a member and is not the one that was registered.
    let folder = tempfile::tempdir()?;
    pki::issue(folder.path(), &pki::open_authority(&cluster.pki())?, &"north".parse()?, 30)?;
    let files = tls::Files {
        ca: cluster.pki().join("ca.pem"),
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        crl: vec![],
    };
    let impostor = transport(&cluster, tls::client(&files)?)?;
    unknown(&cluster, &impostor, harmless(), "CERTIFICATE_UNREGISTERED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_missing_forged_or_borrowed_is_refused() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let north = as_member(&cluster, "north")?;
    refused(&cluster, &north, harmless(), Code::Unauthenticated, "TOKEN_MISSING").await?;
    refused(&cluster, &north, with_token("no.jwt.here")?, Code::Unauthenticated, "TOKEN_MALFORMED").await?;

    let (good, signer) = claims(&cluster, "north")?;
    let token = signer.sign(&good)?;
    let (unsigned, signature) = token.rsplit_once('.').context("no signature")?;
    let mut flipped = BASE64_URL_SAFE_NO_PAD.decode(signature)?;
    flipped[7] ^= 1;
    let forged = format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(flipped));
    refused(&cluster, &north, with_token(&forged)?, Code::Unauthenticated, "TOKEN_SIGNATURE").await?;

    // South's token, as it is: its key is not north's.
    let (_, souths) = claims(&cluster, "south")?;
    let (south_claims, _) = claims(&cluster, "south")?;
    let borrowed = souths.sign(&south_claims)?;
    refused(&cluster, &north, with_token(&borrowed)?, Code::Unauthenticated, "TOKEN_SIGNATURE").await?;

    // North's key, bound to south's certificate.
    let bound = Claims { cnf: south_claims.cnf.clone(), ..good.clone() };
    refused(&cluster, &north, with_token(&signer.sign(&bound)?)?, Code::Unauthenticated, "TOKEN_BINDING")
        .await?;

    let none = format!(
        "{}.{}.",
        BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"dev-1"}"#),
        unsigned.split('.').nth(1).unwrap_or_default()
    );
    refused(&cluster, &north, with_token(&none)?, Code::Unauthenticated, "TOKEN_MALFORMED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_wrong_is_named() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let north = as_member(&cluster, "north")?;
    let (good, signer) = claims(&cluster, "north")?;
    let now = good.iat;
    let wrong = [
        (Claims { aud: "elsewhere".into(), ..good.clone() }, "TOKEN_AUDIENCE"),
        (Claims { iss: "south".into(), ..good.clone() }, "TOKEN_ISSUER"),
        (Claims { exp: now - 11, ..good.clone() }, "TOKEN_EXPIRED"),
        (Claims { nbf: now + 30, ..good.clone() }, "TOKEN_NOT_YET_VALID"),
        (Claims { exp: now + 301, ..good.clone() }, "TOKEN_LIFETIME"),
        (Claims { role: "surgeon-general".into(), ..good.clone() }, "TOKEN_ROLE"),
        (Claims { purpose: "CURIOSITY".into(), ..good.clone() }, "TOKEN_PURPOSE"),
        (Claims { sub: String::new(), ..good.clone() }, "TOKEN_MALFORMED"),
    ];
    for (claims, reason) in wrong {
        refused(&cluster, &north, with_token(&signer.sign(&claims)?)?, Code::Unauthenticated, reason).await?;
    }
    // A clock that is 9 s ahead is forgiven.
    let early = Claims { nbf: now + 9, iat: now + 9, ..good.clone() };
    let answer = call(&north, with_token(&signer.sign(&early)?)?).await;
    assert_eq!(answer.code(), Code::NotFound, "{answer:?}");
    // North may not claim research.
    let research = Claims { purpose: "HRESCH".into(), ..good };
    refused(
        &cluster,
        &north,
        with_token(&signer.sign(&research)?)?,
        Code::PermissionDenied,
        "PURPOSE_NOT_GRANTED",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_call_only_what_the_table_says() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.client("north", Service::Directory)?;
    // A member vouches for the roles of its users, and still cannot make one an operator of the exchange.
    let pretender = user("eve", Role::Operator, PurposeOfUse::Hoperat);
    let request = UpdateMemberRequest {
        member_id: "south".into(),
        state: MemberState::Suspended.into(),
        ..UpdateMemberRequest::default()
    };
    let refusal = client.directory().update_member(client.request(&pretender, request)?).await;
    let refusal = refusal.map(drop).err().context("it was allowed")?;
    assert_eq!(
        (refusal.code(), status::reason(&refusal).as_str()),
        (Code::PermissionDenied, "ROLE_NOT_PERMITTED")
    );
    assert_eq!(recorded(&cluster).await?, ["ROLE_NOT_PERMITTED"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_cannot_forward_a_caller() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let caller = Caller { member_id: "south".into(), role: Role::Physician.into(), ..Caller::default() };
    let mut request = harmless();
    request.metadata_mut().insert_bin(CALLER_METADATA, MetadataValue::from_bytes(&caller.encode_to_vec()));
    let north = as_member(&cluster, "north")?;
    refused(&cluster, &north, request, Code::PermissionDenied, "CALLER_FORGED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_and_a_suspended_member_are_out_within_a_second() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let north = as_member(&cluster, "north")?;
    let good = |member: &str| -> anyhow::Result<_> {
        let (claims, signer) = claims(&cluster, member)?;
        with_token(&signer.sign(&claims)?)
    };
    assert_eq!(call(&north, good("north")?).await.code(), Code::NotFound);
    let admin = cluster.client("operator", Service::Directory)?;
    let facts = pem::facts(&pem::certificates(&cluster.pki().join("north/cert.pem"))?[0])?;
    let request =
        RevokeCertificateRequest { fingerprint: facts.fingerprint.to_vec(), request_id: String::new() };
    admin.directory().revoke_certificate(admin.request(&operator(Role::Operator), request)?).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    // The connection is still open; the next call on it is refused all the same.
    unknown(&cluster, &north, good("north")?, "CERTIFICATE_REVOKED").await?;

    let south = as_member(&cluster, "south")?;
    assert_eq!(call(&south, good("south")?).await.code(), Code::NotFound);
    let request = UpdateMemberRequest {
        member_id: "south".into(),
        state: MemberState::Suspended.into(),
        ..UpdateMemberRequest::default()
    };
    admin.directory().update_member(admin.request(&operator(Role::Operator), request)?).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    unknown(&cluster, &south, good("south")?, "MEMBER_SUSPENDED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_changes_its_own_endpoint_only() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.client("north", Service::Directory)?;
    let request = signpost_proto::directory::v1::SetEndpointRequest {
        member_id: "south".into(),
        endpoint: Some(signpost_proto::directory::v1::Endpoint {
            uri: "https://127.0.0.1:1".into(),
            tls_server_name: "north".into(),
            ..signpost_proto::directory::v1::Endpoint::default()
        }),
        request_id: String::new(),
    };
    let refusal = client.directory().set_endpoint(client.request(&system(), request)?).await;
    let refusal = refusal.map(drop).err().context("it was allowed")?;
    assert_eq!(status::reason(&refusal), "NOT_YOUR_OWN");
    Ok(())
}
