//! Models are begun one at a time, put in force by hand alone, and carried out without touching what stewards decided.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use signpost_common::{
    db::{self, Attempt, Location},
    hash::Blinder,
    id::RecordRef,
    seal::FileKeys,
};
use signpost_linkage::{Date, Name, Record};
use signpost_mpi::{
    domain::{Change, Incoming, Index, Matching, Snapshot, Target},
    store::{
        self, By, Decider, Error, Of, Registered, Store,
        model::{ModelChange, Progress},
    },
};
use signpost_proto::mpi::v1::ModelState;

static INDEX: LazyLock<Index> =
    LazyLock::new(|| Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default()));

const STEWARD: Decider<'static> = Decider { actor: "op/sam", reason: "looked", model_version: "", now_us: 9 };

fn by_model(model_version: &str) -> Decider<'_> {
    Decider { actor: store::ENGINE, reason: "", model_version, now_us: 20 }
}

fn at(now_us: i64) -> Decider<'static> {
    Decider { now_us, ..STEWARD }
}

fn incoming(local: &str, family: &str) -> Incoming {
    let name = Name { given: vec!["Rosa".into()], family: family.into(), ..Name::default() };
    let birth_dates = Date::parse("1990-09-09").into_iter().collect();
    let record = Record { names: vec![name], birth_dates, ..Record::default() };
    let reference = RecordRef::new("north".parse().unwrap(), local).unwrap();
    INDEX.incoming(reference, &record, family.as_bytes().to_vec())
}

async fn register(store: &dyn Store, local: &str, family: &str) -> Registered {
    let decide = |record: &Incoming, snapshot| INDEX.register(record, snapshot);
    let record = incoming(local, family);
    store.register(&[record], &decide, &by_model("first"), None).await.unwrap().pop().unwrap()
}

async fn databases() -> Vec<Box<dyn Store>> {
    let mut stores = vec![];
    for location in [Some(Location::Memory), db::scratch_postgres("mpi_models")].into_iter().flatten() {
        let store = store::open(&location, Arc::new(FileKeys::random()), 1).await.unwrap();
        store.keep_model("first", "{}", true, 1).await.unwrap();
        stores.push(store);
    }
    stores
}

fn change(record: &Registered, to: &Registered) -> ModelChange {
    ModelChange {
        record: record.record,
        person: record.person,
        before: "STAY".into(),
        after: "MOVE".into(),
        candidate: Some(to.person),
        probability: 0.999,
    }
}

#[tokio::test]
async fn one_model_is_learnt_at_a_time() {
    for store in databases().await {
        let attempt = Attempt::new("op/sam", "TrainModel", "1", &());
        let begun = store.begin_model("second", "first", 0, 10, attempt.as_ref()).await.unwrap();
        assert_eq!(begun.state, ModelState::Training);
        assert_eq!(store.begin_model("second", "first", 0, 11, attempt.as_ref()).await.unwrap(), begun);
        let again = store.begin_model("second", "first", 0, 11, None).await;
        assert!(matches!(again, Err(Error::ModelExists)));
        let other = store.begin_model("third", "first", 10, 11, None).await;
        assert!(matches!(other, Err(Error::TrainingUnderWay)));
        // Whoever learnt it has said nothing for too long.
        store.begin_model("third", "first", 11, 12, None).await.unwrap();
        let second = store.model("second").await.unwrap().unwrap();
        assert_eq!((second.state, second.failure.as_str()), (ModelState::Failed, "CUT_SHORT"));
        let progress = Progress { step: "LEARN".into(), done: 1, total: 2 };
        assert!(store.touch_model("third", &progress, 13).await.unwrap());
        assert_eq!(store.model("third").await.unwrap().unwrap().progress, progress);
        store.discard_model("third", &at(14), None).await.unwrap();
        assert!(!store.touch_model("third", &progress, 15).await.unwrap(), "its learner stops");
        let late = store.model_learnt("third", "{}", 5, &[], 16).await;
        assert!(matches!(late, Err(Error::ModelNotReady)));
        let states: Vec<_> = store.models(i64::MAX, 10).await.unwrap().iter().map(|m| m.state).collect();
        assert_eq!(states, [ModelState::Discarded, ModelState::Failed, ModelState::InForce]);
    }
}

