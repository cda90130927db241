//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::{
    db::{self, Attempt, Location},
    id::{DocumentId, RecordRef},
};
use signpost_proto::registry::v1::{DocumentStatus, Liveness, ReplaceDocumentRequest};
use signpost_registry::{
    domain::{Pointer, Query},
    store::{self, Error, Store},
};

fn patient(member: &str, local: &str) -> RecordRef {
    RecordRef::new(member.parse().unwrap(), local).unwrap()
}

fn pointer(local: &str, unique_id: &str, created_us: i64) -> Pointer {
    Pointer {
        patient: patient("north", local),
        unique_id: unique_id.into(),
        type_code: "34133-9".into(),
        class_code: "11503-0".into(),
        created_us,
        sha256: vec![1; 32],
        facts: vec![1, 2, 3],
    }
}

fn current(patients: Vec<RecordRef>) -> Query {
    Query { patients, statuses: vec![DocumentStatus::Current], ..Query::default() }
}

async fn add(store: &dyn Store, pointer: &Pointer) -> DocumentId {
    let mut results = store.register(std::slice::from_ref(pointer), 9).await.unwrap();
    results.remove(0).unwrap().id
}

async fn conforms(store: &dyn Store) {
    the_same_facts_are_the_same_pointer(store).await;
    a_bad_item_fails_alone(store).await;
    searches_are_bounded_and_paged(store).await;
    a_replacement_is_atomic_and_replays(store).await;
    withdrawal_is_for_the_custodian_only(store).await;
    reports_move_liveness(store).await;
}

async fn the_same_facts_are_the_same_pointer(store: &dyn Store) {
    let one = pointer("same", "same-1", 5);
    let id = add(store, &one).await;
    let again = store.register(std::slice::from_ref(&one), 10).await.unwrap().remove(0).unwrap();
    assert_eq!((again.id, again.replayed), (id, true));
    let stored = store.document(&id).await.unwrap().unwrap();
    assert_eq!(stored.pointer, one);
    assert_eq!((stored.status, stored.liveness), (DocumentStatus::Current, Liveness::Unspecified));
    assert_eq!(stored.registered_us, 9);
    assert_eq!(store.document(&DocumentId::generate()).await.unwrap(), None);

    let foreign = Pointer { patient: patient("south", "same"), ..one };
    assert_ne!(add(store, &foreign).await, id, "unique ids belong to a custodian");
}

async fn a_bad_item_fails_alone(store: &dyn Store) {
    let one = pointer("batch", "batch-b", 1);
    let id = add(store, &one).await;
    let hash = Pointer { sha256: vec![2; 32], ..one.clone() };
    let facts = Pointer { facts: vec![9], ..one.clone() };
    let new = pointer("batch", "batch-a", 2);
    let batch = [hash, new.clone(), facts, one, new];
    let results = store.register(&batch, 9).await.unwrap();
    assert!(matches!(results[0], Err(Error::NonIdenticalHash)));
    assert!(!results[1].as_ref().unwrap().replayed);
    assert!(matches!(results[2], Err(Error::NonIdenticalEntry)));
    assert_eq!(results[3].as_ref().unwrap().id, id);
    assert!(results[4].as_ref().unwrap().replayed, "an item may come twice in a batch");
    assert_eq!(results[4].as_ref().unwrap().id, results[1].as_ref().unwrap().id);
    assert!(store.register(&[], 9).await.unwrap().is_empty());
}

async fn searches_are_bounded_and_paged(store: &dyn Store) {
    let mut ids = vec![];
    for n in 0..7 {
        // Pairs share a moment, so that the id decides.
        let local = if n % 2 == 0 { "even" } else { "odd" };
        ids.push(add(store, &pointer(local, &format!("search-{n}"), n / 2)).await);
    }
    let query = current(vec![patient("north", "even"), patient("north", "odd"), patient("south", "even")]);
    let mut found = vec![];
    let mut after = None;
    loop {
        let page = store.search(&query, after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.position());
        found.extend(page.iter().map(|d| d.id));
    }
    ids.reverse();
    assert_eq!(found, ids, "newest first, each once");
    assert_eq!(store.count(&query).await.unwrap(), 7);

    let count = async |change: fn(&mut Query)| {
        let mut query = query.clone();
        change(&mut query);
        let found = store.search(&query, None, 100).await.unwrap().len();
        assert_eq!(store.count(&query).await.unwrap(), found as i64);
        found
    };
    assert_eq!(count(|q| q.patients.truncate(1)).await, 4);
    assert_eq!(count(|q| q.patients.clear()).await, 0);
    assert_eq!(count(|q| q.custodians = vec!["south".parse().unwrap()]).await, 0);
    assert_eq!(count(|q| q.type_codes = vec!["x".into(), "34133-9".into()]).await, 7);
    assert_eq!(count(|q| q.class_codes = vec!["x".into()]).await, 0);
    assert_eq!(count(|q| q.statuses = vec![DocumentStatus::Deprecated]).await, 0);
    assert_eq!(count(|q| (q.from_us, q.to_us) = (Some(1), Some(3))).await, 4);
}

