use std::time::Instant;

use signpost_common::{clock, db::Location, hash::Blinder, id::EventId};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::Caller,
};
use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::store;

fn entry() -> Entry {
    let event = Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(Caller { member_id: "north".into(), ..Caller::default() }),
        occurred_at: Some(clock::to_proto(clock::system().now())),
        ..Event::default()
    };
    convert::entry(Some(event), &Blinder::new(&[7; 32]).unwrap()).unwrap()
}

struct World {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    sinks: Arc<Sinks>,
    lifecycle: Lifecycle,
}

impl World {
    async fn new() -> Self {
        let (folder, lifecycle) = (tempfile::tempdir().unwrap(), Lifecycle::new());
        let location = Location::File(folder.path().join("audit.sqlite"));
        let store: Arc<dyn Store> = store::open(&location).await.unwrap().into();
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        let sinks = Sinks::start(store.clone(), Some(journal), watch::Sender::default(), &lifecycle);
        Self { folder, store, sinks, lifecycle }
    }

    /// Uses the journal until this is dropped, as whoever waits for a disk that hangs.
    async fn hang(&self) -> impl Drop + use<> {
        self.sinks.journal.clone().unwrap().journal.lock_owned().await
    }

    /// Keeps everybody else from writing to the database until it is closed.
    async fn lock(&self) -> SqliteConnection {
        let url = self.folder.path().join("audit.sqlite").display().to_string();
        let mut c = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").execute(&mut c).await.unwrap();
        c
    }

    async fn write(&self, entry: &Entry) -> Result<Place, Error> {
        self.sinks.write(std::slice::from_ref(entry)).await.remove(0)
    }

    fn alarm(&self) -> String {
        self.sinks.alarm.borrow().clone().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_journal_that_hangs_is_not_waited_for_as_long_as_the_database_is_well() {
    let world = World::new().await;
    let hanging = world.hang().await;
    let began = Instant::now();
    for place in 0..5 {
        assert_eq!(world.write(&entry()).await.unwrap(), Some(place));
    }
    assert!(began.elapsed() < JOURNAL_TIME / 2, "{:?}", began.elapsed());
    drop(hanging);
    world.lifecycle.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn when_both_hang_nothing_is_acknowledged_and_nobody_waits_for_long() {
    let world = World::new().await;
    let (hanging, locked) = (world.hang().await, world.lock().await);
    let began = Instant::now();
    assert!(matches!(world.write(&entry()).await, Err(Error::NotDurable)));
    assert!(began.elapsed() < DATABASE_TIME + 2 * JOURNAL_TIME, "{:?}", began.elapsed());
    assert_eq!(world.alarm(), NEITHER);
    locked.close().await.unwrap();
    drop(hanging);
    world.lifecycle.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn events_pass_those_that_wait_in_a_journal_that_hangs() {
    let world = World::new().await;
    let (locked, first) = (world.lock().await, entry());
    assert_eq!(world.write(&first).await.unwrap(), None);
    let hanging = world.hang().await;
    locked.close().await.unwrap();
    assert!(world.write(&entry()).await.unwrap().is_some());
    assert_eq!(world.alarm(), NO_JOURNAL);
    let began = Instant::now();
    assert!(world.write(&entry()).await.unwrap().is_some());
    assert!(began.elapsed() < JOURNAL_TIME / 2, "it is known to hang: {:?}", began.elapsed());
    drop(hanging);
    let began = Instant::now();
    while world.store.size().await.unwrap() < 3 {
        assert!(began.elapsed() < Duration::from_secs(20), "the first still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.lifecycle.drain(Duration::ZERO).await;
}
