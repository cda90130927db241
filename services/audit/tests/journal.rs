//! The database does not take events, and the journal does; then neither does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use signpost_audit::{
    Alarms, Config, Deps, build,
    domain::misuse::Policy,
    journal::{self, Journal, Waiting},
    signing::Signer,
    store, verify,
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
        AppendRequest, AppendResponse, Event, EventKind, EventOutcome,
        audit_log_service_client::AuditLogServiceClient,
    },
    common::v1::Caller,
};
use sqlx::{Connection, SqliteConnection};
use tonic::{Request, Status, service::Routes};

struct World {
    folder: tempfile::TempDir,
}

/// A running service.
struct Running {
    client: AuditLogServiceClient<Routes>,
    lifecycle: Lifecycle,
    alarms: Alarms,
}

fn signer() -> Signer {
    Signer::new("log", &[1; 32].into()).unwrap()
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("audit.sqlite")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("other-disk").join("journal")
    }

    async fn start(&self) -> Running {
        std::fs::create_dir_all(self.journal().parent().unwrap()).unwrap();
        let (lifecycle, alarms) = (Lifecycle::new(), Alarms::default());
        let config = Config {
            database: Location::File(self.database()),
            blinder: Blinder::new(&[7; 32]).unwrap(),
            signer: signer(),
            keys_before: vec![],
            journal: Some(self.journal()),
            misuse: Policy::default(),
        };
        let deps = Deps {
            clock: clock::system(),
            lifecycle: lifecycle.clone(),
            alarms: alarms.clone(),
            directory: Arc::default(),
        };
        let client = AuditLogServiceClient::new(build(config, deps).await.unwrap().prepare());
        Running { client, lifecycle, alarms }
    }

    /// Keeps everybody else from writing to the database until it is closed.
    async fn lock(&self) -> SqliteConnection {
        let mut c = SqliteConnection::connect(&self.database().display().to_string()).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").execute(&mut c).await.unwrap();
        c
    }

    fn waiting(&self) -> Waiting {
        journal::waiting(&self.journal()).unwrap().unwrap()
    }

    /// Waits until nothing waits.
    async fn emptied(&self) {
        let began = Instant::now();
        while self.waiting().entries > 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", self.waiting());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the ids of the events in the log, in order. The log must be good.
    async fn logged(&self) -> Vec<String> {
        let scan: Arc<dyn store::Scan> =
            Arc::from(store::open_scan(&Location::File(self.database())).await.unwrap());
        let keys = [signer().verifier().clone()];
        let verdict = verify::database::verify(scan.clone(), &keys, &[], &|_, _| ()).await.unwrap();
        assert_eq!(verdict.finding, None);
        let rows = scan.rows(0, 10_000).await.unwrap();
        rows.into_iter().map(|row| row.said.unwrap().split(' ').next().unwrap().to_owned()).collect()
    }
}

fn event() -> Event {
    Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(Caller { member_id: "north".into(), ..Caller::default() }),
        occurred_at: Some(clock::to_proto(clock::system().now())),
        ..Event::default()
    }
}

impl Running {
    async fn try_append(&self, event: &Event) -> Result<AppendResponse, Status> {
        let mut request = Request::new(AppendRequest { event: Some(event.clone()) });
        request.extensions_mut().insert(Context::exchange("locator"));
        Ok(self.client.clone().append(request).await?.into_inner())
    }

    async fn append(&self, event: &Event) -> AppendResponse {
        self.try_append(event).await.unwrap()
    }

    fn alarm(&self) -> String {
        self.alarms.sinks.borrow().clone().unwrap_or_default()
    }

    /// Ends as a killed process does: nothing is finished.
    async fn kill(self) {
        drop(self.client);
        self.lifecycle.drain(Duration::ZERO).await;
    }
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.event_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_takes_events_while_the_database_does_not() {
    let world = World::new();
    let running = world.start().await;
    let events: Vec<_> = (0..40).map(|_| event()).collect();
    assert!(!running.append(&events[0]).await.waits);
    let locked = world.lock().await;
    let began = Instant::now();
    for event in &events[1..21] {
        assert!(running.append(event).await.waits);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "one waited for the database, and not all");
    assert_eq!(world.waiting(), Waiting { entries: 20, torn: 0 });
    assert!(running.alarm().contains("wait in the journal"), "{}", running.alarm());
    locked.close().await.unwrap();
    for event in &events[21..] {
        running.append(event).await;
    }
    world.emptied().await;
    assert_eq!(world.logged().await, ids(&events), "all of them, once, in order");
    assert_eq!(running.append(&event()).await, AppendResponse { sequence: 40, waits: false });
    tokio::time::timeout(Duration::from_secs(15), async {
        while !running.alarm().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_is_there_after_a_crash_and_once() {
    let world = World::new();
    let running = world.start().await;
    let events: Vec<_> = (0..12).map(|_| event()).collect();
    running.append(&events[0]).await;
    let locked = world.lock().await;
    for event in &events[1..] {
        assert!(running.append(event).await.waits);
    }
    running.kill().await;
    locked.close().await.unwrap();
    // As if the database had taken some of them before the crash, and the last write was torn.
    let (leaves, _) = Journal::open(&world.journal()).unwrap().read(99).unwrap();
    assert_eq!(leaves.len(), 11);
    let mut bytes = std::fs::read(world.journal()).unwrap();
    bytes.extend([9, 0, 0, 0, 1, 2, 3]);
    std::fs::write(world.journal(), bytes).unwrap();
    assert_eq!(world.waiting(), Waiting { entries: 11, torn: 7 });

    let running = world.start().await;
    world.emptied().await;
    assert_eq!(world.waiting().torn, 0);
    assert_eq!(world.logged().await, ids(&events));
    assert_eq!(running.append(&events[5]).await.sequence, 5, "it is the same event");
    running.kill().await;

    // Another crash, right after the database took them and before the journal forgot.
    Journal::open(&world.journal()).unwrap().append(leaves.iter().map(Vec::as_slice)).unwrap();
    let running = world.start().await;
    world.emptied().await;
    assert_eq!(world.logged().await, ids(&events));
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_neither_sink_nothing_is_acknowledged() {
    let world = World::new();
    let running = world.start().await;
    let known = event();
    running.append(&known).await;
    let locked = world.lock().await;
    let folder = world.journal().parent().unwrap().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    let lost = event();
    let refused = running.try_append(&lost).await.unwrap_err();
    assert_eq!(status::reason(&refused), "LOG_UNAVAILABLE");
    assert!(running.alarm().contains("nothing is released"), "{}", running.alarm());
    locked.close().await.unwrap();
    // The database came back, and is enough.
    let mut tries = 0;
    while running.try_append(&lost).await.is_err() {
        tries += 1;
        assert!(tries < 20);
    }
    assert_eq!(world.logged().await, ids(&[known, lost]));
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_kept_beside() {
    let world = World::new();
    let running = world.start().await;
    let taken = event();
    running.append(&taken).await;
    let locked = world.lock().await;
    let forged = Event { action: "/something/Else".into(), ..taken.clone() };
    let fine = event();
    assert!(running.append(&forged).await.waits);
    assert!(running.append(&fine).await.waits);
    locked.close().await.unwrap();
    world.emptied().await;
    assert_eq!(world.logged().await, ids(&[taken, fine]));
    let beside = world.journal().with_file_name("journal.refused");
    assert!(std::fs::metadata(beside).unwrap().len() > 50);
    running.kill().await;
}