async fn a_replacement_is_atomic_and_replays(store: &dyn Store) {
    let old = add(store, &pointer("replace", "replace-1", 1)).await;
    let new = pointer("replace", "replace-2", 2);
    let another = pointer("another", "replace-3", 2);
    let foreign = Pointer { patient: patient("south", "replace"), ..new.clone() };
    let replace = async |old: &DocumentId, new: &Pointer| store.replace(old, new, None, 9).await;
    assert!(matches!(replace(&DocumentId::generate(), &new).await, Err(Error::DocumentUnknown)));
    assert!(matches!(replace(&old, &foreign).await, Err(Error::DocumentUnknown)));
    assert!(matches!(replace(&old, &another).await, Err(Error::PatientDiffers)));
    let taken = Pointer { sha256: vec![7; 32], ..pointer("replace", "replace-1", 1) };
    assert!(matches!(replace(&old, &taken).await, Err(Error::NonIdenticalHash)));
    assert_eq!(store.document(&old).await.unwrap().unwrap().status, DocumentStatus::Current);

    let body = ReplaceDocumentRequest { request_id: "r".into(), ..ReplaceDocumentRequest::default() };
    let attempt = Attempt::new("north/ehr", "ReplaceDocument", "r", &body);
    let id = store.replace(&old, &new, attempt.as_ref(), 9).await.unwrap();
    assert_eq!(store.replace(&old, &new, attempt.as_ref(), 9).await.unwrap(), id, "a retry replays");
    let other = ReplaceDocumentRequest { document_id: "x".into(), ..body };
    let reused = Attempt::new("north/ehr", "ReplaceDocument", "r", &other);
    let reused = store.replace(&old, &new, reused.as_ref(), 9).await;
    assert!(matches!(reused, Err(Error::Database(db::Error::RequestIdReused))));

    assert!(matches!(replace(&old, &new).await, Err(Error::NotCurrent)));
    let (old, newer) =
        (store.document(&old).await.unwrap().unwrap(), store.document(&id).await.unwrap().unwrap());
    assert_eq!((old.status, old.replaced_by), (DocumentStatus::Superseded, Some(id)));
    assert_eq!((newer.status, newer.replaces), (DocumentStatus::Current, Some(old.id)));
    let found = store.search(&current(vec![patient("north", "replace")]), None, 10).await.unwrap();
    assert_eq!(found, [newer], "a search finds the newer one alone");

    let there = add(store, &pointer("replace", "replace-4", 3)).await;
    assert!(matches!(replace(&id, &pointer("replace", "replace-4", 3)).await, Err(Error::NotItsReplacement)));
    assert_eq!(store.document(&there).await.unwrap().unwrap().replaces, None);
}

async fn withdrawal_is_for_the_custodian_only(store: &dyn Store) {
    let id = add(store, &pointer("withdraw", "withdraw-1", 1)).await;
    let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
    assert!(matches!(store.deprecate(&south, &id).await, Err(Error::DocumentUnknown)));
    assert!(matches!(store.deprecate(&north, &DocumentId::generate()).await, Err(Error::DocumentUnknown)));
    assert_eq!(store.document(&id).await.unwrap().unwrap().status, DocumentStatus::Current);
    for _ in 0..2 {
        assert_eq!(store.deprecate(&north, &id).await.unwrap().status, DocumentStatus::Deprecated);
    }
}

async fn reports_move_liveness(store: &dyn Store) {
    let id = add(store, &pointer("report", "report-1", 1)).await;
    let report = async |succeeded| store.report(&id, succeeded, None, 9).await.unwrap();
    for liveness in [Liveness::Suspect, Liveness::Suspect, Liveness::Dead] {
        assert_eq!(report(false).await, liveness);
    }
    assert_eq!(report(true).await, Liveness::Alive);
    let attempt = Attempt::new("x/locator", "ReportRetrieval", "r", &ReplaceDocumentRequest::default());
    for _ in 0..4 {
        let again = store.report(&id, false, attempt.as_ref(), 9).await.unwrap();
        assert_eq!(again, Liveness::Suspect, "a retry counts once");
    }
    let unknown = store.report(&DocumentId::generate(), true, None, 9).await;
    assert!(matches!(unknown, Err(Error::DocumentUnknown)));
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*store::open(&Location::Memory).await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("registry.sqlite"));
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("registry") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}

#[tokio::test]
async fn two_writers_on_one_postgres_agree() {
    let Some(location) = db::scratch_postgres("registry") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let one = store::open(&location).await.unwrap();
    let two = store::open(&location).await.unwrap();
    for round in 0..20 {
        let mut batch: Vec<_> = (0..50).map(|n| pointer("1", &format!("{round}-{n}"), n)).collect();
        let first = one.register(&batch, 1);
        let backwards = batch.iter().rev().cloned().collect::<Vec<_>>();
        let (first, second) = tokio::join!(first, two.register(&backwards, 1));
        let first: Vec<_> = first.unwrap().into_iter().map(Result::unwrap).collect();
        let second: Vec<_> = second.unwrap().into_iter().rev().map(Result::unwrap).collect();
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a.id, b.id);
            assert_ne!(a.replayed, b.replayed, "one of them was first");
        }

        let newer = Pointer { unique_id: format!("{round}-newer"), ..batch.remove(0) };
        let attempt = Attempt::new("north/ehr", "ReplaceDocument", &round.to_string(), &());
        let (a, b) = tokio::join!(
            one.replace(&first[0].id, &newer, attempt.as_ref(), 1),
            two.replace(&first[0].id, &newer, attempt.as_ref(), 1),
        );
        assert_eq!(a.unwrap(), b.unwrap(), "the same attempt has one outcome");
    }
}
