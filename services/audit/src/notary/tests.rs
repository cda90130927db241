use signpost_common::{clock, db::Location, id::EventId};
use signpost_proto::audit::v1::{EventKind, EventOutcome};
use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::{domain::Entry, store};

fn entries(count: usize) -> Vec<Entry> {
    let entry = |()| Entry {
        id: EventId::generate(),
        kind: EventKind::Locate,
        outcome: EventOutcome::Success,
        member_id: None,
        occurred_us: 0,
        subjects: vec![],
        leaf: EventId::generate().to_string().into_bytes(),
        request_id: String::new(),
    };
    std::iter::repeat_n((), count).map(entry).collect()
}

struct World {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Location::File(folder.path().join("audit.sqlite"))).await.unwrap();
        Self { folder, store: store.into() }
    }

    fn notary(&self, seed: u8, before: &[u8]) -> Notary {
        let signer = |seed: &u8| Signer::new("log", &[*seed; 32].into()).unwrap();
        Notary {
            store: self.store.clone(),
            signer: signer(&seed),
            keys: std::iter::once(&seed).chain(before).map(|seed| signer(seed).verifier().clone()).collect(),
            clock: clock::system(),
            last: Mutex::default(),
            signed: Arc::default(),
            alarm: watch::Sender::default(),
        }
    }

    /// Changes the database behind the service's back.
    async fn tamper(&self, sql: &'static str) {
        let url = self.folder.path().join("audit.sqlite").display().to_string();
        let mut c = SqliteConnection::connect(&url).await.unwrap();
        let triggers: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&mut c)
                .await
                .unwrap();
        for (name,) in triggers.into_iter().filter(|(name,)| name != "log_append_is_all_or_nothing") {
            // The names come from the schema.
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TRIGGER {name}"))).execute(&mut c).await.unwrap();
        }
        sqlx::raw_sql(sql).execute(&mut c).await.unwrap();
    }

    async fn sizes(&self) -> Vec<u64> {
        self.store.checkpoints(0, 99).await.unwrap().into_iter().map(|kept| kept.size).collect()
    }
}

#[tokio::test]
async fn a_log_that_has_grown_is_signed_once() {
    let world = World::new().await;
    let (one, two) = (world.notary(1, &[]), world.notary(1, &[]));
    assert!(!one.sign().await.unwrap(), "nothing is there to sign");
    for size in [1, 2, 5, 6] {
        let missing = size - world.store.size().await.unwrap() as usize;
        world.store.append(&entries(missing)).await.unwrap();
        let (by, other) = if size % 2 == 0 { (&one, &two) } else { (&two, &one) };
        assert!(by.sign().await.unwrap());
        assert!(!other.sign().await.unwrap(), "it is signed already");
        assert!(!by.sign().await.unwrap());
    }
    assert_eq!(world.sizes().await, [1, 2, 5, 6]);
    let lost = Kept { size: 7, note: String::new(), signed_us: 0 };
    assert!(!world.store.keep_checkpoint(5, &lost).await.unwrap(), "another was signed meanwhile");
}

#[tokio::test]
async fn what_contradicts_a_signature_is_not_signed() {
    let changes = [
        ("UPDATE node SET hash = zeroblob(32) WHERE level = 2 AND position = 0", "changed"),
        ("DELETE FROM node WHERE level = 0 AND position = 5; UPDATE log_head SET size = 5", "truncated"),
        ("DELETE FROM checkpoint; UPDATE checkpoint_head SET size = 0", "truncated"),
        ("UPDATE checkpoint SET note = replace(note, 'log', 'lag')", "the last checkpoint"),
        ("DELETE FROM node WHERE level = 2 AND position = 0", "could not be read"),
    ];
    for (sql, said) in changes {
        let world = World::new().await;
        let notary = world.notary(1, &[]);
        world.store.append(&entries(6)).await.unwrap();
        assert!(notary.sign().await.unwrap());
        world.tamper(sql).await;
        world.store.append(&entries(1)).await.ok();
        let refused = notary.sign().await.unwrap_err();
        assert!(refused.to_string().contains(said), "{sql}: {refused}");
        assert!(world.sizes().await.iter().all(|size| *size <= 6));
    }
}

#[tokio::test]
async fn a_new_process_goes_on_from_what_is_kept() {
    let world = World::new().await;
    world.store.append(&entries(3)).await.unwrap();
    assert!(world.notary(1, &[]).sign().await.unwrap());
    world.store.append(&entries(3)).await.unwrap();
    // Another key alone would make anybody's checkpoints good.
    let foreign = world.notary(2, &[]).sign().await.unwrap_err();
    assert!(matches!(foreign, Refused::Foreign(3, checkpoint::Error::UnknownKey)), "{foreign}");
    assert!(world.notary(2, &[1]).sign().await.unwrap());
    world.store.append(&entries(1)).await.unwrap();
    world.tamper("UPDATE node SET hash = zeroblob(32) WHERE level = 2 AND position = 0").await;
    let changed = world.notary(2, &[]).sign().await.unwrap_err();
    assert!(matches!(changed, Refused::Changed { signed: 6 }), "{changed}");
}
