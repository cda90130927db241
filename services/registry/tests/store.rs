//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::{
    db::{self, Attempt, Location},
    id::{DocumentId, RecordRef},
    rpc::watch::Position,
};
use signpost_proto::registry::v1::{
    ChangeKind, DocumentStatus, Liveness, RelationKind, ReplaceDocumentRequest,
};
use signpost_registry::{
    domain::{
        Change, Document, FoundBy, Pointer, Query, Registration, Report,
        relation::{REPLACED_MAX, Relation},
        score::{HOUR_US, Score, percentile_ms},
    },
    store::{self, Error, Store},
};

fn patient(member: &str, local: &str) -> RecordRef {
    RecordRef::new(member.parse().unwrap(), local).unwrap()
}

fn pointer(local: &str, unique_id: &str, created_us: i64) -> Registration {
    of(Pointer {
        patient: patient("north", local),
        unique_id: unique_id.into(),
        type_code: "34133-9".into(),
        class_code: "11503-0".into(),
        created_us,
        sha256: vec![1; 32],
        facts: vec![1, 2, 3],
    })
}

fn of(pointer: Pointer) -> Registration {
    Registration { pointer, found_by: FoundBy::default(), relations: vec![] }
}

fn current(patients: Vec<RecordRef>) -> Query {
    Query { patients, statuses: vec![DocumentStatus::Current], ..Query::default() }
}

async fn add(store: &dyn Store, pointer: &Registration) -> DocumentId {
    let mut results = store.register(std::slice::from_ref(pointer), 9).await.unwrap();
    results.remove(0).unwrap().id
}

async fn get(store: &dyn Store, id: &DocumentId) -> Document {
    store.document(id, None).await.unwrap().unwrap()
}

async fn conforms(store: &dyn Store) {
    the_same_facts_are_the_same_pointer(store).await;
    a_bad_item_fails_alone(store).await;
    searches_are_bounded_and_paged(store).await;
    a_replacement_is_atomic_and_replays(store).await;
    withdrawal_is_for_the_custodian_only(store).await;
    reports_move_liveness(store).await;
    a_replacement_stands_for_all_before_it(store).await;
    labels_and_times_of_service_bound_a_search(store).await;
    only_good_relations_are_kept(store).await;
    what_relates_is_taken_down_with_it(store).await;
    every_change_is_logged_in_order(store).await;
    the_past_is_told_as_it_was(store).await;
    what_was_not_checked_for_longest_is_probed_first(store).await;
    scores_count_what_there_is(store).await;
}

async fn the_same_facts_are_the_same_pointer(store: &dyn Store) {
    let one = pointer("same", "same-1", 5);
    let id = add(store, &one).await;
    let again = store.register(std::slice::from_ref(&one), 10).await.unwrap().remove(0).unwrap();
    assert_eq!((again.id, again.replayed), (id, true));
    let stored = get(store, &id).await;
    assert_eq!(stored.pointer, one.pointer);
    assert_eq!((stored.status, stored.liveness), (DocumentStatus::Current, Liveness::Unspecified));
    assert_eq!(stored.registered_us, 9);
    assert_eq!(store.document(&DocumentId::generate(), None).await.unwrap(), None);

    let foreign = of(Pointer { patient: patient("south", "same"), ..one.pointer });
    assert_ne!(add(store, &foreign).await, id, "unique ids belong to a custodian");
}

