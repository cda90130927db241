//! Stewards decide, take back, and the log of decisions tells the present state.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use signpost_common::{
    db::{self, Attempt, Location},
    hash::Blinder,
    id::{PersonId, RecordId, RecordRef},
    seal::FileKeys,
};
use signpost_linkage::{Address, Date, Name, Record};
use signpost_mpi::{
    domain::{Incoming, Index, Matching},
    store::{self, By, Decider, Error, LinkEvent, Of, Position, Registered, Store, TaskFilter},
};
use signpost_proto::mpi::v1::{LinkEventKind, LinkOutcome, ReviewState};

static INDEX: LazyLock<Index> =
    LazyLock::new(|| Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));

const BY_ENGINE: Decider<'static> =
    Decider { actor: store::ENGINE, reason: "", model_version: "1", now_us: 5 };
const STEWARD: Decider<'static> =
    Decider { actor: "op/sam", reason: "looked", model_version: "1", now_us: 9 };

fn incoming(member: &str, local: &str, given: &str, family: &str, birth_date: &str) -> Incoming {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let birth_dates = Date::parse(birth_date).into_iter().collect();
    let phones = vec!["617 555 0101".into()];
    let record = Record { names: vec![name], birth_dates, phones, ..Record::default() };
    let reference = RecordRef::new(member.parse().unwrap(), local).unwrap();
    INDEX.incoming(reference, &record, format!("{given} {family} {birth_date}").into_bytes())
}

async fn register(store: &dyn Store, record: Incoming) -> Registered {
    let decide = |record: &Incoming, snapshot| INDEX.register(record, snapshot);
    store.register(&[record], &decide, &BY_ENGINE, None).await.unwrap().pop().unwrap()
}

async fn databases() -> Vec<Box<dyn Store>> {
    let mut locations = vec![Location::Memory];
    locations.extend(db::scratch_postgres("mpi_stewards"));
    let mut stores = vec![];
    for location in locations {
        stores.push(store::open(&location, Arc::new(FileKeys::random()), 1).await.unwrap());
    }
    stores
}

