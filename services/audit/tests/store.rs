//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_audit::{
    domain::{
        Entry, Logged, Query,
        merkle::{self, Hash, Subtree},
    },
    store::{self, Error, Kept, Store},
};
use signpost_common::{
    db::{self, Location},
    id::EventId,
};
use signpost_proto::audit::v1::{EventKind, EventOutcome};

fn entry() -> Entry {
    let id = EventId::generate();
    Entry {
        id,
        kind: EventKind::Locate,
        outcome: EventOutcome::Success,
        member_id: Some("north".parse().unwrap()),
        occurred_us: 1,
        subjects: vec![],
        leaf: id.to_string().into_bytes(),
        request_id: String::new(),
    }
}

fn entries(count: usize) -> Vec<Entry> {
    (0..count).map(|_| entry()).collect()
}

async fn append(store: &dyn Store, batch: &[Entry]) -> Vec<u64> {
    store.append(batch).await.unwrap().into_iter().map(Result::unwrap).collect()
}

fn sequences(events: &[Logged]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// Returns every leaf, oldest first.
async fn leaves(store: &dyn Store) -> Vec<Vec<u8>> {
    let mut events = store.search(&Query::default(), None, i64::MAX).await.unwrap();
    events.reverse();
    assert_eq!(sequences(&events), (0..store.size().await.unwrap()).collect::<Vec<_>>(), "no gap");
    events.into_iter().map(|event| event.leaf).collect()
}

/// The definition of the root, word by word (RFC 6962, 2.1).
fn definition(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => signpost_common::hash::sha256(b""),
        [leaf] => merkle::leaf_hash(leaf),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            merkle::node_hash(&definition(left), &definition(right))
        }
    }
}

async fn root(store: &dyn Store, size: u64) -> Hash {
    store.hashes(&[Subtree::whole(size)]).await.unwrap()[0]
}

async fn conforms(store: &dyn Store) {
    an_empty_log_has_the_empty_root(store).await;
    every_size_can_be_proved(store).await;
    an_event_is_appended_once(store).await;
    searches_are_bounded_and_paged(store).await;
    disclosures_are_found_by_record(store).await;
    a_batch_may_have_many_records(store).await;
    checkpoints_are_kept_in_order(store).await;
}

async fn an_empty_log_has_the_empty_root(store: &dyn Store) {
    assert_eq!(store.size().await.unwrap(), 0);
    assert_eq!(root(store, 0).await, definition(&[]));
    assert_eq!(store.event(0).await.unwrap(), None);
    assert!(store.append(&[]).await.unwrap().is_empty());
}

async fn checkpoints_are_kept_in_order(store: &dyn Store) {
    assert_eq!(store.last_checkpoint().await.unwrap(), None);
    let kept = |size: u64| Kept { size, note: format!("note of {size}"), signed_us: 7 };
    assert!(store.keep_checkpoint(0, &kept(3)).await.unwrap());
    assert!(!store.keep_checkpoint(0, &kept(4)).await.unwrap(), "another was kept meanwhile");
    assert!(store.keep_checkpoint(3, &kept(9)).await.unwrap());
    assert_eq!(store.last_checkpoint().await.unwrap(), Some(kept(9)));
    assert_eq!(store.checkpoints(0, 9).await.unwrap(), [kept(3), kept(9)]);
    assert_eq!(store.checkpoints(3, 9).await.unwrap(), [kept(9)]);
    assert_eq!(store.checkpoints(0, 1).await.unwrap(), [kept(3)]);
    // Of many that sign at once one does.
    let (new, later) = (kept(12), kept(13));
    let both = tokio::join!(store.keep_checkpoint(9, &new), store.keep_checkpoint(9, &new));
    assert_ne!(both.0.unwrap(), both.1.unwrap());
    assert_eq!(store.checkpoints(9, 9).await.unwrap(), [kept(12)]);
    // Appending and signing take turns.
    let batch = entries(2);
    let (appended, signed) = tokio::join!(store.append(&batch), store.keep_checkpoint(12, &later));
    assert!(appended.unwrap().iter().all(Result::is_ok) && signed.unwrap());
}

async fn every_size_can_be_proved(store: &dyn Store) {
    for count in [1, 2, 3, 1, 7, 13, 5] {
        append(store, &entries(count)).await;
    }
    let leaves = leaves(store).await;
    let size = leaves.len() as u64;
    let now = root(store, size).await;
    for first in 1..=size {
        let old = root(store, first).await;
        assert_eq!(old, definition(&leaves[..first as usize]), "every earlier root is still known");
        let path = store.hashes(&merkle::consistency(first, size)).await.unwrap();
        assert!(merkle::verify_consistency(first, size, &old, &now, &path));
        let hash = merkle::leaf_hash(&leaves[first as usize - 1]);
        let path = store.hashes(&merkle::inclusion(first - 1, size)).await.unwrap();
        assert!(merkle::verify_inclusion(&hash, first - 1, size, &path, &now));
    }
    let unknown = store.hashes(&[Subtree::whole(size + 1)]).await;
    assert!(matches!(unknown, Err(Error::Database(db::Error::Corrupt(_)))));
}