async fn a_bad_item_fails_alone(store: &dyn Store) {
    let one = pointer("batch", "batch-b", 1);
    let id = add(store, &one).await;
    let hash = of(Pointer { sha256: vec![2; 32], ..one.pointer.clone() });
    let facts = of(Pointer { facts: vec![9], ..one.pointer.clone() });
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
    let foreign = of(Pointer { patient: patient("south", "replace"), ..new.pointer.clone() });
    let replace = async |old: &DocumentId, new: &Registration| store.replace(old, new, None, 9).await;
    assert!(matches!(replace(&DocumentId::generate(), &new).await, Err(Error::DocumentUnknown)));
    assert!(matches!(replace(&old, &foreign).await, Err(Error::DocumentUnknown)));
    assert!(matches!(replace(&old, &another).await, Err(Error::PatientDiffers)));
    let taken = of(Pointer { sha256: vec![7; 32], ..pointer("replace", "replace-1", 1).pointer });
    assert!(matches!(replace(&old, &taken).await, Err(Error::NonIdenticalHash)));
    assert_eq!(get(store, &old).await.status, DocumentStatus::Current);

    let body = ReplaceDocumentRequest { request_id: "r".into(), ..ReplaceDocumentRequest::default() };
    let attempt = Attempt::new("north/ehr", "ReplaceDocument", "r", &body);
    let id = store.replace(&old, &new, attempt.as_ref(), 9).await.unwrap();
    assert_eq!(store.replace(&old, &new, attempt.as_ref(), 9).await.unwrap(), id, "a retry replays");
    let other = ReplaceDocumentRequest { document_id: "x".into(), ..body };
    let reused = Attempt::new("north/ehr", "ReplaceDocument", "r", &other);
    let reused = store.replace(&old, &new, reused.as_ref(), 9).await;
    assert!(matches!(reused, Err(Error::Database(db::Error::RequestIdReused))));

    assert!(matches!(replace(&old, &new).await, Err(Error::NotCurrent)));
    let (old, newer) = (get(store, &old).await, get(store, &id).await);
    assert_eq!((old.status, old.replaced_by), (DocumentStatus::Superseded, Some(id)));
    assert_eq!((newer.status, newer.replaced.clone()), (DocumentStatus::Current, vec![old.id]));
    let found = store.search(&current(vec![patient("north", "replace")]), None, 10).await.unwrap();
    assert_eq!(found, [newer], "a search finds the newer one alone");

    let there = add(store, &pointer("replace", "replace-4", 3)).await;
    assert!(matches!(replace(&id, &pointer("replace", "replace-4", 3)).await, Err(Error::NotItsReplacement)));
    assert_eq!(get(store, &there).await.replaced, []);
    assert_eq!(
        get(store, &id).await.status,
        DocumentStatus::Current,
        "a replacement that fails changes nothing"
    );
}

async fn withdrawal_is_for_the_custodian_only(store: &dyn Store) {
    let id = add(store, &pointer("withdraw", "withdraw-1", 1)).await;
    let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
    assert!(matches!(store.deprecate(&south, &id, 10).await, Err(Error::DocumentUnknown)));
    assert!(matches!(
        store.deprecate(&north, &DocumentId::generate(), 10).await,
        Err(Error::DocumentUnknown)
    ));
    assert_eq!(get(store, &id).await.status, DocumentStatus::Current);
    for _ in 0..2 {
        assert_eq!(store.deprecate(&north, &id, 10).await.unwrap().status, DocumentStatus::Deprecated);
    }
}

async fn reports_move_liveness(store: &dyn Store) {
    let id = add(store, &pointer("report", "report-1", 1)).await;
    let failed = Report { reason: "GONE".into(), ..Report::default() };
    let ok = Report { succeeded: true, ..Report::default() };
    let report = async |succeeded| {
        let report = if succeeded { &ok } else { &failed };
        store.report(&id, report, None, 9).await.unwrap()
    };
    for liveness in [Liveness::Suspect, Liveness::Suspect, Liveness::Dead] {
        assert_eq!(report(false).await, liveness);
    }
    let known = get(store, &id).await;
    assert_eq!((known.liveness_us, known.liveness_reason.as_str()), (9, "GONE"));
    assert_eq!(report(true).await, Liveness::Alive);
    let known = get(store, &id).await;
    assert_eq!((known.failures, known.liveness_reason.as_str()), (0, ""));
    let attempt = Attempt::new("x/locator", "ReportRetrieval", "r", &ReplaceDocumentRequest::default());
    for _ in 0..4 {
        let again = store.report(&id, &failed, attempt.as_ref(), 9).await.unwrap();
        assert_eq!(again, Liveness::Suspect, "a retry counts once");
    }
    let unknown = store.report(&DocumentId::generate(), &ok, None, 9).await;
    assert!(matches!(unknown, Err(Error::DocumentUnknown)));
}

