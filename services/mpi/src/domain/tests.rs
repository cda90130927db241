use signpost_linkage::{Date, Name};

use super::*;

fn index() -> Index {
    Index::new(Blinder::new(&[7; 32]).unwrap(), Matching::default())
}

fn record(given: &str, birth_date: &str, phone: &str) -> Record {
    let name = Name { given: vec![given.into()], family: "Smith".into(), ..Name::default() };
    Record {
        names: vec![name],
        birth_dates: Date::parse(birth_date).into_iter().collect(),
        phones: vec![phone.into()],
        ..Record::default()
    }
}

fn incoming(record: &Record) -> Incoming {
    let reference = RecordRef::new("north".parse().unwrap(), "1").unwrap();
    index().incoming(reference, record, vec![])
}

fn known(person: PersonId, record: &Record) -> Known {
    Known { person, record: prepare(record, Region::US) }
}

#[test]
fn a_newcomer_joins_whom_it_matches() {
    let (person, jane) = (PersonId::generate(), record("Jane", "1980-03-04", "6175550101"));
    let snapshot = Snapshot { candidates: vec![known(person, &jane)], ..Snapshot::default() };
    assert_eq!(index().register(&incoming(&jane), snapshot).target, Target::Person(person));
}

#[test]
fn a_steward_keeps_them_apart_for_good() {
    let (person, jane) = (PersonId::generate(), record("Jane", "1980-03-04", "6175550101"));
    let snapshot =
        Snapshot { candidates: vec![known(person, &jane)], kept_apart: vec![person], ..Snapshot::default() };
    let change = index().register(&incoming(&jane), snapshot);
    assert_eq!((change.target, change.review), (Target::NewPerson, None));
}

#[test]
fn an_overfull_block_links_nothing() {
    let (person, jane) = (PersonId::generate(), record("Jane", "1980-03-04", "6175550101"));
    let snapshot = Snapshot { candidates: vec![known(person, &jane)], overfull: true, ..Snapshot::default() };
    let change = index().register(&incoming(&jane), snapshot);
    assert_eq!(change.target, Target::NewPerson);
    assert_eq!(change.review.unwrap().reason, "BLOCK_OVERFULL");
}

#[test]
fn one_of_several_records_does_not_move_by_itself() {
    let (here, there) = (PersonId::generate(), PersonId::generate());
    let jane = record("Jane", "1980-03-04", "6175550101");
    let stored = |alone| Some(Stored { person: here, unchanged: false, alone, before: None });
    let snapshot = |alone| Snapshot {
        stored: stored(alone),
        candidates: vec![known(there, &jane)],
        ..Snapshot::default()
    };
    let change = index().register(&incoming(&jane), snapshot(false));
    assert_eq!((change.target, change.review.unwrap().reason), (Target::Stay, "BELONGS_ELSEWHERE"));
    assert_eq!(index().register(&incoming(&jane), snapshot(true)).target, Target::Person(there));
}

#[test]
fn what_is_stored_already_changes_nothing() {
    let stored = Some(Stored { person: PersonId::generate(), unchanged: true, alone: true, before: None });
    let change = index()
        .register(&incoming(&record("Jane", "1980-03-04", "")), Snapshot { stored, ..Snapshot::default() });
    assert_eq!(change, Change::new(Target::Stay, 0.0, None));
}

#[test]
fn somebody_else_under_an_old_identifier_is_reviewed() {
    let before = Some(prepare(&record("Jane", "1980-03-04", "6175550101"), Region::US));
    let stored = Some(Stored { person: PersonId::generate(), unchanged: false, alone: true, before });
    let stranger = incoming(&record("Rex", "1931-07-08", ""));
    let change = index().register(&stranger, Snapshot { stored, ..Snapshot::default() });
    assert_eq!((change.target, change.review.unwrap().reason), (Target::Stay, "IDENTITY_CHANGED"));
}

#[test]
fn missing_attributes_are_named_and_never_their_values() {
    let missing = attributes_missing(prepare(&record("Jane", "", ""), Region::US).view());
    assert!(missing.contains(&"birth_date") && !missing.contains(&"names.given"));
}

#[test]
fn a_lone_name_makes_no_key() {
    let keys = |birth_date| index().prepare(&record("Jane", birth_date, "")).1;
    assert_eq!(keys(""), [0; 0]);
    assert!(!keys("1980-03-04").is_empty());
}
