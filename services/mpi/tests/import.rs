//! Import of many records at once, on every database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use signpost_common::{
    db::{self, Location},
    hash::Blinder,
    id::{PersonId, RecordRef},
    seal::{FileKeys, KeyEncryption},
};
use signpost_mpi::{
    domain::{Index, Matching, bulk::Records},
    onboard::{self, Counts, Options, Step},
    store::{self, By, Decider, Position, Store, TaskFilter},
};
use signpost_proto::{
    common::v1::{Address, Demographics, HumanName},
    mpi::v1::{LinkEventKind, ReviewState},
};

static WRAPPING: LazyLock<Arc<dyn KeyEncryption>> = LazyLock::new(|| Arc::new(FileKeys::random()));

const NOW_US: i64 = 1_700_000_000_000_000;

const FAMILIES: [&str; 8] = [
    "Abernathy",
    "Birnbaum",
    "Castellano",
    "Dubrovsky",
    "Eichenwald",
    "Fitzgerald",
    "Gonzalez",
    "Holdsworth",
];

const GIVEN: [&str; 5] = ["Leopold", "Wilhelmina", "Bartholomew", "Quentin", "Theodora"];

fn index() -> &'static Index {
    static INDEX: LazyLock<Index> =
        LazyLock::new(|| Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));
    &INDEX
}

/// A person of forty, each with another name, birth date and home.
fn person(number: usize) -> Demographics {
    let family = FAMILIES[number % FAMILIES.len()].to_owned();
    let given = vec![GIVEN[number % GIVEN.len()].to_owned()];
    Demographics {
        names: vec![HumanName { given, family, ..HumanName::default() }],
        birth_date: format!("19{:02}-{:02}-{:02}", 30 + number, 1 + number % 12, 1 + number * 7 % 28),
        addresses: vec![Address {
            line: format!("{} {} Street", 11 + number * 17, FAMILIES[number * 3 % 8]),
            postcode: format!("{:05}", 10_000 + number * 1_117),
            ..Address::default()
        }],
        phones: vec![format!("617555{:04}", 1_000 + number * 13)],
        ..Demographics::default()
    }
}

/// Father and son of one home and name.
fn relative(suffix: &str) -> Demographics {
    let given = vec!["Jerome".to_owned()];
    let name =
        HumanName { given, family: "Zuckermann".into(), suffix: suffix.into(), ..HumanName::default() };
    Demographics {
        names: vec![name],
        birth_date: "2015-01-20".into(),
        phones: vec!["6175559999".into()],
        ..Demographics::default()
    }
}

fn records<'a>(rows: impl IntoIterator<Item = (&'a str, String, Demographics)>) -> Records {
    let mut records = Records::default();
    let now = Timestamp::from_microsecond(NOW_US).unwrap();
    for (member, local, demographics) in rows {
        assert!(records.push(&onboard::read(index(), member, &local, &demographics, now).unwrap()));
    }
    records
}

/// Forty persons with a record at each of two members, and two who are alike.
fn everyone() -> Records {
    let members =
        |number: usize| ["north", "south"].map(|member| (member, number.to_string(), person(number)));
    let relatives = [("north", "sr".to_owned(), relative("Sr")), ("south", "jr".to_owned(), relative("Jr"))];
    records((0..40).flat_map(members).chain(relatives))
}

async fn import(
    store: &dyn Store,
    records: &Records,
    progress: &onboard::Progress<'_>,
) -> BTreeMap<String, Counts> {
    let index = index();
    let options = Options { records_at_once: 10, keys_at_once: 50, ..Options::new(&index.model, NOW_US) };
    onboard::run(store, index, records, options, progress).await.unwrap()
}

async fn holder(store: &dyn Store, member: &str, local: &str) -> PersonId {
    let by = By::Record(RecordRef::new(member.parse().unwrap(), local).unwrap());
    store.person(&by).await.unwrap().unwrap().id
}

type References = BTreeSet<(String, String)>;