async fn an_event_is_appended_once(store: &dyn Store) {
    let size = store.size().await.unwrap();
    let batch = entries(3);
    assert_eq!(append(store, &batch).await, [size, size + 1, size + 2]);
    let mixed = [entry(), batch[1].clone(), entry(), batch[0].clone()];
    assert_eq!(append(store, &mixed).await, [size + 3, size + 1, size + 4, size]);
    assert_eq!(append(store, &batch).await, [size, size + 1, size + 2]);
    assert_eq!(store.size().await.unwrap(), size + 5);

    let forged = Entry { leaf: vec![1], ..batch[0].clone() };
    let results = store.append(&[forged, entry()]).await.unwrap();
    assert!(matches!(results[0], Err(Error::EventIdReused)));
    assert_eq!(*results[1].as_ref().unwrap(), size + 5, "the others do not suffer");
    assert_eq!(store.event(size).await.unwrap().unwrap().leaf, batch[0].leaf);
    assert_eq!(root(store, size + 6).await, definition(&leaves(store).await));
}

async fn searches_are_bounded_and_paged(store: &dyn Store) {
    let batch: Vec<_> = (0..9)
        .map(|n| Entry {
            kind: if n % 3 == 0 { EventKind::Fetch } else { EventKind::Directory },
            member_id: (n % 2 == 0).then(|| "east".parse().unwrap()),
            occurred_us: 1000 + n,
            ..entry()
        })
        .collect();
    let first = append(store, &batch).await[0];
    let mine = Query { from_us: Some(1000), ..Query::default() };
    let mut found = vec![];
    let mut before = None;
    loop {
        let page = sequences(&store.search(&mine, before, 4).await.unwrap());
        let Some(last) = page.last() else { break };
        before = Some(*last as i64);
        found.extend(page);
    }
    assert_eq!(found, (first..first + 9).rev().collect::<Vec<_>>(), "newest first, each once");

    let find = async |query: Query| {
        let events = store.search(&query, None, 100).await.unwrap();
        sequences(&events).into_iter().map(|s| s - first).collect::<Vec<_>>()
    };
    let east = || Some("east".parse().unwrap());
    assert_eq!(find(Query { member_id: east(), ..mine.clone() }).await, [8, 6, 4, 2, 0]);
    assert_eq!(find(Query { kinds: vec![EventKind::Fetch], ..mine.clone() }).await, [6, 3, 0]);
    let kinds = vec![EventKind::Fetch, EventKind::Directory];
    assert_eq!(find(Query { kinds, from_us: Some(1003), to_us: Some(1005), ..mine.clone() }).await, [4, 3]);
    assert!(find(Query { kinds: vec![EventKind::Refusal], member_id: east(), ..mine }).await.is_empty());
}

async fn disclosures_are_found_by_record(store: &dyn Store) {
    let kinds =
        [EventKind::Locate, EventKind::Fetch, EventKind::Emergency, EventKind::AuditRead, EventKind::Consent];
    let batch = kinds.map(|kind| Entry { kind, subjects: vec![-5, i64::MIN], ..entry() });
    let first = append(store, &batch).await[0];
    append(store, &[Entry { subjects: vec![6], ..entry() }]).await;
    for subject in [-5, i64::MIN] {
        let found = sequences(&store.disclosures(subject, None, 10).await.unwrap());
        assert_eq!(found, [first + 2, first + 1, first]);
    }
    let page = sequences(&store.disclosures(-5, Some(first as i64 + 2), 1).await.unwrap());
    assert_eq!(page, [first + 1]);
    assert!(store.disclosures(7, None, 10).await.unwrap().is_empty());
}

async fn a_batch_may_have_many_records(store: &dyn Store) {
    let batch: Vec<_> = entries(512);
    let many = |n: usize| (0..100).map(|s| (1000 + n * 100 + s) as i64).collect();
    let batch: Vec<_> =
        batch.into_iter().enumerate().map(|(n, entry)| Entry { subjects: many(n), ..entry }).collect();
    let places = append(store, &batch).await;
    let found = store.disclosures(1000 + 511 * 100 + 99, None, 10).await.unwrap();
    assert_eq!(sequences(&found), places[511..]);
    assert_eq!(root(store, store.size().await.unwrap()).await, definition(&leaves(store).await));
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*store::open(&Location::Memory).await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_conforms_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("audit.sqlite"));
    let store = store::open(&location).await.unwrap();
    conforms(&*store).await;
    let (size, kept) = (store.size().await.unwrap(), leaves(&*store).await);
    drop(store);
    let store = store::open(&location).await.unwrap();
    assert_eq!(leaves(&*store).await, kept);
    assert_eq!(root(&*store, size).await, definition(&kept));
    assert_eq!(append(&*store, &entries(1)).await, [size]);
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("audit") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}

#[tokio::test]
async fn two_writers_on_one_postgres_leave_no_gap() {
    let Some(location) = db::scratch_postgres("audit") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let one = store::open(&location).await.unwrap();
    let two = store::open(&location).await.unwrap();
    let shared = entries(3);
    let write = async |store: &dyn Store| {
        let mut places = vec![];
        for count in 1..20 {
            // Both append the shared events as well; they are appended once.
            let batch = [entries(count), shared.clone()].concat();
            places.extend(append(store, &batch).await);
        }
        places
    };
    let (a, b) = tokio::join!(write(&*one), write(&*two));
    let mut places = [a, b].concat();
    places.sort_unstable();
    places.dedup();
    let size = one.size().await.unwrap();
    assert_eq!(size, 2 * (1..20).sum::<u64>() + 3);
    assert_eq!(places, (0..size).collect::<Vec<_>>());
    assert_eq!(root(&*two, size).await, definition(&leaves(&*one).await));
}