async fn a_replacement_stands_for_all_before_it(store: &dyn Store) {
    let mut chain = vec![add(store, &pointer("chain", "chain-0", 1)).await];
    for n in 1..=REPLACED_MAX {
        let newer = pointer("chain", &format!("chain-{n}"), 1);
        chain.insert(0, store.replace(&chain[0], &newer, None, 9).await.unwrap());
    }
    assert_eq!(get(store, &chain[0]).await.replaced, chain[1..], "nearest first");
    assert_eq!(get(store, &chain[REPLACED_MAX - 1]).await.replaced, chain[REPLACED_MAX..]);
    let one_more = store.replace(&chain[0], &pointer("chain", "chain-more", 1), None, 9).await;
    assert!(matches!(one_more, Err(Error::ReplacedTooOften)));
    assert_eq!(get(store, &chain[0]).await.status, DocumentStatus::Current);
}

async fn labels_and_times_of_service_bound_a_search(store: &dyn Store) {
    for (n, labels, service_us) in [
        (0, vec![], None),
        (1, vec!["N"], Some((10, 20))),
        (2, vec!["R", "PSY_%"], Some((20, 20))),
        (3, vec!["r", "PSYX%"], Some((30, 40))),
    ] {
        let labels = labels.into_iter().map(str::to_owned).collect();
        let found_by = FoundBy { labels, service_us };
        add(store, &Registration { found_by, ..pointer("found", &format!("found-{n}"), n) }).await;
    }
    let found = async |labels: &[&str], from_us, to_us| {
        let query = Query {
            labels: labels.iter().map(ToString::to_string).collect(),
            service_from_us: from_us,
            service_to_us: to_us,
            ..current(vec![patient("north", "found")])
        };
        let found = store.search(&query, None, 9).await.unwrap();
        assert_eq!(store.count(&query).await.unwrap(), found.len() as i64);
        found.into_iter().rev().map(|d| d.pointer.created_us).collect::<Vec<_>>()
    };
    assert_eq!(found(&[], None, None).await, [0, 1, 2, 3]);
    assert_eq!(found(&["R"], None, None).await, [2], "a label is compared letter by letter");
    assert_eq!(found(&["PSY_%"], None, None).await, [2], "and has no wildcards");
    assert_eq!(found(&["PSY"], None, None).await, [0_i64; 0]);
    assert_eq!(found(&["N", "r", "x"], None, None).await, [1, 3]);
    assert_eq!(found(&[], Some(20), None).await, [1, 2, 3]);
    assert_eq!(found(&[], Some(21), None).await, [3]);
    assert_eq!(found(&[], None, Some(20)).await, [1], "one without a time is outside");
    assert_eq!(found(&["N", "R"], Some(15), Some(31)).await, [1, 2]);
}

fn relating(local: &str, unique_id: &str, targets: &[DocumentId]) -> Registration {
    let relation = |target: &DocumentId| Relation { kind: RelationKind::Appends, target: *target };
    Registration { relations: targets.iter().map(relation).collect(), ..pointer(local, unique_id, 1) }
}

async fn only_good_relations_are_kept(store: &dyn Store) {
    let good = add(store, &pointer("rel", "rel-1", 1)).await;
    let other = add(store, &pointer("rel-other", "rel-2", 1)).await;
    let foreign = of(Pointer { patient: patient("south", "rel"), ..pointer("rel", "rel-3", 1).pointer });
    let foreign = add(store, &foreign).await;
    let gone = add(store, &pointer("rel", "rel-4", 1)).await;
    store.deprecate(&"north".parse().unwrap(), &gone, 9).await.unwrap();
    let batch = [
        relating("rel", "rel-a", &[good]),
        relating("rel", "rel-b", &[good, other]),
        relating("rel", "rel-c", &[foreign]),
        relating("rel", "rel-d", &[DocumentId::generate()]),
        relating("rel", "rel-e", &[gone]),
        pointer("rel", "rel-f", 1),
    ];
    let results = store.register(&batch, 9).await.unwrap();
    let added = results[0].as_ref().unwrap();
    assert!(matches!(results[1], Err(Error::RelatedPatientDiffers(1))));
    assert!(matches!(results[2], Err(Error::RelatedUnknown(0))));
    assert!(matches!(results[3], Err(Error::RelatedUnknown(0))));
    assert!(matches!(results[4], Err(Error::RelatedNotCurrent(0))));
    assert!(results[5].is_ok(), "a bad item fails alone");
    assert_eq!(store.count(&current(vec![patient("north", "rel")])).await.unwrap(), 3);

    store.deprecate(&"north".parse().unwrap(), &good, 9).await.unwrap();
    let again = store.register(&batch[..1], 9).await.unwrap().remove(0).unwrap();
    assert_eq!((again.id, again.replayed), (added.id, true), "what is there was judged when it came");
}

