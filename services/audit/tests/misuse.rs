//! Signs of misuse, without the network: raised soon, kept once, seen by whom they are for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, sync::Arc, time::Duration};

use signpost_audit::{
    Alarms, Config, Deps, build,
    domain::misuse::{Count, Flag, Policy, Reason},
    signing::Signer,
    store::{self, FlagQuery, Flags, Look},
};
use signpost_common::{
    clock,
    db::{self, Location},
    hash::Blinder,
    id::EventId,
    lifecycle::Lifecycle,
    rpc::{Context, status},
};
use signpost_proto::{
    audit::v1::{
        AcknowledgeFlagRequest, AppendRequest, Event, EventKind, EventOutcome, ListFlagsRequest,
        ListFlagsResponse, ReplayFlagsRequest, WatchFlagsRequest,
        audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::{Caller, PurposeOfUse, RecordReference, Role},
};
use tonic::{Code, Request, service::Routes};

type Client = AuditLogServiceClient<Routes>;

/// A second is meant; a machine that is busy with other tests may take longer.
const SOON: Duration = Duration::from_secs(5);

fn blinder() -> Blinder {
    Blinder::new(&[7; 32]).unwrap()
}

async fn client(database: Location, misuse: Policy) -> (Client, Lifecycle) {
    let lifecycle = Lifecycle::new();
    let signer = Signer::new("log", &[1; 32].into()).unwrap();
    let config = Config { database, blinder: blinder(), signer, keys_before: vec![], journal: None, misuse };
    let (clock, directory) = (clock::system(), Arc::default());
    let deps = Deps { clock, lifecycle: lifecycle.clone(), alarms: Alarms::default(), directory };
    (AuditLogServiceClient::new(build(config, deps).await.unwrap().prepare()), lifecycle)
}

fn caller(member_id: &str, role: Role) -> Caller {
    Caller {
        member_id: member_id.into(),
        user: "dr.lee".into(),
        role: role.into(),
        purpose: PurposeOfUse::Treat.into(),
        ..Caller::default()
    }
}

fn officer(member_id: &str) -> Context {
    let caller = Caller { user: "officer".into(), ..caller(member_id, Role::PrivacyOfficer) };
    Context { caller, inside: false, operator: member_id == "operator", ..Context::exchange("x") }
}

fn from<T>(context: &Context, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(context.clone());
    request
}

/// Appends a look of a member's physician at a patient of north.
async fn look(client: &Client, member_id: &str, local_id: &str) {
    let event = Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        action: "/signpost.locator.v1.RecordLocatorService/Locate".into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(caller(member_id, Role::Physician)),
        person_id: format!("person of {local_id}"),
        patient_records: vec![RecordReference { member_id: "north".into(), local_id: local_id.into() }],
        occurred_at: Some(clock::to_proto(clock::system().now())),
        ..Event::default()
    };
    let request = from(&Context::exchange("locator"), AppendRequest { event: Some(event) });
    client.clone().append(request).await.unwrap();
}

async fn list(client: &Client, context: &Context, request: ListFlagsRequest) -> ListFlagsResponse {
    client.clone().list_flags(from(context, request)).await.unwrap().into_inner()
}

