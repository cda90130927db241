//! Linking whole files: what does not depend on the order of records, and what people have decided.

mod people;

use std::collections::BTreeMap;

use rand::{
    SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use signpost_linkage::{
    Address, Date, Identifier, Model, Name, Packed, Record, Region, Sex,
    bulk::{Constraint, Constraints, Corpus, Linked, Options, block, learn, link},
    decide::Thresholds,
    model::Placeholders,
    prepare,
};

use people::{packed, people};

fn corpus(records: &[Packed]) -> Corpus {
    let mut corpus = Corpus::default();
    records.iter().for_each(|record| corpus.push(record.view()));
    corpus
}

fn linked(records: &[Packed], constraints: &Constraints) -> Linked {
    let corpus = corpus(records);
    link(&corpus, &block(&corpus), Model::shipped(), Thresholds::default(), constraints)
}

/// Names each group by its smallest record of the original order, given where each record came from.
fn partition(persons: &[u32], origin: &[usize]) -> Vec<usize> {
    let mut names: BTreeMap<u32, usize> = BTreeMap::new();
    for (person, from) in persons.iter().zip(origin) {
        names.entry(*person).and_modify(|name| *name = (*name).min(*from)).or_insert(*from);
    }
    let mut groups = vec![0; origin.len()];
    for (person, from) in persons.iter().zip(origin) {
        groups[*from] = names[person];
    }
    groups
}

fn record(given: &str, family: &str, birth_date: &str, line: &str, phone: &str) -> Record {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let address = Address { line: line.into(), postcode: "02139".into(), ..Address::default() };
    Record {
        names: vec![name],
        birth_dates: Date::parse(birth_date).into_iter().collect(),
        addresses: vec![address],
        phones: vec![phone.into()],
        ..Record::default()
    }
}

fn persons(records: &[Record], constraints: &Constraints) -> Vec<u32> {
    let records: Vec<_> = records.iter().map(|record| prepare(record, Region::US)).collect();
    linked(&records, constraints).persons
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    let mut random = SmallRng::seed_from_u64(1);
    for seed in 0..20 {
        let records = packed(&people(300, seed));
        let origin: Vec<_> = (0..records.len()).collect();
        let expected = partition(&linked(&records, &Constraints::default()).persons, &origin);
        for _ in 0..3 {
            let mut origin = origin.clone();
            origin.shuffle(&mut random);
            let shuffled: Vec<_> = origin.iter().map(|from| records[*from].clone()).collect();
            let found = partition(&linked(&shuffled, &Constraints::default()).persons, &origin);
            let differ: Vec<_> = (0..found.len()).filter(|at| found[*at] != expected[*at]).collect();
            assert!(differ.is_empty(), "seed {seed}: {differ:?}");
        }
    }
}

/// Records that differ in a few values only, so that many pairs are doubtful and groups grow in many ways.
fn confusable(count: usize, seed: u64) -> Vec<Packed> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut pick = |list: &[&'static str]| list.choose(&mut random).copied().unwrap_or_default();
    let mut made = vec![];
    for _ in 0..count {
        let given = pick(&["John", "Jon", "Joan", "J", "", "Robert", "Johnathan", "Bob"]);
        let family = pick(&["Smith", "Smyth", "Smith-Brown", "Brown", "Schmidt", ""]);
        let birth = pick(&["1980-03-04", "1980-04-03", "1981-03-04", "1955-03-04", "", "1980-03-05"]);
        let line = pick(&["12 Main St", "13 Main St", "12 Maine St", "77 Elm Rd", ""]);
        let phone = pick(&["617 555 0123", "617 555 0124", "212 555 0187", ""]);
        let mut record = record(given, family, birth, line, phone);
        record.sex =
            [None, Some(Sex::Female), Some(Sex::Male)][usize::from(pick(&["", "f", "ma"]).len() as u8)];
        record.names[0].suffix = pick(&["", "", "", "Jr", "Sr"]).into();
        made.push(prepare(&record, Region::US));
    }
    // What is equal cannot be told apart, whatever its place.
    made.sort();
    made.dedup();
    made
}

#[test]
fn the_order_of_doubtful_records_does_not_matter() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut differing = vec![];
    for seed in 0..20 {
        let records = confusable(60, seed);
        let origin: Vec<_> = (0..records.len()).collect();
        let expected = partition(&linked(&records, &Constraints::default()).persons, &origin);
        for _ in 0..3 {
            let mut origin = origin.clone();
            origin.shuffle(&mut random);
            let shuffled: Vec<_> = origin.iter().map(|from| records[*from].clone()).collect();
            let found = partition(&linked(&shuffled, &Constraints::default()).persons, &origin);
            if found != expected {
                differing.push(seed);
            }
        }
    }
    assert!(differing.is_empty(), "seeds {differing:?}");
}