async fn what_relates_is_taken_down_with_it(store: &dyn Store) {
    let north = "north".parse().unwrap();
    let root = add(store, &pointer("down", "down-1", 1)).await;
    let addendum = add(store, &relating("down", "down-2", &[root])).await;
    let form = add(store, &relating("down", "down-3", &[addendum, root])).await;
    let apart = add(store, &pointer("down", "down-4", 1)).await;
    let statuses = async || {
        let mut statuses = vec![];
        for id in [&root, &addendum, &form, &apart] {
            statuses.push(get(store, id).await.status);
        }
        statuses
    };
    use DocumentStatus::{Current, Deprecated, Superseded};
    for target in [root, addendum] {
        let new = relating("down", "down-5", &[target]);
        let refused = store.replace(&root, &new, None, 9).await;
        assert!(matches!(refused, Err(Error::RelatedNotCurrent(0))), "it would go down at once");
    }
    assert_eq!(statuses().await, [Current, Current, Current, Current]);
    let newer = store.replace(&root, &pointer("down", "down-5", 1), None, 9).await.unwrap();
    assert_eq!(statuses().await, [Superseded, Superseded, Superseded, Current]);
    assert_eq!(get(store, &addendum).await.replaced_by, None);
    assert_eq!(get(store, &newer).await.replaced, [root]);
    store.deprecate(&north, &addendum, 9).await.unwrap();
    assert_eq!(statuses().await, [Superseded, Deprecated, Deprecated, Current]);
    store.deprecate(&north, &root, 9).await.unwrap();
    assert_eq!(statuses().await, [Deprecated, Deprecated, Deprecated, Current]);
    assert_eq!(get(store, &newer).await.status, Current, "the newer one is no addendum");
}

