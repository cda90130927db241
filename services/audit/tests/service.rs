//! What callers see of the service, without the network.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use signpost_audit::{
    Alarms, Config, Deps, build,
    domain::{checkpoint::Checkpoint, merkle, misuse::Policy},
    signing::Signer,
};
use signpost_common::{
    clock,
    db::Location,
    hash::Blinder,
    id::EventId,
    lifecycle::Lifecycle,
    rpc::{Context, status},
};
use signpost_proto::{
    audit::v1::{
        AppendRequest, DocumentDisclosure, Event, EventKind, EventOutcome, GetCheckpointRequest,
        GetConsistencyProofRequest, GetInclusionProofRequest, ListDisclosuresRequest, SearchEventsRequest,
        WatchCheckpointsRequest, audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::{Caller, PurposeOfUse, RecordReference, Role},
};
use tonic::{Request, service::Routes};

type Client = AuditLogServiceClient<Routes>;

async fn client() -> (Client, Lifecycle) {
    let lifecycle = Lifecycle::new();
    let signer = Signer::new("log.example/a", &[1; 32].into()).unwrap();
    let blinder = Blinder::new(&[7; 32]).unwrap();
    let config = Config {
        database: Location::Memory,
        blinder,
        signer,
        keys_before: vec![],
        journal: None,
        misuse: Policy::default(),
    };
    let deps = Deps {
        clock: clock::system(),
        lifecycle: lifecycle.clone(),
        alarms: Alarms::default(),
        directory: Arc::default(),
    };
    (AuditLogServiceClient::new(build(config, deps).await.unwrap().prepare()), lifecycle)
}

/// Returns the context of a call by a user of a member, as admission makes it.
fn user(member_id: &str, user: &str, role: Role) -> Context {
    let caller = Caller {
        member_id: member_id.into(),
        user: user.into(),
        role: role.into(),
        purpose: PurposeOfUse::Etreat.into(),
        ..Caller::default()
    };
    Context { caller, inside: false, ..Context::exchange("x") }
}

fn from<T>(context: &Context, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(context.clone());
    request
}

fn locate(caller: Caller, local_id: &str) -> Event {
    Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        action: "/signpost.locator.v1.RecordLocatorService/Locate".into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(caller),
        patient_records: vec![RecordReference { member_id: "north".into(), local_id: local_id.into() }],
        occurred_at: Some("2026-03-01T02:14:00Z".parse().map(clock::to_proto).unwrap()),
        ..Event::default()
    }
}

async fn append(client: &Client, event: Event) -> u64 {
    let request = from(&Context::exchange("locator"), AppendRequest { event: Some(event) });
    client.clone().append(request).await.unwrap().into_inner().sequence
}

#[tokio::test]
async fn concurrent_appends_get_a_place_each_and_late_ones_too() {
    let (client, lifecycle) = client().await;
    let events: Vec<_> = (0..1500).map(|n| locate(Caller::default(), &n.to_string())).collect();
    let mut places = join_all(events.iter().map(|event| append(&client, event.clone()))).await;
    places.sort_unstable();
    assert_eq!(places, (0..1500).collect::<Vec<_>>());
    assert!(append(&client, events[7].clone()).await < 1500, "a retry keeps its place");

    // What waits when the stop begins is written, and what comes later as well.
    let waiting = join_all((0..50).map(|_| append(&client, locate(Caller::default(), "x"))));
    let (places, ()) = tokio::join!(waiting, async { lifecycle.stop() });
    assert_eq!(places.len(), 50);
    lifecycle.drain(Duration::from_secs(5)).await;
    assert_eq!(append(&client, locate(Caller::default(), "x")).await, 1550);
}