#[tokio::test]
async fn a_model_is_put_in_force_by_hand_against_the_one_it_was_compared_with() {
    for store in databases().await {
        for version in ["second", "third"] {
            store.begin_model(version, "first", 0, 10, None).await.unwrap();
            let early = store.promote_model(version, &at(11), None).await;
            assert!(matches!(early, Err(Error::ModelNotReady)));
            store.model_learnt(version, "{\"learnt\":1}", 5, &[], 11).await.unwrap();
        }
        assert_eq!(store.model_in_force().await.unwrap().unwrap().version, "first");
        store.promote_model("second", &at(12), None).await.unwrap();
        let outdated = store.promote_model("third", &at(13), None).await;
        assert!(matches!(outdated, Err(Error::ModelOutdated)));
        assert_eq!(store.model_in_force().await.unwrap().unwrap().version, "second");
        let back = store.promote_model("first", &at(14), None).await.unwrap();
        assert_eq!((back.state, back.promoted_us), (ModelState::InForce, Some(14)));
        assert_eq!(back.decided, ("op/sam".to_owned(), "looked".to_owned()));
        assert_eq!(store.model("second").await.unwrap().unwrap().state, ModelState::Retired);
        assert!(matches!(store.discard_model("second", &at(15), None).await, Err(Error::ModelNotReady)));
        store.discard_model("third", &at(15), None).await.unwrap();
        store.rotate_keys(16, &|_, _| {}).await.unwrap();
        assert_eq!(store.model_body("second").await.unwrap().unwrap(), "{\"learnt\":1}");
        assert!(matches!(store.promote_model("none", &at(16), None).await, Err(Error::ModelUnknown)));
    }
}

#[tokio::test]
async fn what_waits_is_decided_anew_and_a_stewards_word_is_not() {
    for store in databases().await {
        let target = register(&*store, "0", "Delgado").await;
        let mut others = vec![];
        for (local, family) in [("1", "Okafor"), ("2", "Lindqvist"), ("3", "Marchetti")] {
            others.push(register(&*store, local, family).await);
        }
        let (moved, pinned, sent) = (&others[0], &others[1], &others[2]);
        store.link(pinned.record, pinned.person, &STEWARD, None).await.unwrap();
        let changes: Vec<_> = others.iter().map(|other| change(other, &target)).collect();
        store.begin_model("second", "first", 0, 10, None).await.unwrap();
        store.model_learnt("second", "{}", 4, &changes, 11).await.unwrap();
        assert_eq!(store.model_change_counts("second").await.unwrap(), [("STAY".into(), "MOVE".into(), 3)]);
        let listed = store.model_changes("second", 0, 10).await.unwrap();
        assert_eq!(listed.iter().map(|(.., change)| change.clone()).collect::<Vec<_>>(), changes);
        assert_eq!(listed[1].1.local_id(), "2");
        let promoted = store.promote_model("second", &at(12), None).await.unwrap();
        assert_eq!(promoted.pending, 3);

        let waiting = store.pending_changes("second", 10).await.unwrap();
        let (rows, records): (Vec<i64>, Vec<_>) = waiting.into_iter().unzip();
        let batch: Vec<Incoming> = records
            .iter()
            .zip(["Okafor", "Lindqvist", "Marchetti"])
            .map(|(record, family)| incoming(record.reference.local_id(), family))
            .collect();
        // Its member sends one of them meanwhile.
        register(&*store, "3", "Marchetti-Rossi").await;
        let move_all = |_: &Incoming, snapshot: Snapshot| {
            let unchanged = snapshot.stored.is_none_or(|stored| stored.unchanged);
            let to = if unchanged { Target::Stay } else { Target::Person(target.person) };
            Change::new(to, 12.0, None)
        };
        let later = Decider { now_us: 40, ..by_model("second") };
        store.carry_out(&batch, &rows, &move_all, &later).await.unwrap();
        assert_eq!(store.pending_changes("second", 10).await.unwrap(), []);
        for (record, person) in [(moved, target.person), (pinned, pinned.person), (sent, sent.person)] {
            let event = store.decisions(&Of::Record(record.record), i64::MAX, 1).await.unwrap().remove(0);
            assert_eq!(event.to, person);
        }
        let event = store.decisions(&Of::Record(moved.record), i64::MAX, 1).await.unwrap().remove(0);
        assert_eq!(event.model_version, "second");
        let person = store.person(&By::Person(moved.person)).await.unwrap().unwrap();
        let records = store.person_records(person.id, 0, 10).await.unwrap();
        let again = records.iter().find(|record| record.id == moved.record).unwrap();
        assert_eq!(again.updated_us, 20, "its member has not sent it since");
        assert!(store.take_over("second", 1, 30).await.unwrap());
        assert!(!store.take_over("second", 30, 31).await.unwrap(), "somebody works on it");
    }
}