/// Returns all changes after a position. On PostgreSQL the last may be shown a moment later.
async fn changes(store: &dyn Store, after: Position) -> Vec<(Position, Option<Change>)> {
    let south = "south".parse().unwrap();
    let last = store.last_change().await.unwrap();
    for _ in 0..500 {
        let changes = store.changes(after, Some(&south), 5_000).await.unwrap();
        if changes.last().is_some_and(|(position, _)| position.sequence == last) {
            return changes;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    unreachable!("the last change is not shown");
}

async fn every_change_is_logged_in_order(store: &dyn Store) {
    let begin = changes(store, Position::default()).await.last().unwrap().0;
    let south = |unique_id: &str| {
        of(Pointer { patient: patient("south", "log"), ..pointer("log", unique_id, 1).pointer })
    };
    let one = add(store, &south("log-1")).await;
    let foreign = add(store, &pointer("log", "log-1", 1)).await;
    add(store, &south("log-1")).await;
    let ok = Report { succeeded: true, ..Report::default() };
    for _ in 0..2 {
        store.report(&one, &ok, None, 20).await.unwrap();
    }
    let newer = store.replace(&one, &south("log-2"), None, 30).await.unwrap();
    for _ in 0..2 {
        store.deprecate(&"south".parse().unwrap(), &newer, 40).await.unwrap();
    }
    let logged = changes(store, begin).await;
    let told: Vec<_> = logged.iter().map(|(_, change)| change.as_ref()).collect();
    let told: Vec<_> = told
        .into_iter()
        .map(|change| {
            change.map(|Change { document: d, kind, changed_us }| {
                (d.id, *kind, d.status, d.liveness, *changed_us)
            })
        })
        .collect();
    use DocumentStatus::{Current, Deprecated, Superseded};
    let registered = |id| Some((id, ChangeKind::Registered, Current, Liveness::Unspecified));
    let expected = [
        registered(one).map(|(a, b, c, d)| (a, b, c, d, 9)),
        None,
        Some((one, ChangeKind::Liveness, Current, Liveness::Alive, 20)),
        Some((one, ChangeKind::Superseded, Superseded, Liveness::Alive, 30)),
        registered(newer).map(|(a, b, c, d)| (a, b, c, d, 30)),
        Some((newer, ChangeKind::Deprecated, Deprecated, Liveness::Unspecified, 40)),
    ];
    assert_eq!(told, expected, "others' changes are positions alone, and what changes nothing is no change");
    let superseded = logged[3].1.as_ref().unwrap();
    assert_eq!(superseded.document.replaced_by, Some(newer));
    assert!(logged.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(changes(store, logged[2].0).await, logged[3..], "a position resumes after it");
    assert_eq!(store.changes(begin, None, 2).await.unwrap()[1].1.as_ref().unwrap().document.id, foreign);
    assert_eq!(store.last_change().await.unwrap(), logged[5].0.sequence);
}

async fn the_past_is_told_as_it_was(store: &dyn Store) {
    let one = add(store, &pointer("past", "past-1", 1)).await;
    let failed = Report { reason: "GONE".into(), ..Report::default() };
    store.report(&one, &failed, None, 20).await.unwrap();
    let newer = store.replace(&one, &pointer("past", "past-2", 2), None, 30).await.unwrap();
    store.deprecate(&"north".parse().unwrap(), &one, 40).await.unwrap();
    store.report(&one, &Report { succeeded: true, ..Report::default() }, None, 50).await.unwrap();

    let at = async |as_of_us| store.document(&one, Some(as_of_us)).await.unwrap();
    assert_eq!(at(8).await, None, "it was not there yet");
    let stood = async |as_of_us| at(as_of_us).await.map(|d| (d.status, d.liveness, d.replaced_by)).unwrap();
    use DocumentStatus::{Current, Deprecated, Superseded};
    assert_eq!(stood(9).await, (Current, Liveness::Unspecified, None));
    assert_eq!(stood(29).await, (Current, Liveness::Suspect, None));
    assert_eq!(at(29).await.unwrap().liveness_reason, "GONE");
    assert_eq!(stood(30).await, (Superseded, Liveness::Suspect, Some(newer)));
    assert_eq!(stood(49).await, (Deprecated, Liveness::Suspect, Some(newer)));
    assert_eq!(at(50).await.unwrap(), get(store, &one).await, "the last moment is now");

    let search = async |as_of_us, status| {
        let patients = vec![patient("north", "past")];
        let query = Query { patients, statuses: vec![status], as_of_us: Some(as_of_us), ..Query::default() };
        let found = store.search(&query, None, 9).await.unwrap();
        found.into_iter().map(|d| (d.id, d.status)).collect::<Vec<_>>()
    };
    assert_eq!(search(8, Current).await, []);
    assert_eq!(search(29, Current).await, [(one, Current)], "what came later is not there");
    assert_eq!(search(30, Current).await, [(newer, Current)]);
    assert_eq!(search(30, Superseded).await, [(one, Superseded)]);
    assert_eq!(search(40, Superseded).await, []);
}

async fn what_was_not_checked_for_longest_is_probed_first(store: &dyn Store) {
    let mut ids = vec![];
    for n in 0..4 {
        ids.push(add(store, &pointer("probe", &format!("probe-{n}"), n)).await);
    }
    let probe = |succeeded| Report { succeeded, probe: true, ..Report::default() };
    store.report(&ids[0], &probe(false), None, 1_000).await.unwrap();
    store.report(&ids[1], &probe(true), None, 900).await.unwrap();
    store.deprecate(&"north".parse().unwrap(), &ids[2], 9).await.unwrap();
    let probes = store.probes(500).await.unwrap();
    let own: Vec<_> = probes.iter().map(|d| d.id).filter(|id| ids.contains(id)).collect();
    assert_eq!(own, [ids[3], ids[1], ids[0]]);
    assert!(probes.iter().all(|d| d.status == DocumentStatus::Current));
    assert!(probes.is_sorted_by_key(|d| d.liveness_us));
    // Those that were checked at one moment, or never, come in any order.
    let times = |documents: &[Document]| documents.iter().map(|d| d.liveness_us).collect::<Vec<_>>();
    assert_eq!(times(&store.probes(2).await.unwrap()), times(&probes[..2]));
}

async fn scores_count_what_there_is(store: &dyn Store) {
    let begin = 100 * 24 * HOUR_US;
    let west = |local: &str, unique_id: &str, sha: u8, created_us| {
        let pointer = pointer("score", unique_id, created_us).pointer;
        of(Pointer { patient: patient("west", local), sha256: vec![sha; 32], ..pointer })
    };
    let batch = [
        west("1", "score-1", 1, begin - 1_000_000),
        west("1", "score-2", 1, begin - 2_000_000),
        west("2", "score-3", 1, begin - 9_000_000),
        west("2", "score-4", 3, 0),
        of(Pointer { sha256: vec![], ..west("2", "score-5", 1, 0).pointer }),
        of(Pointer { sha256: vec![], ..west("2", "score-6", 1, 0).pointer }),
    ];
    let results = store.register(&batch, begin).await.unwrap();
    let ids: Vec<_> = results.into_iter().map(|result| result.unwrap().id).collect();
    store.deprecate(&"west".parse().unwrap(), &ids[3], begin).await.unwrap();
    let report = async |succeeded, elapsed_ms, probe, now_us| {
        let report = Report { succeeded, elapsed_ms, probe, reason: String::new() };
        store.report(&ids[0], &report, None, now_us).await.unwrap();
    };
    // An hour that is too old to be looked back to, and is forgotten with the next.
    report(true, 7, false, begin - 91 * 24 * HOUR_US).await;
    for elapsed_ms in 1..=10 {
        report(true, elapsed_ms, false, begin).await;
    }
    report(true, 0, false, begin).await;
    report(false, 0, false, begin).await;
    report(true, 5_000, true, begin).await;
    report(false, 0, true, begin + HOUR_US).await;

    let west = "west".parse().unwrap();
    let scores = store.scores(Some(&west), 0).await.unwrap();
    assert_eq!(scores.len(), 1);
    let Score { retrieved, .. } = &scores[&west];
    assert_eq!((percentile_ms(retrieved, 50), percentile_ms(retrieved, 99)), (5, 10));
    assert_eq!(scores[&west].retrievals(), 12);
    let expected = Score {
        current: 5,
        deprecated: 1,
        suspect: 1,
        duplicates: 2,
        last_registered_us: begin,
        feed_lag_us: Some(2_000_000),
        retrieved: retrieved.clone(),
        failures: 1,
        probes: 2,
        failed_probes: 1,
        ..Score::default()
    };
    assert_eq!(scores[&west], expected);
    let later = store.scores(None, begin + HOUR_US).await.unwrap();
    assert!(later.len() > 1, "all are scored when nobody is named");
    let later = &later[&west];
    assert_eq!((later.retrievals(), later.probes, later.feed_lag_us), (0, 1, None));
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

        let newer = of(Pointer { unique_id: format!("{round}-newer"), ..batch.remove(0).pointer });
        let attempt = Attempt::new("north/ehr", "ReplaceDocument", &round.to_string(), &());
        let (a, b) = tokio::join!(
            one.replace(&first[0].id, &newer, attempt.as_ref(), 1),
            two.replace(&first[0].id, &newer, attempt.as_ref(), 1),
        );
        assert_eq!(a.unwrap(), b.unwrap(), "the same attempt has one outcome");
    }
}

/// While one transaction is under way, what later ones changed is not shown: a follower would go past the first for good.
#[tokio::test]
async fn no_change_is_missed_on_postgres() {
    let Some(location) = db::scratch_postgres("registry") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let (one, two) = (store::open(&location).await.unwrap(), store::open(&location).await.unwrap());
    let writer = |store: Box<dyn Store>, name: &'static str| async move {
        for round in 0..40 {
            let batch: Vec<_> = (0..25).map(|n| pointer(name, &format!("{name}-{round}-{n}"), n)).collect();
            store.register(&batch, 1).await.unwrap();
        }
    };
    let writers = tokio::spawn(async move { tokio::join!(writer(one, "one"), writer(two, "two")) });
    let follower = store::open(&location).await.unwrap();
    let (mut after, mut seen) = (Position::default(), std::collections::HashSet::new());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while seen.len() < 2_000 && tokio::time::Instant::now() < deadline {
        for (position, change) in follower.changes(after, None, 100).await.unwrap() {
            assert!(position > after);
            after = position;
            assert!(seen.insert(change.unwrap().document.id), "each comes once");
        }
    }
    writers.await.unwrap();
    assert_eq!(seen.len(), 2_000);
}