#[test]
fn most_records_of_one_person_are_linked_and_few_of_two() {
    let known = people(3000, 7);
    let persons = linked(&packed(&known), &Constraints::default()).persons;
    let (mut both, mut wrong, mut missed) = (0, 0, 0);
    for a in 0..known.len() {
        for b in a + 1..known.len() {
            let together = persons[a] == persons[b];
            match (known[a].person == known[b].person, together) {
                (true, true) => both += 1,
                (true, false) => missed += 1,
                (false, true) => wrong += 1,
                (false, false) => {}
            }
        }
    }
    let all = f64::from(both + missed);
    assert!(f64::from(both) > 0.95 * all, "{both} found, {missed} missed");
    assert!(f64::from(wrong) < 0.005 * all, "{both} found, {wrong} wrong");
}

#[test]
fn a_person_is_named_by_its_first_record_and_pairs_are_in_order() {
    let records = packed(&people(500, 3));
    let Linked { persons, pairs } = linked(&records, &Constraints::default());
    for (record, person) in persons.iter().enumerate() {
        assert!(*person as usize <= record && persons[*person as usize] == *person);
    }
    assert!(pairs.windows(2).all(|two| (two[0].a, two[0].b) < (two[1].a, two[1].b)));
    assert!(
        pairs.iter().all(|pair| pair.a < pair.b && pair.probability() >= 0.0099 && pair.bits.is_finite())
    );
}

#[test]
fn nothing_and_one_record_can_be_linked() {
    assert_eq!(linked(&[], &Constraints::default()).persons, [0; 0]);
    let one = prepare(&record("Jane", "Smith", "1980-03-04", "12 Main St", ""), Region::US);
    assert_eq!(linked(std::slice::from_ref(&one), &Constraints::default()).persons, [0]);
    assert_eq!(linked(&[one.clone(), one], &Constraints::default()).persons, [0, 0]);
}

#[test]
fn what_people_decided_outweighs_the_model() {
    let jane = record("Jane", "Smith", "1980-03-04", "12 Main St", "617 555 0123");
    let bob = record("Robert", "Brown", "1955-10-21", "9 Oak Ave", "212 555 0187");
    let records = [jane.clone(), jane.clone(), bob.clone(), bob];
    assert_eq!(persons(&records, &Constraints::default()), [0, 0, 2, 2]);
    let mut constraints = Constraints::default();
    constraints.insert(1, 0, Constraint::CannotLink);
    constraints.insert(1, 3, Constraint::MustLink);
    assert_eq!(constraints.get(0, 1), Some(Constraint::CannotLink));
    let found = persons(&records, &constraints);
    assert!(found[1] == found[3] && found[0] != found[1], "{found:?}");
    constraints.insert(0, 1, Constraint::MustLink);
    assert_eq!(constraints.get(0, 1), Some(Constraint::MustLink), "the later decision counts");
    let found = persons(&records, &constraints);
    assert!(found[0] == found[1] && found[1] == found[3], "{found:?}");
}

#[test]
fn decisions_of_people_hold_in_every_group() {
    for seed in 0..10 {
        let known = people(300, seed);
        let records = packed(&known);
        let free = linked(&records, &Constraints::default()).persons;
        let mut constraints = Constraints::default();
        let mut decided = vec![];
        for at in (1..records.len()).step_by(7) {
            let together = free[at] == free[at - 1];
            let constraint = if together { Constraint::CannotLink } else { Constraint::MustLink };
            constraints.insert(at as u32, at as u32 - 1, constraint);
            decided.push((at, constraint));
        }
        let found = linked(&records, &constraints).persons;
        for (at, constraint) in decided {
            let together = found[at] == found[at - 1];
            assert_eq!(together, constraint == Constraint::MustLink, "seed {seed}, record {at}");
        }
    }
}

#[test]
fn two_who_are_kept_apart_stay_so_in_a_large_group() {
    let jane = record("Jane", "Smith", "1980-03-04", "12 Main St", "617 555 0123");
    let records = vec![jane; 60];
    for (a, b) in [(58, 59), (0, 59), (29, 30), (0, 1), (40, 12)] {
        let mut constraints = Constraints::default();
        constraints.insert(a, b, Constraint::CannotLink);
        let found = persons(&records, &constraints);
        assert_ne!(found[a as usize], found[b as usize], "{a} {b}");
    }
}

