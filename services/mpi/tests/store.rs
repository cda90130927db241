//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use signpost_common::{
    db::{self, Attempt, Location},
    hash::Blinder,
    id::{PersonId, RecordRef},
    seal::{FileKeys, KeyEncryption},
};
use signpost_linkage::{Date, Name, Record};
use signpost_mpi::{
    domain::{Incoming, Index, Matching},
    store::{self, By, Decider, Error, Position, Registered, Store, TaskFilter},
};
use signpost_proto::mpi::v1::{LinkEventKind, LinkOutcome, ReviewState};

const ENGINE: Decider<'static> = Decider { actor: "engine", reason: "", model_version: "start-1", now_us: 5 };
const STEWARD: Decider<'static> =
    Decider { actor: "op/sam", reason: "looked", model_version: "start-1", now_us: 9 };

/// One key for all stores of a test process, so that a store that was closed opens again.
static WRAPPING: LazyLock<Arc<dyn KeyEncryption>> = LazyLock::new(|| Arc::new(FileKeys::random()));

async fn opened(location: &Location) -> Box<dyn Store> {
    store::open(location, WRAPPING.clone(), 1).await.unwrap()
}

fn index() -> &'static Index {
    static INDEX: LazyLock<Index> =
        LazyLock::new(|| Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));
    &INDEX
}

fn incoming(member: &str, local: &str, given: &str, family: &str, birth_date: &str) -> Incoming {
    with_phones(member, local, given, family, birth_date, &[])
}

fn with_phones(
    member: &str,
    local: &str,
    given: &str,
    family: &str,
    birth_date: &str,
    phones: &[&str],
) -> Incoming {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let birth_dates = Date::parse(birth_date).into_iter().collect();
    let phones = phones.iter().map(|phone| (*phone).to_owned()).collect();
    let record = Record { names: vec![name], birth_dates, phones, ..Record::default() };
    let reference = RecordRef::new(member.parse().unwrap(), local).unwrap();
    index().incoming(reference, &record, format!("{given} {family}").into_bytes())
}

async fn register(store: &dyn Store, record: Incoming) -> Registered {
    let index = index();
    let decide = move |record: &Incoming, snapshot| index.register(record, snapshot);
    store.register(&[record], &decide, &ENGINE, None).await.unwrap().pop().unwrap()
}

async fn conforms(store: &dyn Store) {
    records_of_one_person_meet(store).await;
    what_may_be_the_same_is_reviewed(store).await;
    a_steward_moves_records(store).await;
    a_lone_record_moves_and_its_person_points_on(store).await;
    what_a_batch_brings_is_seen_within_it(store).await;
    an_attempt_is_answered_as_it_was(store).await;
}

async fn an_attempt_is_answered_as_it_was(store: &dyn Store) {
    let index = index();
    let decide = move |record: &Incoming, snapshot| index.register(record, snapshot);
    let attempt = Attempt::new("north/ehr", "RegisterPatient", "r1", &1u32);
    let batch = [incoming("north", "20", "Once", "Only", "1999-01-02")];
    let first = store.register(&batch, &decide, &ENGINE, attempt.as_ref()).await.unwrap();
    assert_eq!(first[0].outcome, LinkOutcome::NewPerson);
    assert_eq!(store.register(&batch, &decide, &ENGINE, attempt.as_ref()).await.unwrap(), first);
    let other = Attempt::new("north/ehr", "RegisterPatient", "r1", &2u32);
    let reused = store.register(&batch, &decide, &ENGINE, other.as_ref()).await;
    assert!(matches!(reused, Err(Error::Database(db::Error::RequestIdReused))));
}

async fn records_of_one_person_meet(store: &dyn Store) {
    let first = register(store, incoming("north", "1", "Jane", "Smith", "1980-03-04")).await;
    assert_eq!(first.outcome, LinkOutcome::NewPerson);
    let second = register(store, incoming("south", "9", "Jane", "Smith", "1980-03-04")).await;
    assert_eq!((second.person, second.outcome), (first.person, LinkOutcome::Attached));
    let again = register(store, incoming("south", "9", "Jane", "Smith", "1980-03-04")).await;
    assert_eq!(again, Registered { outcome: LinkOutcome::Unchanged, ..second.clone() });
    let changed = register(store, incoming("south", "9", "Jayne", "Smith", "1980-03-04")).await;
    assert_eq!((changed.person, changed.record), (first.person, second.record), "an update keeps the record");

    let by = By::Record(RecordRef::new("south".parse().unwrap(), "9").unwrap());
    let person = store.person(&by).await.unwrap().unwrap();
    assert_eq!((person.id, person.record_count, person.created_us), (first.person, 2, 5));
    let records = store.person_records(person.id, 0, 10).await.unwrap();
    assert_eq!(records[1].demographics, b"Jayne Smith");
    assert_eq!(store.person_records(person.id, records[0].row, 10).await.unwrap(), records[1..]);
    assert_eq!(store.person(&By::Person(PersonId::generate())).await.unwrap(), None);
    let (candidates, overfull) =
        store.candidates(&incoming("x", "x", "Jane", "Smith", "1980-03-04").keys).await.unwrap();
    assert_eq!((candidates.len(), overfull), (2, false));
    assert_eq!(store.candidates(&[]).await.unwrap().0.len(), 0);
}