#[tokio::test]
async fn what_the_log_says_can_be_proved() {
    let (client, _lifecycle) = client().await;
    let officer = user("coast", "officer", Role::PrivacyOfficer);
    for member in ["coast", "north", "coast"] {
        append(&client, locate(user(member, "dr.lee", Role::Physician).caller, "1")).await;
    }
    let checkpoint = async |client: &Client| {
        let request = from(&officer, GetCheckpointRequest {});
        let response = client.clone().get_checkpoint(request).await.unwrap().into_inner();
        (response.size, <[u8; 32]>::try_from(response.root_hash).unwrap())
    };
    let hashes = |path: Vec<Vec<u8>>| path.into_iter().map(|h| h.try_into().unwrap()).collect::<Vec<_>>();
    let (size, root) = checkpoint(&client).await;
    assert_eq!(size, 3);
    for sequence in 0..3 {
        let request = from(&officer, GetInclusionProofRequest { sequence, size });
        let proof = client.clone().get_inclusion_proof(request).await.unwrap().into_inner();
        let leaf_hash = proof.leaf_hash.try_into().unwrap();
        assert!(merkle::verify_inclusion(&leaf_hash, sequence, size, &hashes(proof.path), &root));
        assert!(proof.leaf.is_empty(), "to members an event is proved, not shown");
    }
    let operator = Context { operator: true, ..user("ops", "ann", Role::Operator) };
    for sequence in 0..2 {
        let request = from(&operator, GetInclusionProofRequest { sequence, size });
        let proof = client.clone().get_inclusion_proof(request).await.unwrap().into_inner();
        assert_eq!(merkle::leaf_hash(&proof.leaf)[..], proof.leaf_hash[..]);
    }
    let (later, new_root) = checkpoint(&client).await;
    assert_eq!(later, 5, "reading two leaves was logged");
    let request = from(&officer, GetConsistencyProofRequest { first_size: size, second_size: 0 });
    let proof = client.clone().get_consistency_proof(request).await.unwrap().into_inner();
    assert!(merkle::verify_consistency(size, later, &root, &new_root, &hashes(proof.path)));

    let inclusion = async |sequence, size| {
        let request = from(&officer, GetInclusionProofRequest { sequence, size });
        status::field(&client.clone().get_inclusion_proof(request).await.unwrap_err())
    };
    assert_eq!(inclusion(5, 0).await, "sequence");
    assert_eq!(inclusion(u64::MAX, 0).await, "sequence");
    assert_eq!(inclusion(0, u64::MAX).await, "size");
    let consistency = async |first_size, second_size| {
        let request = from(&officer, GetConsistencyProofRequest { first_size, second_size });
        status::field(&client.clone().get_consistency_proof(request).await.unwrap_err())
    };
    assert_eq!(consistency(0, 0).await, "first_size");
    assert_eq!(consistency(4, 3).await, "first_size");
    assert_eq!(consistency(1, 99).await, "second_size");
}

#[tokio::test]
async fn members_find_their_own_events_and_the_operator_all() {
    let (mut client, _lifecycle) = client().await;
    for member in ["coast", "north"] {
        append(&client, locate(user(member, "dr.lee", Role::Physician).caller, "1")).await;
    }
    let locates =
        SearchEventsRequest { kinds: vec![EventKind::Locate.into()], ..SearchEventsRequest::default() };
    let officer = user("coast", "officer", Role::PrivacyOfficer);
    let events = client.search_events(from(&officer, locates.clone())).await.unwrap().into_inner().events;
    assert_eq!(events.iter().map(|e| e.sequence).collect::<Vec<_>>(), [0]);
    assert!(events[0].event.as_ref().unwrap().patient_records.is_empty());
    let foreign = SearchEventsRequest { member_id: "north".into(), ..locates.clone() };
    let refused = client.search_events(from(&officer, foreign.clone())).await.unwrap_err();
    assert_eq!(status::reason(&refused), "NOT_YOUR_OWN");

    let operator = Context { operator: true, ..user("ops", "ann", Role::Operator) };
    let events = client.search_events(from(&operator, locates)).await.unwrap().into_inner().events;
    assert_eq!(events.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 0]);
    let events = client.search_events(from(&operator, foreign)).await.unwrap().into_inner().events;
    assert_eq!(events.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1]);

    let reads =
        SearchEventsRequest { kinds: vec![EventKind::AuditRead.into()], page_size: 2, ..Default::default() };
    let page = client.search_events(from(&operator, reads.clone())).await.unwrap().into_inner();
    let readers =
        page.events.iter().map(|e| e.event.as_ref().unwrap().caller.as_ref().unwrap().user.as_str());
    assert_eq!(readers.collect::<Vec<_>>(), ["ann", "ann"], "reading is logged");
    let next = SearchEventsRequest { page_token: page.next_page_token, ..reads };
    let page = client.search_events(from(&operator, next)).await.unwrap().into_inner();
    assert_eq!((page.events.len(), page.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn patients_see_who_looked() {
    let (mut client, _lifecycle) = client().await;
    let document = |id: &str, released| DocumentDisclosure {
        document_id: id.into(),
        custodian: "north".into(),
        released,
        rule_ids: vec![],
        ..DocumentDisclosure::default()
    };
    let mut event = locate(user("coast-general", "dr.lee", Role::Physician).caller, "MRN-1");
    event.documents = vec![document("shown", true), document("hidden", false)];
    append(&client, event).await;
    append(&client, locate(user("coast-general", "dr.lee", Role::Physician).caller, "MRN-2")).await;

    let patient = RecordReference { member_id: String::new(), local_id: "MRN-1".into() };
    let request = ListDisclosuresRequest { patient: Some(patient), ..ListDisclosuresRequest::default() };
    let mut list = async |context: &Context| client.list_disclosures(from(context, request.clone())).await;
    let told = list(&user("north", "MRN-1", Role::Patient)).await.unwrap().into_inner().disclosures;
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].sentence,
        "dr.lee (physician) at coast-general looked up your records for emergency treatment on \
         2026-03-01 02:14 UTC and was shown 1 document; 1 was withheld."
    );
    let event = told[0].logged.as_ref().unwrap().event.as_ref().unwrap();
    assert_eq!(event.documents, [document("shown", true)], "what was withheld is not named");

    let officer = list(&user("north", "officer", Role::PrivacyOfficer)).await.unwrap().into_inner();
    assert!(officer.disclosures[0].sentence.ends_with("was shown 1 document."));
    let other = list(&user("north", "MRN-2", Role::Patient)).await.unwrap_err();
    assert_eq!(status::reason(&other), "NOT_YOUR_OWN");
    let elsewhere = list(&user("south", "MRN-1", Role::Patient)).await.unwrap().into_inner();
    assert!(elsewhere.disclosures.is_empty(), "the same local id at another member is another patient");
}