/// Waits until so many signs are kept.
async fn kept(client: &Client, count: usize) -> ListFlagsResponse {
    let kept = async {
        loop {
            let listed = list(client, &officer("operator"), ListFlagsRequest::default()).await;
            if listed.flags.len() >= count {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, kept).await.unwrap()
}

#[tokio::test]
async fn a_sign_is_streamed_soon_to_whom_it_is_for() {
    let (client, _lifecycle) = client(Location::Memory, Policy::default()).await;
    let watch = async |member: &str| {
        let request = from(&officer(member), WatchFlagsRequest::default());
        client.clone().watch_flags(request).await.unwrap().into_inner()
    };
    let (mut all, mut own, mut other) = (watch("operator").await, watch("coast").await, watch("south").await);
    look(&client, "north", "1").await;
    look(&client, "coast", "1").await;
    for stream in [&mut all, &mut own, &mut other] {
        let first = tokio::time::timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap();
        assert!(first.flag.is_none() && !first.resume_token.is_empty(), "a token to go on with: {first:?}");
    }
    for stream in [&mut all, &mut own] {
        let flag =
            tokio::time::timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap().flag.unwrap();
        assert_eq!((&*flag.reason, &*flag.member_id, &*flag.user), ("NO_RELATIONSHIP", "coast", "dr.lee"));
        assert_eq!(
            (flag.number, flag.evidence, flag.sequence),
            (1, vec![4], 4),
            "after three readings and a look"
        );
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(500), other.message()).await.is_err(),
        "it is not south's"
    );
}

#[tokio::test]
async fn signs_are_listed_and_acknowledged_with_a_note() {
    let (client, _lifecycle) = client(Location::Memory, Policy::default()).await;
    for member in ["coast", "south", "coast"] {
        look(&client, member, "1").await;
        look(&client, member, "2").await;
    }
    let listed = kept(&client, 4).await;
    let whose: Vec<_> = listed.flags.iter().map(|flag| (flag.number, &*flag.member_id)).collect();
    assert_eq!(whose, [(4, "south"), (3, "south"), (2, "coast"), (1, "coast")]);

    let coast = officer("coast");
    let numbers = |listed: ListFlagsResponse| listed.flags.iter().map(|flag| flag.number).collect::<Vec<_>>();
    let page = ListFlagsRequest { page_size: 1, ..ListFlagsRequest::default() };
    let first = list(&client, &coast, page.clone()).await;
    let page_token = first.next_page_token.clone();
    assert_eq!((numbers(first), page_token.is_empty()), (vec![2], false));
    let second = list(&client, &coast, ListFlagsRequest { page_token, ..page }).await;
    assert_eq!((second.next_page_token.is_empty(), numbers(second)), (true, vec![1]));

    let acknowledge = async |context: &Context, number, note: &str| {
        let request = AcknowledgeFlagRequest { number, note: note.into(), request_id: String::new() };
        client
            .clone()
            .acknowledge_flag(from(context, request))
            .await
            .map(|answer| answer.into_inner().flag.unwrap())
    };
    let unknown = acknowledge(&coast, 4, "ours?").await.unwrap_err();
    assert_eq!((unknown.code(), status::reason(&unknown)), (Code::NotFound, "FLAG_UNKNOWN".into()));
    let missing = acknowledge(&officer("operator"), 99, "none").await.unwrap_err();
    assert_eq!(missing.message(), unknown.message(), "another's and none are one answer");
    for note in ["", " \n ", "a\0b", &"x".repeat(2001)] {
        assert_eq!(status::field(&acknowledge(&coast, 2, note).await.unwrap_err()), "note");
    }
    let looked = acknowledge(&coast, 2, " a transfer, seen with the ward ").await.unwrap();
    let look = looked.acknowledgement.unwrap();
    assert_eq!(
        (&*look.member_id, &*look.user, &*look.note),
        ("coast", "officer", "a transfer, seen with the ward")
    );
    let open = ListFlagsRequest { open_only: true, ..ListFlagsRequest::default() };
    assert_eq!(numbers(list(&client, &coast, open).await), [1]);

    let request = ListFlagsRequest { member_id: "south".into(), ..ListFlagsRequest::default() };
    let refused = client.clone().list_flags(from(&coast, request)).await.unwrap_err();
    assert_eq!(status::reason(&refused), "NOT_YOUR_OWN");
}

#[tokio::test]
async fn the_past_is_watched_again_under_another_policy() {
    let lenient = Policy { off: [Reason::NoRelationship].into(), ..Policy::default() };
    let (client, _lifecycle) = client(Location::Memory, lenient).await;
    for at in 0..5 {
        look(&client, "coast", &at.to_string()).await;
    }
    let replay = async |from_s: i64, policy: &str| {
        let request = ReplayFlagsRequest {
            from: Some(prost_types::Timestamp { seconds: from_s, nanos: 0 }),
            to: None,
            policy: policy.into(),
        };
        let answer = client.clone().replay_flags(from(&officer("operator"), request)).await?;
        let mut answers = answer.into_inner();
        let (mut reasons, mut events) = (vec![], (0, 0));
        while let Some(answer) = answers.message().await? {
            reasons.extend(answer.flag.map(|flag| (flag.reason, flag.number)));
            events = (answer.events, answer.events_total);
        }
        assert_eq!(events.0, events.1, "all were looked at");
        Ok::<_, tonic::Status>(reasons)
    };
    assert_eq!(replay(0, "").await.unwrap(), [], "as it is in force");
    let strict = "velocity = { most = 3, within = \"1m\" }\noff = [\"no-relationship\"]\n";
    assert_eq!(replay(0, strict).await.unwrap(), [("VELOCITY".to_owned(), 0)]);
    let later = clock::system().now().as_second() + 3600;
    assert_eq!(replay(later, strict).await.unwrap(), [], "not of that time");
    let wrong = replay(0, "\nvelocity = 3").await.unwrap_err();
    assert_eq!(status::field(&wrong), "policy");
    assert!(
        list(&client, &officer("operator"), ListFlagsRequest::default()).await.flags.is_empty(),
        "none is kept"
    );
}

/// Runs a process that sees so many looks, until so many signs are kept in all.
async fn restart(folder: &Path, policy: &Policy, looks: usize, signs: usize) -> Vec<(String, usize)> {
    let database = Location::File(folder.join("audit.sqlite"));
    let (client, lifecycle) = client(database, policy.clone()).await;
    for _ in 0..looks {
        look(&client, "coast", "1").await;
    }
    // Long enough for what must not come.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let listed = kept(&client, signs).await;
    lifecycle.stop();
    lifecycle.drain(Duration::from_secs(5)).await;
    listed.flags.into_iter().map(|flag| (flag.reason, flag.evidence.len())).collect()
}

#[tokio::test]
async fn a_process_that_starts_again_remembers_counts_and_raises_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy {
        velocity: Count { most: 3, within_us: 3_600_000_000 },
        off: [Reason::NoRelationship].into(),
        ..Policy::default()
    };
    assert_eq!(restart(folder.path(), &policy, 3, 0).await, []);
    let first = restart(folder.path(), &policy, 1, 1).await;
    assert_eq!(first, [("VELOCITY".to_owned(), 4)], "three of them before the restart");
    assert_eq!(restart(folder.path(), &policy, 0, 1).await, first);
}