/// Returns the log of decisions up to one: another test's open transaction on the same server holds it back.
async fn log_until(store: &dyn Store, sequence: i64) -> Vec<LinkEvent> {
    for _ in 0..400 {
        let log = store.changes(Position::default(), 10_000).await.unwrap();
        let log: Vec<_> = log.into_iter().map(|(_, event)| event).collect();
        if log.iter().any(|event| event.sequence == sequence) {
            return log;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("decision {sequence} does not show");
}

async fn person_of(store: &dyn Store, reference: &RecordRef) -> PersonId {
    store.person(&By::Record(reference.clone())).await.unwrap().unwrap().id
}

#[tokio::test]
async fn persons_are_merged_and_split() {
    for store in databases().await {
        let record = |member| incoming(member, "1", "Omar", "Haddad", "1971-06-07");
        let (one, two) = (register(&*store, record("north")).await, register(&*store, record("south")).await);
        let stranger = register(&*store, incoming("east", "1", "Rosa", "Delgado", "1990-09-09")).await;
        assert_eq!(one.person, two.person);
        let merged = store.merge(one.person, stranger.person, &STEWARD, None).await.unwrap();
        assert_eq!(merged.len(), 2);
        assert!(merged.iter().all(|e| e.kind == LinkEventKind::Merge && e.to == stranger.person));
        let resolved = store.person(&By::Person(one.person)).await.unwrap().unwrap();
        assert_eq!((resolved.id, resolved.record_count), (stranger.person, 3), "the old id resolves");
        let again = store.merge(one.person, stranger.person, &STEWARD, None).await;
        assert!(matches!(again, Err(Error::OnePerson)));

        let attempt = Attempt::new("op/sam", "Split", "s", &());
        let records = [one.record, two.record];
        let split = store.split(stranger.person, &records, &STEWARD, attempt.as_ref()).await.unwrap();
        assert_eq!(split.iter().map(|e| e.kind).collect::<Vec<_>>(), [LinkEventKind::Split; 2]);
        assert_eq!(split[0].to, split[1].to);
        assert_eq!(
            store.split(stranger.person, &records, &STEWARD, attempt.as_ref()).await.unwrap(),
            split,
            "the same request id replays"
        );
        let all = store.split(stranger.person, &[stranger.record], &STEWARD, None).await;
        assert!(matches!(all, Err(Error::AlreadyAlone)));
        let foreign = store.split(stranger.person, &records, &STEWARD, None).await;
        assert!(matches!(foreign, Err(Error::RecordUnknown)));
        // What was split stays apart, however alike it becomes.
        let alike = register(&*store, incoming("north", "1", "Rosa", "Delgado", "1990-09-09")).await;
        assert_eq!(alike.person, split[0].to);
    }
}

#[tokio::test]
async fn a_decision_is_taken_back() {
    for store in databases().await {
        let record = |member| incoming(member, "1", "Omar", "Haddad", "1971-06-07");
        let (one, two) = (register(&*store, record("north")).await, register(&*store, record("south")).await);
        let other = register(&*store, incoming("east", "1", "Rosa", "Delgado", "1990-09-09")).await;
        let merged = store.merge(other.person, one.person, &STEWARD, None).await.unwrap();
        let undone = store.undo(merged[0].sequence, &STEWARD, None).await.unwrap();
        assert_eq!((undone.kind, undone.to), (LinkEventKind::Undo, other.person));
        let revived = store.person(&By::Person(other.person)).await.unwrap().unwrap();
        assert_eq!((revived.id, revived.record_count), (other.person, 1));
        let twice = store.undo(merged[0].sequence, &STEWARD, None).await;
        assert!(matches!(twice, Err(Error::DecidedSince)));

        let unlinked = store.unlink(two.record, &STEWARD, None).await.unwrap();
        store.undo(unlinked.sequence, &STEWARD, None).await.unwrap();
        assert_eq!(person_of(&*store, &unlinked.reference).await, one.person);
        // What came to its person at once goes to one of its own, and stays there.
        let attached = store.decisions(&Of::Record(two.record), i64::MAX, 9).await.unwrap().pop().unwrap();
        assert_eq!((attached.kind, attached.from), (LinkEventKind::Link, None));
        let apart = store.undo(attached.sequence, &STEWARD, None).await.unwrap();
        assert_ne!(apart.to, one.person);
        let mut again = record("south");
        again.demographics.push(b'.');
        assert_eq!(register(&*store, again).await.person, apart.to);
        let founded = log_until(&*store, unlinked.sequence).await.remove(0);
        let nothing = store.undo(founded.sequence, &STEWARD, None).await;
        assert!(matches!(nothing, Err(Error::NothingBefore)));
        assert!(matches!(store.undo(4711, &STEWARD, None).await, Err(Error::EventUnknown)));
    }
}

#[tokio::test]
async fn whoever_of_the_two_comes_again_they_stay_apart() {
    for store in databases().await {
        let record = |member| incoming(member, "1", "Omar", "Haddad", "1971-06-07");
        let changed = |member| {
            let mut changed = record(member);
            changed.demographics.push(b'.');
            changed
        };
        let (one, two) = (register(&*store, record("north")).await, register(&*store, record("south")).await);
        assert_eq!(one.person, two.person);
        let apart = store.unlink(two.record, &STEWARD, None).await.unwrap().to;
        assert_eq!(register(&*store, changed("north")).await.person, one.person, "the one that stayed");
        assert_eq!(register(&*store, changed("south")).await.person, apart, "the one that left");
        // Also when the person has another name now.
        let stranger = register(&*store, incoming("east", "1", "Rosa", "Delgado", "1990-09-09")).await;
        store.merge(one.person, stranger.person, &STEWARD, None).await.unwrap();
        let mut again = record("south");
        again.demographics.extend(b"..");
        assert_eq!(register(&*store, again).await.person, apart, "the survivor is not it either");
    }
}

#[tokio::test]
async fn a_person_is_shown_as_it_was() {
    for store in databases().await {
        let record = |member| incoming(member, "1", "Omar", "Haddad", "1971-06-07");
        let (one, two) = (register(&*store, record("north")).await, register(&*store, record("south")).await);
        let split = store.split(one.person, &[two.record], &STEWARD, None).await.unwrap();
        let by_record = By::Record(RecordRef::new("south".parse().unwrap(), "1").unwrap());
        let at = |by: By, at_us| {
            let store = &store;
            async move {
                let found = store.person_as_of(&by, at_us, 10).await.unwrap();
                found.map(|(person, records)| (person.id, records.len()))
            }
        };
        assert_eq!(at(by_record.clone(), 4).await, None, "nobody was there");
        assert_eq!(at(by_record.clone(), 5).await, Some((one.person, 2)));
        assert_eq!(at(by_record, 9).await, Some((split[0].to, 1)));
        assert_eq!(at(By::Person(one.person), 8).await, Some((one.person, 2)));
        assert_eq!(at(By::Person(one.person), 9).await, Some((one.person, 1)));
        assert_eq!(at(By::Person(split[0].to), 8).await, None);
        store.merge(one.person, split[0].to, &STEWARD, None).await.unwrap();
        assert_eq!(at(By::Person(one.person), 8).await, Some((one.person, 2)), "an old id stands for itself");
        assert_eq!(at(By::Person(one.person), 9).await, Some((split[0].to, 2)), "then for its survivor");
    }
}

#[tokio::test]
async fn what_the_engine_linked_and_a_steward_took_back_stays_apart() {
    for store in databases().await {
        let known = register(&*store, incoming("north", "1", "Omar", "Haddad", "1971-06-07")).await;
        register(&*store, incoming("south", "1", "Rosa", "Delgado", "1990-09-09")).await;
        let moved = register(&*store, incoming("south", "1", "Omar", "Haddad", "1971-06-07")).await;
        assert_eq!((moved.person, moved.outcome), (known.person, LinkOutcome::Attached));
        let events = log_until(&*store, 3).await;
        let link = events.iter().find(|event| event.from.is_some()).unwrap().sequence;
        let undone = store.undo(link, &STEWARD, None).await.unwrap();
        let mut again = incoming("south", "1", "Omar", "Haddad", "1971-06-07");
        again.demographics.push(b'.');
        assert_eq!(register(&*store, again).await.person, undone.to);
    }
}

#[tokio::test]
async fn tasks_are_listed_counted_and_put_off() {
    for store in databases().await {
        register(&*store, incoming("north", "1", "Jerome", "Holdsworth Sr", "2015-01-20")).await;
        register(&*store, incoming("south", "1", "Jerome", "Holdsworth Jr", "2015-01-20")).await;
        register(&*store, incoming("east", "1", "Emma", "Holdsworth", "2015-01-20")).await;
        let open = TaskFilter::in_state(ReviewState::Open);
        let tasks = store.review_tasks(&open, None, 10).await.unwrap();
        let counts = store.review_counts(&open).await.unwrap();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<i64>(), tasks.len() as i64);
        let of = |filter: TaskFilter| {
            let store = &store;
            async move { store.review_tasks(&filter, None, 10).await.unwrap().len() }
        };
        let suffix = || TaskFilter { reason: Some("SUFFIX_CONFLICT".into()), ..open.clone() };
        assert_eq!(of(suffix()).await, 1);
        assert_eq!(of(TaskFilter { member_id: Some("south".parse().unwrap()), ..suffix() }).await, 1);
        assert_eq!(of(TaskFilter { member_id: Some("north".parse().unwrap()), ..suffix() }).await, 0);
        assert_eq!(of(TaskFilter { opened_before_us: Some(5), ..suffix() }).await, 0);
        assert_eq!(of(TaskFilter { opened_before_us: Some(6), ..suffix() }).await, 1);
        assert_eq!(of(TaskFilter { probability_min: 1.0, ..suffix() }).await, 0);
        let task = store.review_tasks(&suffix(), None, 1).await.unwrap().remove(0);
        assert_eq!(task.reference.member_id.as_str(), "south");
        store.resolve_task(task.id, ReviewState::Deferred, &STEWARD, None).await.unwrap();
        assert_eq!(of(suffix()).await, 0);
        assert_eq!(of(TaskFilter { state: ReviewState::Deferred, ..suffix() }).await, 1);
        let (linked, _) = store.resolve_task(task.id, ReviewState::Linked, &STEWARD, None).await.unwrap();
        assert_eq!(person_of(&*store, &linked.reference).await, linked.candidate);
    }
}

/// What the log of decisions says: whose each record is, who left whom last, and what stewards' words are.
#[derive(Default)]
struct Replayed {
    person_of: BTreeMap<RecordId, PersonId>,
    left_last: BTreeMap<PersonId, RecordId>,
    /// True for a link, false for what is kept apart.
    words: BTreeMap<(RecordId, PersonId), bool>,
    /// The word that each decision spoke, and what it was before.
    spoken: BTreeMap<i64, (PersonId, Option<bool>)>,
}

impl Replayed {
    fn apply(&mut self, event: &LinkEvent) {
        self.person_of.insert(event.record, event.to);
        if let Some(from) = event.from.filter(|from| *from != event.to) {
            self.left_last.insert(from, event.record);
        }
        let Some(candidate) = event.candidate else { return };
        let before = self.words.get(&(event.record, candidate)).copied();
        let now = match event.kind {
            LinkEventKind::Undo => match self.spoken.get(&event.undoes.unwrap()) {
                Some((undone, before)) if *undone == candidate => *before,
                // The engine's decision had no word.
                _ => Some(false),
            },
            LinkEventKind::Link | LinkEventKind::Merge => Some(true),
            _ => Some(false),
        };
        self.spoken.insert(event.sequence, (candidate, before));
        match now {
            Some(word) => self.words.insert((event.record, candidate), word),
            None => self.words.remove(&(event.record, candidate)),
        };
    }

    /// Whom an id resolves to: itself while it has records, then where the record is that left it last.
    fn resolved(&self, person: PersonId) -> PersonId {
        match self.left_last.get(&person) {
            Some(record) if !self.person_of.values().any(|other| *other == person) => self.person_of[record],
            _ => person,
        }
    }
}

#[tokio::test]
async fn what_is_taken_back_is_as_it_was_and_so_is_a_word() {
    for store in databases().await {
        let stranger = register(&*store, incoming("east", "1", "Rosa", "Delgado", "1990-09-09")).await;
        let omar = register(&*store, incoming("north", "1", "Omar", "Haddad", "1971-06-07")).await;
        let words = || async { store.words().await.unwrap() };
        let link = store.link(omar.record, stranger.person, &STEWARD, None).await.unwrap();
        let linked = words().await;
        assert_eq!(
            linked.iter().map(|word| (word.record, word.linked)).collect::<Vec<_>>(),
            [(omar.record, true)]
        );
        let undone = store.undo(link.sequence, &STEWARD, None).await.unwrap();
        assert_eq!((undone.undoes, undone.to), (Some(link.sequence), omar.person));
        assert_eq!(words().await, [], "nothing was said before");
        let again = store.undo(undone.sequence, &STEWARD, None).await.unwrap();
        assert_eq!((again.to, words().await), (stranger.person, linked), "what was taken back stands again");

        // A later decision is taken back first, then the earlier one can be.
        let unlinked = store.unlink(omar.record, &STEWARD, None).await.unwrap();
        let early = store.undo(again.sequence, &STEWARD, None).await;
        assert!(matches!(early, Err(Error::DecidedSince)));
        store.undo(unlinked.sequence, &STEWARD, None).await.unwrap();
        let back = store.undo(again.sequence, &STEWARD, None).await.unwrap();
        assert_eq!((back.to, words().await), (omar.person, vec![]));
        let history = store.decisions(&Of::Record(omar.record), i64::MAX, 10).await.unwrap();
        let kinds: Vec<_> = history.iter().rev().map(|event| event.kind).collect();
        let undo = LinkEventKind::Undo;
        let (create, link) = (LinkEventKind::Create, LinkEventKind::Link);
        assert_eq!(kinds, [create, link, undo, undo, LinkEventKind::Unlink, undo, undo]);
        assert_eq!(history[0].reason, "looked");
        let of_person = store.decisions(&Of::Person(stranger.person), history[1].sequence, 2).await.unwrap();
        assert_eq!(of_person.len(), 2);
    }
}

#[tokio::test]
async fn who_is_kept_apart_by_a_task_may_be_asked_about_again() {
    for store in databases().await {
        register(&*store, incoming("north", "1", "Jerome", "Holdsworth Sr", "2015-01-20")).await;
        register(&*store, incoming("south", "1", "Jerome", "Holdsworth Jr", "2015-01-20")).await;
        let open = TaskFilter::in_state(ReviewState::Open);
        let task = store.review_tasks(&open, None, 1).await.unwrap().remove(0);
        store.resolve_task(task.id, ReviewState::KeptApart, &STEWARD, None).await.unwrap();
        let apart = store.decisions(&Of::Record(task.record), i64::MAX, 1).await.unwrap().remove(0);
        assert_eq!((apart.kind, apart.candidate), (LinkEventKind::KeepApart, Some(task.candidate)));
        assert_eq!(apart.from, Some(apart.to), "it stays where it is");
        store.undo(apart.sequence, &STEWARD, None).await.unwrap();
        let again = store.review_tasks(&open, None, 1).await.unwrap().remove(0);
        assert_eq!((again.id, store.words().await.unwrap()), (task.id, vec![]));
    }
}

/// Rosa as three members know her: at home, by her phone with a slip in the birth date, and both.
fn rosa(member: &str, day: &str, phone: &str, line: &str) -> Incoming {
    let name = Name { given: vec!["Rosa".into()], family: "Delgado".into(), ..Name::default() };
    let address = Address { line: line.into(), postcode: "02139".into(), ..Address::default() };
    let record = Record {
        names: vec![name],
        birth_dates: Date::parse(&format!("1990-09-{day}")).into_iter().collect(),
        phones: Some(phone.to_owned()).filter(|phone| !phone.is_empty()).into_iter().collect(),
        addresses: Some(address).filter(|_| !line.is_empty()).into_iter().collect(),
        ..Record::default()
    };
    let reference = RecordRef::new(member.parse().unwrap(), "1").unwrap();
    INDEX.incoming(reference, &record, format!("{day} {phone} {line}").into_bytes())
}

async fn take_in(store: &dyn Store, record: Incoming) -> Registered {
    store.register(&[record], &*INDEX, &BY_ENGINE, None).await.unwrap().pop().unwrap()
}

const PHONE: &str = "212-555-0187";
const HOME: &str = "12 Elm Street";

#[tokio::test]
async fn a_newcomer_shows_two_lone_records_to_be_one_persons() {
    for store in databases().await {
        let at_home = take_in(&*store, rosa("north", "09", "", HOME)).await;
        let by_phone = take_in(&*store, rosa("south", "19", PHONE, "")).await;
        assert_ne!(at_home.person, by_phone.person);
        let open = TaskFilter::in_state(ReviewState::Open);
        assert_eq!(store.review_tasks(&open, None, 9).await.unwrap().len(), 1);
        let both = take_in(&*store, rosa("east", "09", PHONE, HOME)).await;
        assert_eq!((both.person, both.outcome), (at_home.person, LinkOutcome::Attached));
        let joined = store.person(&By::Person(by_phone.person)).await.unwrap().unwrap();
        assert_eq!((joined.id, joined.record_count), (at_home.person, 3), "the old id resolves");
        assert_eq!(store.review_tasks(&open, None, 9).await.unwrap(), [], "nothing is left to ask");
        let moved = store.decisions(&Of::Record(by_phone.record), i64::MAX, 1).await.unwrap().remove(0);
        assert_eq!((moved.kind, moved.from), (LinkEventKind::Link, Some(by_phone.person)));
        let undone = store.undo(moved.sequence, &STEWARD, None).await.unwrap();
        assert_eq!(undone.to, by_phone.person);
    }
}

#[tokio::test]
async fn persons_of_several_records_and_those_of_whom_a_steward_spoke_are_not_joined() {
    for store in databases().await {
        for (member, day, phone, line) in [
            ("north", "09", "", HOME),
            ("harbour", "09", "", HOME),
            ("south", "19", PHONE, ""),
            ("island", "19", PHONE, ""),
        ] {
            take_in(&*store, rosa(member, day, phone, line)).await;
        }
        let both = take_in(&*store, rosa("east", "09", PHONE, HOME)).await;
        assert_eq!(both.outcome, LinkOutcome::Review, "two persons of two records each");
    }
    for store in databases().await {
        take_in(&*store, rosa("north", "09", "", HOME)).await;
        take_in(&*store, rosa("south", "19", PHONE, "")).await;
        let open = TaskFilter::in_state(ReviewState::Open);
        let task = store.review_tasks(&open, None, 1).await.unwrap().remove(0);
        store.resolve_task(task.id, ReviewState::KeptApart, &STEWARD, None).await.unwrap();
        let both = take_in(&*store, rosa("east", "09", PHONE, HOME)).await;
        assert_eq!(both.outcome, LinkOutcome::Review, "a steward keeps them apart");
    }
}

#[tokio::test]
async fn a_question_that_is_settled_otherwise_does_not_wait() {
    for store in databases().await {
        let first = register(&*store, incoming("north", "1", "Jerome", "Holdsworth Sr", "2015-01-20")).await;
        let second = register(&*store, incoming("south", "1", "Jerome", "Holdsworth Jr", "2015-01-20")).await;
        let open = TaskFilter::in_state(ReviewState::Open);
        let asked = || async { store.review_tasks(&open, None, 9).await.unwrap() };
        let task = asked().await.remove(0);
        let merged = store.merge(first.person, second.person, &STEWARD, None).await.unwrap();
        assert_eq!((asked().await, store.review_counts(&open).await.unwrap()), (vec![], vec![]));
        // Whoever keeps them apart all the same parts them.
        let (_, event) = store.resolve_task(task.id, ReviewState::KeptApart, &STEWARD, None).await.unwrap();
        let event = event.unwrap();
        assert_eq!((event.kind, event.from), (LinkEventKind::Unlink, Some(merged[0].to)));
        assert_ne!(event.to, merged[0].to);
        let again = store.resolve_task(task.id, ReviewState::KeptApart, &STEWARD, None).await.unwrap();
        assert_eq!(again.1, None);
    }
}

#[tokio::test]
async fn a_decision_shows_what_spoke_for_it() {
    for store in databases().await {
        let record = |member| incoming(member, "1", "Omar", "Haddad", "1971-06-07");
        let (one, two) = (register(&*store, record("north")).await, register(&*store, record("south")).await);
        let linked = store.decisions(&Of::Record(two.record), i64::MAX, 1).await.unwrap().remove(0);
        let later = register(&*store, record("east")).await;
        assert_eq!(later.person, one.person);
        let evidence = store.evidence(linked.sequence).await.unwrap();
        assert_eq!((evidence.record.id, evidence.event), (two.record, linked));
        let others: Vec<_> = evidence.others.iter().map(|other| other.id).collect();
        assert_eq!(others, [one.record], "who came later spoke for nothing");
        let unlinked = store.unlink(one.record, &STEWARD, None).await.unwrap();
        let others = store.evidence(unlinked.sequence).await.unwrap().others;
        assert_eq!(others.len(), 2, "those that it was taken from");
        assert!(matches!(store.evidence(4711).await, Err(Error::EventUnknown)));
    }
}

#[tokio::test]
async fn the_log_of_decisions_tells_the_present_state() {
    for (seed, store) in
        (0..6).zip([databases().await, databases().await, databases().await].into_iter().flatten())
    {
        let mut seed: u64 = seed;
        let mut next = |most: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % most
        };
        let mut records: Vec<Registered> = vec![];
        for number in 0..12 {
            let born = format!("{}-03-04", 1930 + 7 * (number / 2));
            let person =
                incoming("north", &number.to_string(), "Olivia", &format!("Family{}", number / 2), &born);
            records.push(register(&*store, person).await);
        }
        let mut done = 0;
        for _ in 0..150 {
            let (a, b) = (&records[next(12)], &records[next(12)]);
            let [from, to] =
                [a, b].map(|r| RecordRef::new("north".parse().unwrap(), &position(&records, r)).unwrap());
            let (from, to) = (person_of(&*store, &from).await, person_of(&*store, &to).await);
            let decided = match next(5) {
                0 => store.link(a.record, to, &STEWARD, None).await.map(drop),
                1 => store.unlink(a.record, &STEWARD, None).await.map(drop),
                2 => store.merge(from, to, &STEWARD, None).await.map(drop),
                3 => store.split(from, &[a.record], &STEWARD, None).await.map(drop),
                _ => store.undo(1 + next(120) as i64, &STEWARD, None).await.map(drop),
            };
            done += usize::from(decided.is_ok());
        }
        assert!(done > 40, "{done}");
        let mut replayed = Replayed::default();
        let mut seen = BTreeSet::new();
        // One more, which is known to be the last.
        let last = loop {
            let (a, b) = (records[next(12)].record, records[next(12)].person);
            if let Ok(event) = store.link(a, b, &STEWARD, None).await {
                break event.sequence;
            }
        };
        for event in log_until(&*store, last).await {
            seen.extend(event.from.into_iter().chain([event.to]));
            replayed.apply(&event);
        }
        for (number, record) in records.iter().enumerate() {
            let reference = RecordRef::new("north".parse().unwrap(), &number.to_string()).unwrap();
            assert_eq!(person_of(&*store, &reference).await, replayed.person_of[&record.record]);
        }
        for person in seen {
            let now = store.person(&By::Person(person)).await.unwrap().unwrap().id;
            assert_eq!(now, replayed.resolved(person));
        }
        let said = |(record, person, linked): (RecordId, PersonId, bool)| {
            (record, replayed.resolved(person), linked)
        };
        let expected: BTreeSet<_> =
            replayed.words.iter().map(|((r, p), linked)| said((*r, *p, *linked))).collect();
        let words = store.words().await.unwrap().into_iter();
        assert_eq!(
            words.map(|word| (word.record, word.person, word.linked)).collect::<BTreeSet<_>>(),
            expected
        );
    }
}

fn position(records: &[Registered], record: &Registered) -> String {
    records.iter().position(|other| other.record == record.record).unwrap_or_default().to_string()
}