#[tokio::test]
async fn checkpoints_are_signed_as_the_log_grows_and_followed_by_anybody() {
    let (client, lifecycle) = client().await;
    let keys = [Signer::new("log.example/a", &[1; 32].into()).unwrap().verifier().clone()];
    let nurse = user("coast", "n.kim", Role::Nurse);
    let watch = async |resume_token: String, after_size| {
        let request = from(&nurse, WatchCheckpointsRequest { resume_token, after_size });
        client.clone().watch_checkpoints(request).await
    };
    let mut stream = watch(String::new(), 0).await.unwrap().into_inner();
    for _ in 0..3 {
        append(&client, locate(Caller::default(), "1")).await;
    }
    let mut first = stream.message().await.unwrap().unwrap();
    while first.size < 3 {
        first = stream.message().await.unwrap().unwrap();
    }
    let signed = Checkpoint::verify(&first.checkpoint, &keys).unwrap();
    assert_eq!(signed.size, 3);
    let request = from(&nurse, GetCheckpointRequest {});
    let now = client.clone().get_checkpoint(request).await.unwrap().into_inner();
    assert_eq!((now.size, now.checkpoint), (3, first.checkpoint.clone()));
    assert_eq!(signed.root[..], now.root_hash[..]);

    // From a token and from a size, each once.
    append(&client, locate(Caller::default(), "1")).await;
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!(second.size, 4);
    let mut resumed = watch(first.resume_token.clone(), 0).await.unwrap().into_inner();
    assert_eq!(resumed.message().await.unwrap().unwrap().checkpoint, second.checkpoint);
    let mut resumed = watch(String::new(), 3).await.unwrap().into_inner();
    assert_eq!(resumed.message().await.unwrap().unwrap().checkpoint, second.checkpoint);
    assert_eq!(status::field(&watch(String::new(), 5).await.unwrap_err()), "after_size");
    assert_eq!(status::field(&watch("x".into(), 0).await.unwrap_err()), "resume_token");

    // What was appended right before the end is signed, too.
    append(&client, locate(Caller::default(), "1")).await;
    lifecycle.stop();
    drop((stream, resumed));
    lifecycle.drain(Duration::from_secs(5)).await;
    let request = from(&nurse, GetCheckpointRequest {});
    let last = client.clone().get_checkpoint(request).await.unwrap().into_inner();
    assert_eq!(Checkpoint::verify(&last.checkpoint, &keys).unwrap().size, 5);
}
