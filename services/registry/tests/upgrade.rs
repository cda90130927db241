//! A database of the release before changes were logged, opened by this one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use prost::Message;
use signpost_common::{
    db::{self, Location},
    id::{DocumentId, RecordRef},
    rpc::watch::Position,
};
use signpost_proto::registry::v1::{ChangeKind, DocumentEntry, DocumentStatus, Liveness};
use signpost_registry::{
    domain::{FoundBy, Pointer, Query, Registration, Report},
    store,
};
use sqlx::migrate::Migrator;

/// Returns the first migration alone.
async fn first(database: &str) -> Migrator {
    let all = Path::new("../../migrations/registry").join(database);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(all.join("0001_registry.sql"), folder.path().join("0001_registry.sql")).unwrap();
    Migrator::new(folder.path()).await.unwrap()
}

/// Facts of the last document, which the earlier release did not look into.
fn facts() -> Vec<u8> {
    let service_start_time = Some(prost_types::Timestamp { seconds: 7, nanos: 0 });
    DocumentEntry { labels: vec!["R".into()], service_start_time, ..DocumentEntry::default() }.encode_to_vec()
}

/// Three versions of one document, one that was withdrawn, and one that is dead.
fn rows(ids: &[DocumentId; 5], bytes: impl Fn(&[u8]) -> String) -> String {
    let text = |id: Option<usize>| id.map_or("NULL".to_owned(), |at| format!("'{}'", ids[at]));
    let row = |at: usize, status: i32, liveness: i32, replaces, replaced_by| {
        let (id, sha256, facts) = (&ids[at], bytes(&[1; 32]), bytes(&facts()));
        let (replaces, replaced_by) = (text(replaces), text(replaced_by));
        format!(
            "INSERT INTO document VALUES ('{id}', 'north', '1', 'u-{at}', 't', '', {status}, 5, {at}0, {sha256},
             {liveness}, {liveness}, {replaces}, {replaced_by}, {facts});"
        )
    };
    [
        row(0, 2, 0, None, Some(1)),
        row(1, 2, 0, Some(0), Some(2)),
        row(2, 1, 0, Some(1), None),
        row(3, 3, 0, None, None),
        row(4, 1, 3, None, None),
    ]
    .concat()
}

async fn upgrades(location: Location) {
    let ids = [(); 5].map(|()| DocumentId::generate());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match db::open(&location, &first("sqlite").await, &first("postgres").await).await.unwrap() {
        db::Database::Sqlite(pools) => {
            let rows = rows(&ids, |bytes| format!("X'{}'", hex(bytes)));
            sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&pools.write).await.unwrap();
            pools.read.close().await;
            pools.write.close().await;
        }
        db::Database::Postgres(pools) => {
            let rows = rows(&ids, |bytes| format!("'\\x{}'", hex(bytes)));
            sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&pools.write).await.unwrap();
        }
    }
    store::open(&location).await.unwrap();
    let store = store::open(&location).await.unwrap();

    let newest = store.document(&ids[2], None).await.unwrap().unwrap();
    assert_eq!(newest.replaced, [ids[1], ids[0]], "nearest first");
    let at = async |of: usize, as_of_us| store.document(&ids[of], Some(as_of_us)).await.unwrap();
    assert_eq!(at(0, -1).await, None);
    assert_eq!(at(0, 9).await.unwrap().status, DocumentStatus::Current);
    let superseded = at(0, 10).await.unwrap();
    assert_eq!((superseded.status, superseded.replaced_by), (DocumentStatus::Superseded, Some(ids[1])));
    assert_eq!(at(3, 1_000_000).await.unwrap().status, DocumentStatus::Current);
    assert_eq!(at(3, i64::MAX).await.unwrap().status, DocumentStatus::Deprecated);
    assert_eq!(at(4, 1_000_000).await.unwrap().liveness, Liveness::Unspecified);
    assert_eq!(at(4, i64::MAX).await, store.document(&ids[4], None).await.unwrap());

    let patients = vec![RecordRef::new("north".parse().unwrap(), "1").unwrap()];
    let labels = vec!["R".to_owned()];
    let statuses = vec![DocumentStatus::Current];
    let service_from_us = Some(7_000_000);
    let query = Query { patients: patients.clone(), labels, statuses, service_from_us, ..Query::default() };
    assert_eq!(store.count(&query).await.unwrap(), 2);
    assert_eq!(store.count(&Query { service_from_us: Some(7_000_001), ..query }).await.unwrap(), 0);

    let changes = store.changes(Position::default(), None, 100).await.unwrap();
    let mut kinds: Vec<_> = changes.into_iter().map(|(_, change)| change.unwrap().kind as i32).collect();
    kinds.sort_unstable();
    let kind = |kind: ChangeKind, count| vec![kind as i32; count];
    let expected = [
        kind(ChangeKind::Registered, 5),
        kind(ChangeKind::Superseded, 2),
        kind(ChangeKind::Deprecated, 1),
        kind(ChangeKind::Liveness, 1),
    ];
    assert_eq!(kinds, expected.concat());

    let pointer = Pointer {
        patient: patients[0].clone(),
        unique_id: "u-4".into(),
        type_code: "t".into(),
        class_code: String::new(),
        created_us: 5,
        sha256: vec![1; 32],
        facts: facts(),
    };
    let again = Registration { pointer, found_by: FoundBy::default(), relations: vec![] };
    let again = store.register(&[again], 90).await.unwrap().remove(0).unwrap();
    assert_eq!((again.id, again.replayed), (ids[4], true));
    let ok = Report { succeeded: true, ..Report::default() };
    assert_eq!(store.report(&ids[4], &ok, None, 90).await.unwrap(), Liveness::Alive);
    assert_eq!(
        store.probes(9).await.unwrap().into_iter().map(|d| d.id).collect::<Vec<_>>(),
        [ids[2], ids[4]]
    );
}

#[tokio::test]
async fn a_file_of_the_earlier_release_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    upgrades(Location::File(folder.path().join("registry.sqlite"))).await;
}

#[tokio::test]
async fn a_schema_of_the_earlier_release_is_brought_up_to_date() {
    let Some(location) = db::scratch_postgres("registry") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    upgrades(location).await;
}
