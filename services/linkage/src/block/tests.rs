use super::*;
use crate::{
    normalize::prepare,
    record::{Address, Date, Identifier, Name, Record},
};

fn record(given: &str, family: &str, birth_date: &str) -> Record {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    Record {
        names: vec![name],
        birth_dates: Date::parse(birth_date).into_iter().collect(),
        ..Record::default()
    }
}

fn living(line: &str, city: &str, postcode: &str) -> Address {
    Address { line: line.into(), city: city.into(), postcode: postcode.into(), ..Address::default() }
}

fn keys_of(record: &Record) -> Vec<Key> {
    keys(prepare(record, rlibphonenumber::Region::US).view())
}

/// Passes by which two records meet.
fn meet(a: &Record, b: &Record) -> Vec<Pass> {
    let (a, b) = (keys_of(a), keys_of(b));
    let mut passes: Vec<_> = a.iter().filter(|key| b.contains(key)).map(|key| key.pass).collect();
    passes.dedup();
    passes
}

fn tight(passes: &[Pass]) -> bool {
    passes.iter().any(|pass| !pass.is_wide())
}

#[test]
fn variants_meet_in_passes_that_scale() {
    let jane = record("Jane", "Smith", "1980-03-04");
    for (other, why) in [
        (record("Jayne", "Smyth", "1980-03-04"), "spelling"),
        (record("Smith", "Jane", "1980-03-04"), "swapped names"),
        (record("Jane", "Smith", "1980-04-03"), "swapped day and month"),
        (record("Jane", "Brown", "1980-03-04"), "married"),
        (record("Jane", "Smith-Brown", "1980-03-04"), "double name"),
        (record("Jane", "Smith", "1981-03-04"), "another year"),
        (record("Jane", "Smith", "1980-11-25"), "another day"),
        (record("Jane", "Smith", "1955-11-25"), "another date altogether"),
        (record("Jane", "Smith", ""), "no date"),
        (record("J", "Smith", "1980-03-04"), "initial"),
        (record("", "Smith", "1980-03-04"), "no given name"),
        (record("Jnae", "Smtih", "1980-03-04"), "misspelt"),
    ] {
        assert!(tight(&meet(&jane, &other)), "{why}: {:?}", meet(&jane, &other));
    }
    assert_eq!(meet(&jane, &record("Robert", "Brown", "1955-07-08")), []);
}

#[test]
fn what_is_shared_besides_the_name_meets() {
    let base = Record {
        addresses: vec![living("12 Main St", "Boston", "02139")],
        phones: vec!["617 555 0123".into()],
        ..record("Jane", "Smith", "1980-03-04")
    };
    let with = |change: fn(&mut Record)| {
        let mut other = record("Janet", "Brown", "1966-07-28");
        change(&mut other);
        meet(&base, &other)
    };
    assert_eq!(with(|_| {}), []);
    assert!(with(|other| other.phones = vec!["+1 617-555-0123".into()]).contains(&Pass::PhoneInitial));
    let house = with(|other| other.addresses = vec![living("12 Main Street", "", "02139")]);
    assert!(house.contains(&Pass::House) && house.contains(&Pass::HouseInitial), "{house:?}");
    let numbers = |value: &str| vec![Identifier { system: "a".into(), value: value.into() }];
    let (one, two) = (
        Record {
            identifiers: numbers("17"),
            record_numbers: numbers("18"),
            emails: vec!["a@b.cd".into()],
            ..record("Jane", "", "")
        },
        Record {
            identifiers: numbers("17"),
            record_numbers: numbers("18"),
            emails: vec!["A@B.CD".into()],
            ..record("Bob", "", "")
        },
    );
    assert_eq!(meet(&one, &two), [Pass::Identifier, Pass::RecordNumber, Pass::Email]);
    assert_eq!(
        meet(
            &Record { identifiers: numbers("17"), ..Record::default() },
            &Record { record_numbers: numbers("17"), ..Record::default() }
        ),
        []
    );
}

#[test]
fn a_lone_value_makes_no_key_in_a_pass_that_scales() {
    assert_eq!(keys_of(&record("", "Smith", "")), []);
    assert_eq!(keys_of(&record("Jane", "", "")), []);
    assert_eq!(keys_of(&Record { phones: vec!["617 555 0123".into()], ..Record::default() }), []);
    assert_eq!(keys_of(&Record { addresses: vec![living("", "Boston", "02139")], ..Record::default() }), []);
    for lone in [
        record("", "", "1980-03-04"),
        Record { addresses: vec![living("Main St", "Boston", "02139")], ..record("", "Smith", "") },
    ] {
        assert!(keys_of(&lone).iter().all(|key| key.pass.is_wide()), "{:?}", keys_of(&lone));
    }
    assert_eq!(keys_of(&Record::default()), []);
}

#[test]
fn a_surname_and_a_birth_date_of_others_do_not_meet() {
    let passes = meet(&record("Jane", "Smith", "1980-03-04"), &record("Robert", "Smith", "1955-07-08"));
    assert_eq!(passes, []);
}

#[test]
fn keys_have_a_limit_and_the_tightest_stay() {
    let names =
        (0..16).map(|i| record(&format!("Jane{i}"), &format!("Smith{i}"), "").names.remove(0)).collect();
    let birth_dates = (0..16).map(|i| Date { year: 1960 + i, month: 3, day: 4 }).collect();
    let identifiers = vec![Identifier { system: "a".into(), value: "17".into() }];
    let keys = keys_of(&Record { names, birth_dates, identifiers, ..Record::default() });
    assert_eq!(keys.len(), KEYS_MAX);
    assert_eq!(keys[0].pass, Pass::Identifier);
    assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn passes_are_numbered_as_they_are_listed() {
    for (place, pass) in Pass::ALL.into_iter().enumerate() {
        assert_eq!(pass as usize, place);
        assert!(Pass::ALL[..place].iter().all(|other| other.name() != pass.name()));
    }
    assert!(Pass::ALL.len() <= 32, "a pass is five bits of a key's number");
}

#[test]
fn a_key_as_a_number_tells_passes_and_parts_apart() {
    let key = |pass, parts| Key { pass, parts }.number();
    assert_eq!(key(Pass::Email, [1, 2, 3]), key(Pass::Email, [1, 2, 3]));
    assert_ne!(key(Pass::Email, [1, 2, 3]), key(Pass::Birth, [1, 2, 3]));
    assert_ne!(key(Pass::Email, [1, 2, 3]), key(Pass::Email, [2, 1, 3]));
}

#[test]
fn streets_meet_by_their_names() {
    let shared = |a: &str, b: &str| {
        let [a, b] = [a, b].map(|line| {
            let address = living(line, "Boston", "02139");
            Record { addresses: vec![address], ..Record::default() }
        });
        meet(&a, &b).contains(&Pass::Street)
    };
    assert!(shared("3 Hopkins Street", "147 Hopkins Street Rear"));
    assert!(shared("12 E Main St", "7 Main Street"));
    for other in ["99 Elm Street", "99 Oak Street", "1 Calle Sol"] {
        assert!(!shared("12 Calle Luna", other) && !shared("12 Fox Street", other), "{other}");
    }
    assert!(shared("5 North Street", "7 North Street"), "it has no other name");
}