async fn what_may_be_the_same_is_reviewed(store: &dyn Store) {
    let home = ["6175550101"];
    let senior = with_phones("north", "2", "Jerome", "Holdsworth Sr", "2015-01-20", &home);
    let junior = with_phones("south", "2", "Jerome", "Holdsworth Jr", "2015-01-20", &home);
    let senior = register(store, senior).await;
    let junior = register(store, junior).await;
    assert_eq!(junior.outcome, LinkOutcome::Review);
    assert_ne!(junior.person, senior.person);
    let tasks = store.review_tasks(&TaskFilter::in_state(ReviewState::Open), None, 10).await.unwrap();
    let task = (tasks.len(), tasks[0].candidate, tasks[0].reason.as_str());
    assert_eq!(task, (1, senior.person, "SUFFIX_CONFLICT"));
    let after = (tasks[0].opened_us, tasks[0].id.to_string());
    assert_eq!(
        store.review_tasks(&TaskFilter::in_state(ReviewState::Open), Some(after), 10).await.unwrap(),
        []
    );
    let apart = store.resolve_task(tasks[0].id, ReviewState::KeptApart, &STEWARD, None).await.unwrap();
    assert_eq!(apart.0.state, ReviewState::KeptApart);
    assert_eq!(
        store.resolve_task(tasks[0].id, ReviewState::KeptApart, &STEWARD, None).await.unwrap(),
        (apart.0, None),
        "again is harmless"
    );
    assert!(matches!(
        store.resolve_task(tasks[0].id, ReviewState::Linked, &STEWARD, None).await,
        Err(Error::TaskResolved)
    ));
    let unknown = signpost_common::id::TaskId::generate();
    assert!(matches!(
        store.resolve_task(unknown, ReviewState::Linked, &STEWARD, None).await,
        Err(Error::TaskUnknown)
    ));
}

async fn a_steward_moves_records(store: &dyn Store) {
    let first = register(store, incoming("north", "5", "Omar", "Haddad", "1971-06-07")).await;
    let second = register(store, incoming("south", "5", "Omar", "Haddad", "1971-06-07")).await;
    let attempt = |id| Attempt::new("op/sam", "Unlink", id, &());
    let event = store.unlink(second.record, &STEWARD, attempt("a").as_ref()).await.unwrap();
    assert_eq!((event.from, event.kind), (Some(first.person), LinkEventKind::Unlink));
    assert_eq!(event.actor, "op/sam");
    let replayed = store.unlink(second.record, &STEWARD, attempt("a").as_ref()).await.unwrap();
    assert_eq!(replayed, event, "the same request id replays");
    let fresh = store.unlink(second.record, &STEWARD, attempt("b").as_ref()).await;
    assert!(matches!(fresh, Err(Error::AlreadyAlone)));
    let other = Attempt::new("op/sam", "Unlink", "a", &1u32);
    let reused = store.unlink(second.record, &STEWARD, other.as_ref()).await;
    assert!(matches!(reused, Err(Error::Database(db::Error::RequestIdReused))));

    let update = register(store, incoming("south", "5", "Omar", "Haddad", "1971-06-07")).await;
    assert_eq!(update.person, event.to, "a steward's word outlives an update");
    let mut moved = incoming("south", "5", "Omar", "Haddad", "1971-06-07");
    moved.demographics = b"other".to_vec();
    assert_eq!(register(store, moved).await.person, event.to);

    let back = store.link(second.record, first.person, &STEWARD, None).await.unwrap();
    assert_eq!((back.from, back.to, back.kind), (Some(event.to), first.person, LinkEventKind::Link));
    let survivor = store.person(&By::Person(event.to)).await.unwrap().unwrap();
    assert_eq!(survivor.id, first.person, "a person without records resolves to its survivor");
    let nobody = store.link(second.record, PersonId::generate(), &STEWARD, None).await;
    assert!(matches!(nobody, Err(Error::PersonUnknown)));
}

async fn a_lone_record_moves_and_its_person_points_on(store: &dyn Store) {
    let known = register(store, incoming("north", "7", "Rosa", "Delgado", "1990-09-09")).await;
    let wrong = register(store, incoming("south", "7", "Unrelated", "Name", "1955-01-12")).await;
    let right = register(store, incoming("south", "7", "Rosa", "Delgado", "1990-09-09")).await;
    assert_eq!((right.person, right.outcome), (known.person, LinkOutcome::Attached));
    let old = store.person(&By::Person(wrong.person)).await.unwrap().unwrap();
    assert_eq!(old.id, known.person);
}

async fn what_a_batch_brings_is_seen_within_it(store: &dyn Store) {
    let index = index();
    let decide = move |record: &Incoming, snapshot| index.register(record, snapshot);
    let batch = [
        incoming("north", "8", "Kwame", "Mensah", "1988-12-01"),
        incoming("south", "8", "Kwame", "Mensah", "1988-12-01"),
        // The same record twice in one batch: the second is an update of the first.
        incoming("south", "8", "Kwame", "Mensah", "1988-12-02"),
    ];
    let done = store.register(&batch, &decide, &ENGINE, None).await.unwrap();
    assert_eq!(done[0].person, done[1].person);
    assert_eq!(done[1].record, done[2].record);
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*opened(&Location::Memory).await).await;
}