#[test]
fn one_bridging_record_joins_no_two_persons() {
    let numbered = |value: &str, record: Record| {
        let identifier = Identifier { system: "ssn".into(), value: value.into() };
        Record { identifiers: vec![identifier], ..record }
    };
    // Father and son of one name; a record that knows neither birth date nor number fits both.
    let father = record("John", "Smith", "1950-03-04", "12 Main St", "617 555 0123");
    let son = record("John", "Smith", "1982-11-23", "12 Main St", "617 555 0123");
    let bridge = record("John", "Smith", "", "12 Main St", "617 555 0123");
    let records = [father.clone(), father, bridge, son.clone(), son];
    let found = persons(&records, &Constraints::default());
    assert!(found[0] == found[1] && found[3] == found[4] && found[1] != found[3], "{found:?}");
    // Two strangers; a record into which both were written.
    let one = numbered("219-09-9998", record("Jane", "Smith", "1980-03-04", "12 Main St", "617 555 0123"));
    let two = numbered("457-55-5462", record("Rosa", "Keller", "1966-07-28", "9 Oak Ave", "212 555 0187"));
    let mut bridge = one.clone();
    bridge.names.extend(two.names.clone());
    bridge.birth_dates.extend(two.birth_dates.clone());
    bridge.identifiers.extend(two.identifiers.clone());
    bridge.phones.extend(two.phones.clone());
    bridge.addresses.extend(two.addresses.clone());
    let records = [one.clone(), one, bridge, two.clone(), two];
    let found = persons(&records, &Constraints::default());
    assert!(found[0] == found[1] && found[3] == found[4] && found[1] != found[3], "{found:?}");
}

#[test]
fn twins_and_namesakes_of_a_file_stay_apart() {
    let twin = |given| record(given, "Smith", "2015-03-04", "12 Main St", "617 555 0123");
    let records = [twin("Ann"), twin("Robert"), twin("Ann"), twin("Robert"), twin("Rob")];
    let found = persons(&records, &Constraints::default());
    assert_eq!(found, [0, 1, 0, 1, 1]);
}

#[test]
fn the_same_records_and_seed_give_the_same_model() {
    let records = packed(&people(300, 5));
    let model = |records: &[Packed]| {
        let corpus = corpus(records);
        let options = Options { version: "test".into(), seed: 1 };
        learn(&corpus, &block(&corpus), Placeholders::default(), &options).to_json().unwrap()
    };
    assert!(model(&records) == model(&records));
}

#[test]
fn a_model_is_read_as_it_was_written() {
    let corpus = corpus(&packed(&people(300, 5)));
    let options = Options { version: "test".into(), seed: 1 };
    let model = learn(&corpus, &block(&corpus), Placeholders::default(), &options);
    let read = Model::from_json(&model.to_json().unwrap()).unwrap();
    assert!(read.levels == model.levels && read.rates == model.rates, "every digit");
    assert!(read.frequencies == model.frequencies && read.facts == model.facts);
}

#[test]
fn blocking_finds_nearly_every_pair_of_one_person_once() {
    let known = people(3000, 11);
    let corpus = corpus(&packed(&known));
    let blocked = block(&corpus);
    let pairs: Vec<(u32, u32)> = blocked.parts.iter().flatten().copied().collect();
    assert_eq!(pairs.len(), blocked.len());
    assert!(pairs.windows(2).all(|two| two[0] < two[1]) && pairs.iter().all(|(a, b)| a < b));
    let same = |a: u32, b: u32| known[a as usize].person == known[b as usize].person;
    let found = pairs.iter().filter(|(a, b)| same(*a, *b)).count();
    let all = (0..known.len() as u32).flat_map(|a| (a + 1..known.len() as u32).map(move |b| (a, b)));
    let all = all.filter(|(a, b)| same(*a, *b)).count();
    assert!(found as f64 > 0.99 * all as f64, "{found} of {all}");
    let counted: u64 = blocked.passes.iter().map(|pass| pass.pairs).sum();
    assert!(counted >= pairs.len() as u64);
}

#[test]
fn changing_no_record_leaves_a_corpus_as_it_is() {
    let records = packed(&people(100, 2));
    let copy = corpus(&records).map(|_| None);
    assert_eq!(copy.len(), 100);
    let changed =
        corpus(&records).map(|view| (view.as_bytes() == records[3].as_bytes()).then(|| records[4].clone()));
    for (place, record) in records.iter().enumerate() {
        assert_eq!(copy.view(place as u32).as_bytes(), record.as_bytes());
        let expected = if record == &records[3] { &records[4] } else { record };
        assert_eq!(changed.view(place as u32).as_bytes(), expected.as_bytes());
    }
    assert!(Corpus::default().is_empty() && Corpus::default().bytes() == 0);
    assert_eq!(format!("{:?}", corpus(&records)), "Corpus(100 records)");
}