/// What the index holds, apart from ids: persons by their records, decisions, questions, and who is found by keys.
#[derive(Debug, PartialEq)]
struct Contents {
    persons: BTreeSet<References>,
    events: Vec<(String, String, LinkEventKind, String)>,
    questions: BTreeSet<(String, References, String)>,
    found: BTreeMap<(String, String), usize>,
}

async fn references(store: &dyn Store, person: PersonId) -> References {
    let records = store.person_records(person, 0, 100).await.unwrap();
    records.iter().map(|r| (r.reference.member_id.to_string(), r.reference.local_id().to_owned())).collect()
}

async fn contents(store: &dyn Store, records: &Records) -> Contents {
    let mut contents = Contents {
        persons: BTreeSet::new(),
        events: vec![],
        questions: BTreeSet::new(),
        found: BTreeMap::new(),
    };
    for record in 0..records.len() {
        let (member, local) = records.reference(record);
        let person = holder(store, member, local).await;
        contents.persons.insert(references(store, person).await);
        let (found, overfull) = store.candidates(records.keys(record)).await.unwrap();
        assert!(!overfull && found.iter().any(|known| known.person == person), "{member} {local}");
        contents.found.insert((member.to_owned(), local.to_owned()), found.len());
    }
    // Another test's open transaction on the same server holds decisions back.
    let mut log = vec![];
    for _ in 0..400 {
        log = store.changes(Position::default(), 1_000).await.unwrap();
        if log.len() >= contents.found.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (_, event) in log {
        let (member, local) = (event.reference.member_id.to_string(), event.reference.local_id().to_owned());
        assert_eq!((event.actor.as_str(), event.from), ("engine", None));
        contents.events.push((member, local, event.kind, event.model_version));
    }
    contents.events.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let open = TaskFilter::in_state(ReviewState::Open);
    for task in store.review_tasks(&open, None, 1_000).await.unwrap() {
        let candidate = references(store, task.candidate).await;
        contents.questions.insert((task.reference.local_id().to_owned(), candidate, task.reason));
    }
    contents
}

async fn what_is_imported_is_there(store: &dyn Store) -> Contents {
    let records = everyone();
    let done = import(store, &records, &|_, _, _| {}).await;
    let north = Counts { records: 41, founded: 41, ..Counts::default() };
    let south = Counts { records: 41, linked: 40, founded: 1, to_review: 1, ..Counts::default() };
    assert_eq!(done, BTreeMap::from([("north".to_owned(), north), ("south".to_owned(), south)]));
    let contents = contents(store, &records).await;
    assert_eq!((contents.persons.len(), contents.events.len(), contents.questions.len()), (42, 82, 1));
    let question = contents.questions.first().unwrap();
    assert_eq!((question.0.as_str(), question.2.as_str()), ("jr", "SUFFIX_CONFLICT"));
    let created = contents.events.iter().filter(|event| event.2 == LinkEventKind::Create).count();
    assert_eq!(created, 42, "every person begins with a decision");
    // Demographics and comparison records open again.
    let kept = store.person_records(holder(store, "south", "7").await, 0, 10).await.unwrap();
    assert_eq!(kept.len(), 2);
    let place = records.find("south", "7").unwrap();
    assert!(kept.iter().all(|record| record.demographics == records.demographics(place)));
    let prepared = store.prepared(kept[0].id).await.unwrap().unwrap();
    assert_eq!(prepared.as_bytes(), records.view(place).as_bytes());
    contents
}

async fn the_same_again_changes_nothing(store: &dyn Store, before: &Contents) {
    let records = everyone();
    let done = import(store, &records, &|_, _, _| {}).await;
    let unchanged = Counts { records: 41, unchanged: 41, ..Counts::default() };
    assert!(done.values().all(|counts| *counts == unchanged), "{done:?}");
    assert_eq!(contents(store, &records).await, *before);
}

/// Whoever is killed at any point runs the same again.
async fn what_was_cut_short_is_finished(store: Box<dyn Store>, step: Step, calls: u64, whole: &Contents) {
    let store: Arc<dyn Store> = store.into();
    let killed = store.clone();
    let task = tokio::spawn(async move {
        let seen = AtomicU64::new(0);
        let progress = |now: Step, _, _| {
            if now == step && seen.fetch_add(1, Ordering::Relaxed) == calls {
                panic!("killed");
            }
        };
        import(killed.as_ref(), &everyone(), &progress).await;
    });
    assert!(task.await.unwrap_err().is_panic());
    let records = everyone();
    import(store.as_ref(), &records, &|_, _, _| {}).await;
    assert_eq!(contents(store.as_ref(), &records).await, *whole, "{step:?} {calls}");
}

async fn who_is_there_is_respected(store: &dyn Store) {
    let now = Timestamp::from_microsecond(NOW_US).unwrap();
    let index = index();
    let by = Decider { actor: "engine", reason: "", model_version: "start-1", now_us: NOW_US };
    // West is in none of the files; the first record of north is in them, and said something else then.
    let moved = Demographics { phones: vec!["6175550000".into()], ..person(0) };
    let rows = [("west", "w0", moved.clone()), ("north", "0", moved), ("west", "w1", person(1))];
    for (member, local, demographics) in rows {
        let incoming = onboard::read(index, member, local, &demographics, now).unwrap();
        let decide = |record: &_, snapshot| index.register(record, snapshot);
        store.register(&[incoming], &decide, &by, None).await.unwrap();
    }
    let [zero, one] = [holder(store, "west", "w0").await, holder(store, "west", "w1").await];
    let steward = Decider { actor: "op/sam", reason: "looked", ..by };
    // A steward keeps two records of one person apart; the import does not bring them together.
    let record = store.person_records(zero, 0, 10).await.unwrap().pop().unwrap();
    assert_eq!(record.reference.member_id.as_str(), "north");
    let apart = store.unlink(record.id, &steward, None).await.unwrap().to;
    let done = import(store, &everyone(), &|_, _, _| {}).await;
    assert_eq!((done["north"].updated, done["north"].linked, done["south"].linked), (1, 1, 39));
    assert_eq!(holder(store, "west", "w0").await, zero);
    assert_eq!(holder(store, "north", "0").await, apart);
    let between = holder(store, "south", "0").await;
    assert!(between != zero && between != apart, "who fits two persons goes to neither");
    for member in ["north", "south"] {
        assert_eq!(holder(store, member, "1").await, one);
    }
    let tasks = store.review_tasks(&TaskFilter::in_state(ReviewState::Open), None, 100).await.unwrap();
    let mut candidates: Vec<_> = tasks
        .iter()
        .filter(|task| task.reason == "TWO_PERSONS")
        .map(|task| (task.reference.local_id(), task.candidate))
        .collect();
    candidates.sort();
    let mut expected = vec![("0", zero), ("0", apart)];
    expected.sort();
    assert_eq!(candidates, expected);
    assert!(!tasks.iter().any(|task| task.reason == "BELONGS_ELSEWHERE"), "a steward has said that already");
    let again = import(store, &everyone(), &|_, _, _| {}).await;
    assert!(again.values().all(|counts| counts.unchanged == 41 && counts.to_review == 0), "{again:?}");
}

async fn opened(location: &Location) -> Box<dyn Store> {
    store::open(location, WRAPPING.clone(), NOW_US).await.unwrap()
}

async fn conforms(mut fresh: impl FnMut() -> Location) {
    let store = opened(&fresh()).await;
    let whole = what_is_imported_is_there(store.as_ref()).await;
    the_same_again_changes_nothing(store.as_ref(), &whole).await;
    for (step, calls) in
        [(Step::Write, 0), (Step::Write, 3), (Step::Index, 0), (Step::Index, 5), (Step::Finish, 0)]
    {
        what_was_cut_short_is_finished(opened(&fresh()).await, step, calls, &whole).await;
    }
    who_is_there_is_respected(opened(&fresh()).await.as_ref()).await;
}

#[tokio::test]
async fn sqlite_imports() {
    conforms(|| Location::Memory).await;
}

#[tokio::test]
async fn postgres_imports() {
    if db::scratch_postgres("mpi_import").is_none() {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    }
    conforms(|| db::scratch_postgres("mpi_import").unwrap()).await;
}