#[tokio::test]
async fn sqlite_conforms_and_keeps_what_it_stored() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("mpi.sqlite"));
    conforms(&*opened(&location).await).await;
    let reopened = opened(&location).await;
    let by = By::Record(RecordRef::new("north".parse().unwrap(), "1").unwrap());
    assert!(reopened.person(&by).await.unwrap().is_some());
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("mpi") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*opened(&location).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_make_one_person_of_one_newcomer() {
    let Some(location) = db::scratch_postgres("mpi") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let stores: Vec<Arc<dyn Store>> =
        vec![Arc::from(opened(&location).await), Arc::from(opened(&location).await)];
    for round in 0..30 {
        let tasks = ["north", "south"].into_iter().zip(&stores).map(|(member, store)| {
            let store = store.clone();
            let day = round % 28 + 1;
            let record = incoming(
                member,
                &round.to_string(),
                "Jane",
                "Smith",
                &format!("1980-{:02}-{day:02}", round / 28 + 1),
            );
            tokio::spawn(async move { register(&*store, record).await })
        });
        let mut persons = vec![];
        for task in tasks.collect::<Vec<_>>() {
            persons.push(task.await.unwrap().person);
        }
        assert_eq!(persons[0], persons[1], "round {round}");
    }
}

/// One writer moves a record to another person while a newcomer meets it where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_newcomer_is_never_left_with_a_person_that_was_merged_away() {
    let Some(location) = db::scratch_postgres("mpi") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let one: Arc<dyn Store> = Arc::from(opened(&location).await);
    let two: Arc<dyn Store> = Arc::from(opened(&location).await);
    for round in 0..40 {
        let local = round.to_string();
        // Far apart, so that the rounds are not of one person.
        let born = format!("{}-{:02}-{:02}", 1890 + 3 * round, 1 + round % 12, 1 + 7 * round % 28);
        let old = |member: &str| incoming(member, &local, "Olivia", "Oldname", &born);
        let new = |member: &str| incoming(member, &local, "Tabitha", "Newman", &born);
        register(&*one, old("north")).await;
        register(&*one, new("east")).await;
        let (mover, newcomer) = (new("north"), old("south"));
        let (one, two) = (one.clone(), two.clone());
        let reference = newcomer.reference.clone();
        let moving = tokio::spawn(async move { register(&*one, mover).await });
        let arrived = tokio::spawn(async move {
            register(&*two, newcomer).await;
            two
        });
        moving.await.unwrap();
        let store = arrived.await.unwrap();
        let person = store.person(&By::Record(reference.clone())).await.unwrap().unwrap();
        let records = store.person_records(person.id, 0, 10).await.unwrap();
        assert!(records.iter().any(|record| record.reference == reference), "round {round}");
    }
}

/// Writers overlap: whoever takes a lower number may be done later.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_follows_the_decisions_misses_none() {
    let Some(location) = db::scratch_postgres("mpi") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let reader = opened(&location).await;
    let mut writers = vec![];
    for writer in 0..3u32 {
        let store: Arc<dyn Store> = Arc::from(opened(&location).await);
        writers.push(tokio::spawn(async move {
            for number in 0..60u32 {
                let born = format!("{}-01-02", 1900 + number);
                let local = format!("{writer}-{number}");
                register(
                    &*store,
                    incoming("north", &local, "Jane", &format!("Family{writer}x{number}"), &born),
                )
                .await;
            }
        }));
    }
    let (mut after, mut seen) = (Position::default(), vec![]);
    let read = async {
        while seen.len() < 180 {
            for (position, event) in reader.changes(after, 7).await.unwrap() {
                assert!(position > after);
                after = position;
                seen.push(event.sequence);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), read).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((distinct.len(), seen.len()), (180, 180));
    assert!(reader.changes(after, 7).await.unwrap().is_empty());
}

#[tokio::test]
async fn decisions_that_another_server_made_are_shown() {
    let Some(location) = db::scratch_postgres("mpi_restored") else { return };
    let Location::Postgres { url, schema, .. } = &location else { return };
    let store = opened(&location).await;
    register(&*store, incoming("north", "1", "Jane", "Quill", "1950-01-02")).await;
    // What a dump brings from a server that has done more than this one.
    let pool = sqlx::PgPool::connect(url.expose()).await.unwrap();
    let ahead = format!("UPDATE {schema}.link_event SET transaction_id = 4000000000000");
    sqlx::query(sqlx::AssertSqlSafe(ahead)).execute(&pool).await.unwrap();
    assert!(store.changes(Position::default(), 9).await.unwrap().is_empty());
    let again = opened(&location).await;
    assert_eq!(again.changes(Position::default(), 9).await.unwrap().len(), 1);
    assert_ne!(again.log_id().await.unwrap(), "");
}
