//! A database of the release before checkpoints were signed, opened by this one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, time::Duration};

use signpost_audit::{
    Alarms, Config, Deps, build,
    domain::{checkpoint::Checkpoint, merkle, misuse},
    signing::Signer,
    store,
};
use signpost_common::{
    clock,
    db::{self, Location},
    hash::Blinder,
    id::EventId,
    lifecycle::Lifecycle,
};
use sqlx::migrate::Migrator;

/// Returns the migrations of that release.
async fn before(database: &str) -> Migrator {
    let all = Path::new("../../migrations/audit").join(database);
    let folder = tempfile::tempdir().unwrap();
    for name in ["0001_audit.sql", "0002_append.sql"] {
        std::fs::copy(all.join(name), folder.path().join(name)).unwrap();
    }
    Migrator::new(folder.path()).await.unwrap()
}

/// An event, as that release kept it.
fn rows(bytes: impl Fn(&[u8]) -> String) -> String {
    let (id, leaf, hash) = (EventId::generate(), bytes(b"leaf"), bytes(&merkle::leaf_hash(b"leaf")));
    format!(
        "INSERT INTO event (sequence, event_id, kind, outcome, member_id, occurred_at, leaf)
            VALUES (0, '{id}', 1, 1, 'north', 5, {leaf});
         INSERT INTO event_subject VALUES (-3, 0);
         INSERT INTO node VALUES (0, 0, {hash});
         UPDATE log_head SET size = 1;"
    )
}

async fn upgrades(location: Location) {
    match db::open(&location, &before("sqlite").await, &before("postgres").await).await.unwrap() {
        db::Database::Sqlite(pools) => {
            let rows = rows(|bytes| format!("X'{}'", hex::encode(bytes)));
            sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&pools.write).await.unwrap();
        }
        db::Database::Postgres(pools) => {
            let rows = rows(|bytes| format!("'\\x{}'", hex::encode(bytes)));
            sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&pools.write).await.unwrap();
        }
    }
    for _ in 0..2 {
        let looked = store::open_scan(&location).await;
        assert!(matches!(looked, Err(db::Error::Outdated)), "whoever looks at it does not change it");
    }
    let signer = || Signer::new("log", &[1; 32].into()).unwrap();
    let lifecycle = Lifecycle::new();
    let config = Config {
        database: location.clone(),
        blinder: Blinder::new(&[7; 32]).unwrap(),
        signer: signer(),
        keys_before: vec![],
        journal: None,
        misuse: misuse::Policy::default(),
    };
    let (alarms, directory) = (Alarms::default(), std::sync::Arc::default());
    let deps = Deps { clock: clock::system(), lifecycle: lifecycle.clone(), alarms, directory };
    let _routes = build(config, deps).await.unwrap();
    lifecycle.drain(Duration::from_secs(10)).await;
    let store = store::open(&location).await.unwrap();
    assert_eq!(store.event(0).await.unwrap().unwrap().leaf, b"leaf");
    assert_eq!(store.disclosures(-3, None, 9).await.unwrap().len(), 1);
    assert_eq!(store::open_scan(&location).await.unwrap().counts().await.unwrap().head, 1);
    let kept = store.last_checkpoint().await.unwrap().unwrap();
    let signed = Checkpoint::verify(&kept.note, &[signer().verifier().clone()]).unwrap();
    assert_eq!((signed.size, signed.root), (1, merkle::leaf_hash(b"leaf")), "what was there is signed");
}

#[tokio::test]
async fn a_log_on_sqlite_is_signed_from_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    upgrades(Location::File(folder.path().join("audit.sqlite"))).await;
}

#[tokio::test]
async fn a_log_on_postgres_is_signed_from_where_it_is() {
    let Some(location) = db::scratch_postgres("audit") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    upgrades(location).await;
}