fn flag(sequence: u64, member_id: &str) -> Flag {
    Flag {
        reason: Reason::Velocity,
        sequence,
        at_us: 5,
        evidence: vec![1, sequence],
        member_id: member_id.into(),
        user: "dr.lee".into(),
        sentence: "4 looks".into(),
    }
}

async fn conforms(store: &dyn Flags) {
    let (first, second) = (flag(3, "north"), flag(4, "south"));
    assert_eq!(store.raise(4, std::slice::from_ref(&first)).await.unwrap(), 1);
    assert_eq!(
        store.raise(5, &[first.clone(), second.clone()]).await.unwrap(),
        1,
        "another process raised it"
    );
    assert_eq!(store.raise(2, &[]).await.unwrap(), 0);
    let head = store.flag_head().await.unwrap();
    assert_eq!((head.number, head.watched), (2, 5), "it does not step back");
    let all = FlagQuery::default();
    let read = store.flags(&all, None, 10).await.unwrap();
    assert_eq!(
        read.iter().map(|raised| raised.flag.clone()).collect::<Vec<_>>(),
        [second.clone(), first.clone()]
    );
    assert_eq!(store.flags(&all, Some(2), 10).await.unwrap()[0].flag, first);
    assert_eq!(store.flags_after(1, 10).await.unwrap()[0].flag, second);
    let own = FlagQuery { member_id: Some("north".parse().unwrap()), open_only: true };
    assert_eq!(store.flags(&own, None, 10).await.unwrap().len(), 1);
    let look = Look { member_id: "north".into(), user: "o".into(), note: "n".into(), at_us: 9 };
    store.acknowledge(1, &look).await.unwrap();
    assert_eq!(store.flag(1).await.unwrap().unwrap().look, Some(look));
    assert!(store.flags(&own, None, 10).await.unwrap().is_empty());
    assert_eq!(store.flag(3).await.unwrap(), None);
    assert_eq!(store.events_from(0, 10).await.unwrap(), []);
    assert_eq!(store.first_since(0).await.unwrap(), None);
}

#[tokio::test]
async fn sqlite_conforms() {
    conforms(&*store::open_all(&Location::Memory).await.unwrap().1).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("audit") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*store::open_all(&location).await.unwrap().1).await;
}
