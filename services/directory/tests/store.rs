//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::db::{self, Location};
use signpost_directory::{
    domain::{Certificate, Endpoint, Member, TokenKey},
    store::{self, Error, Store},
};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{EndpointProtocol, MemberKind, MemberState},
};

fn member(id: &str) -> Member {
    Member {
        id: id.parse().unwrap(),
        display_name: format!("Hospital {id}"),
        region: "MA".into(),
        kind: MemberKind::Provider,
        state: MemberState::Active,
        purposes: vec![PurposeOfUse::Treat, PurposeOfUse::Etreat],
        certificates: vec![],
        token_keys: vec![],
        endpoint: None,
        created_us: 7,
    }
}

async fn conforms(store: &dyn Store) {
    members_are_kept(store).await;
    certificates_belong_to_one_member(store).await;
    revocation_is_final(store).await;
    bootstrap_adds_and_never_revives(store).await;
}

async fn members_are_kept(store: &dyn Store) {
    let north = member("north");
    assert_eq!(store.create_member(&north).await.unwrap(), north);
    assert_eq!(store.create_member(&north).await.unwrap(), north, "the same again is harmless");
    let other = Member { region: "VT".into(), ..north.clone() };
    assert!(matches!(store.create_member(&other).await, Err(Error::MemberExists)));
    store.create_member(&member("south")).await.unwrap();
    let page = store.members(None, 1).await.unwrap();
    assert_eq!(page[0].id.as_str(), "north");
    let page = store.members(Some("north"), 10).await.unwrap();
    assert_eq!(page.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["south"]);

    let protocol = EndpointProtocol::Grpc;
    let endpoint = Endpoint { uri: "https://h:1".into(), tls_server_name: "h".into(), protocol };
    store.set_endpoint(&north.id, Some(&endpoint)).await.unwrap();
    assert_eq!(store.member(&north.id).await.unwrap().unwrap().endpoint.as_ref(), Some(&endpoint));
    let (uri, protocol) = ("https://h:1/fhir".into(), EndpointProtocol::Fhir);
    let endpoint = Endpoint { uri, protocol, ..endpoint };
    store.set_endpoint(&north.id, Some(&endpoint)).await.unwrap();
    store.set_purposes(&north.id, &[PurposeOfUse::Hresch]).await.unwrap();
    let changed = store.update_member(&north.id, None, Some(MemberState::Suspended)).await.unwrap();
    assert_eq!(changed.display_name, north.display_name);
    assert_eq!(changed.state, MemberState::Suspended);
    assert_eq!(changed.purposes, [PurposeOfUse::Hresch]);
    assert_eq!(changed.endpoint, Some(endpoint));
    store.set_endpoint(&north.id, None).await.unwrap();
    assert_eq!(store.member(&north.id).await.unwrap().unwrap().endpoint, None);

    let nobody = "nobody".parse().unwrap();
    assert_eq!(store.member(&nobody).await.unwrap(), None);
    assert!(matches!(store.update_member(&nobody, None, None).await, Err(Error::MemberUnknown)));
    assert!(matches!(store.set_endpoint(&nobody, None).await, Err(Error::MemberUnknown)));
}

async fn certificates_belong_to_one_member(store: &dyn Store) {
    let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
    let certificate = Certificate { fingerprint: [1; 32], not_after_us: 9, revoked_us: None };
    assert_eq!(store.add_certificate(&north, &certificate).await.unwrap(), certificate);
    assert_eq!(store.add_certificate(&north, &certificate).await.unwrap(), certificate);
    assert!(matches!(store.add_certificate(&south, &certificate).await, Err(Error::CertificateTaken)));
    let owner = store.by_certificate(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(owner.id, north);
    assert_eq!(store.by_certificate(&[9; 32]).await.unwrap(), None);
    let key = TokenKey { kid: "k".into(), public_key_pem: "PEM".into(), revoked_us: None };
    assert_eq!(store.add_token_key(&north, &key).await.unwrap(), key);
    assert_eq!(store.add_token_key(&south, &key).await.unwrap(), key, "key ids belong to a member");
    let other = TokenKey { public_key_pem: "OTHER".into(), ..key };
    assert!(matches!(store.add_token_key(&north, &other).await, Err(Error::TokenKeyExists)));
}

async fn revocation_is_final(store: &dyn Store) {
    let north = "north".parse().unwrap();
    let (id, revoked) = store.revoke_certificate(&[1; 32], 50).await.unwrap();
    assert_eq!((id, revoked.revoked_us), (north, Some(50)));
    let (north, again) = store.revoke_certificate(&[1; 32], 60).await.unwrap();
    assert_eq!(again.revoked_us, Some(50), "the first revocation counts");
    let fresh = Certificate { revoked_us: None, ..again };
    assert_eq!(store.add_certificate(&north, &fresh).await.unwrap().revoked_us, Some(50));
    assert_eq!(store.revoke_token_key(&north, "k", 50).await.unwrap().revoked_us, Some(50));
    assert!(matches!(store.revoke_token_key(&north, "no", 50).await, Err(Error::TokenKeyUnknown)));
    assert!(matches!(store.revoke_certificate(&[8; 32], 50).await, Err(Error::CertificateUnknown)));
}

async fn bootstrap_adds_and_never_revives(store: &dyn Store) {
    let mut north = member("north");
    north.certificates = vec![
        Certificate { fingerprint: [1; 32], not_after_us: 9, revoked_us: None },
        Certificate { fingerprint: [2; 32], not_after_us: 9, revoked_us: None },
    ];
    store.bootstrap(&north, 1).await.unwrap();
    let now = store.member(&north.id).await.unwrap().unwrap();
    assert_eq!(now.state, MemberState::Suspended, "a suspended member stays suspended");
    let revoked: Vec<_> = now.certificates.iter().map(|c| (c.fingerprint[0], c.revoked_us)).collect();
    assert!(revoked.contains(&(1, Some(50))) && revoked.contains(&(2, None)));
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*store::open(&Location::Memory).await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("directory.sqlite"));
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("directory") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}
