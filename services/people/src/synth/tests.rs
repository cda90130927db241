use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SMALL: Options = Options { people: 2_000, seed: 7 };

fn per_thousand(part: usize, whole: usize) -> usize {
    part * 1000 / whole
}

fn files(options: Options) -> [Vec<u8>; 3] {
    let dir = tempfile::tempdir().unwrap();
    write(options, dir.path(), &|_, _| {}).unwrap();
    [RECORDS_FILE, TRUTH_FILE, RELATIONS_FILE].map(|name| std::fs::read(dir.path().join(name)).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |seed| files(Options { people: 300, seed });
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1)[0], bytes(2)[0]);
}

/// Changes with any change of the generator; then, and only then, take over the new numbers.
#[test]
fn the_bytes_are_the_same_on_any_machine() {
    let step = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
    let sums = files(Options { people: 100, seed: 1 }).map(|bytes| bytes.iter().fold(0, step));
    assert_eq!(sums, [611336302, 394611262, 1414384]);
}

#[test]
fn every_record_has_a_truth_row_and_an_id_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let summary = write(SMALL, dir.path(), &|_, _| {}).unwrap();
    let ids = |name, column| -> Vec<String> {
        let mut reader = csv::Reader::from_path(dir.path().join(name)).unwrap();
        reader.records().map(|row| row.unwrap()[column].to_owned()).collect()
    };
    let records = ids(RECORDS_FILE, 0);
    assert_eq!(records.len() as u64, summary.records);
    assert_eq!(records, ids(TRUTH_FILE, 0));
    assert_eq!(records.iter().collect::<BTreeSet<_>>().len(), records.len());
    let entities: BTreeSet<_> = ids(TRUTH_FILE, 1).into_iter().collect();
    assert_eq!(entities.len() as u64, summary.entities);
    let related = [ids(RELATIONS_FILE, 0), ids(RELATIONS_FILE, 1)].concat();
    assert!(related.iter().all(|entity| entities.contains(entity)));
}

#[test]
fn the_progress_ends_at_the_total() {
    let dir = tempfile::tempdir().unwrap();
    let last = std::cell::Cell::new((0, 0));
    let summary = write(Options { people: 50, seed: 1 }, dir.path(), &|done, total| last.set((done, total)));
    let records = summary.unwrap().records;
    assert_eq!(last.get(), (records, records));
}

#[test]
fn there_are_about_as_many_people_as_asked_for() {
    let summary = generate(SMALL).summary();
    assert!((1_800..=2_200).contains(&summary.entities), "{summary:?}");
    let per_person = summary.records * 100 / summary.entities;
    assert!((230..=280).contains(&per_person), "{per_person}");
}

#[test]
fn twins_share_the_birth_date_and_not_the_name() {
    let population = generate(SMALL);
    for &(one, other, relation) in &population.world.relations {
        let (one, other) = (population.world.person(one), population.world.person(other));
        match relation {
            Relation::Twin => {
                assert_eq!(one.birth, other.birth);
                assert_ne!(one.given, other.given);
            }
            Relation::SameName => {
                assert_eq!((&one.given, one.family()), (&other.given, other.maiden()));
                assert!(other.birth.year() - one.birth.year() >= 15);
            }
            Relation::Sibling => assert_eq!(one.mother, other.mother),
            Relation::Parent => assert!(one.birth < other.birth),
            Relation::Spouse => assert_ne!(one.sex, other.sex),
        }
    }
}

#[test]
fn two_people_are_related_in_one_way_only() {
    let mut seen = BTreeSet::new();
    for (one, other, _) in generate(SMALL).relations() {
        assert!(seen.insert((one.min(other), one.max(other))));
    }
}

#[test]
fn twins_and_namesakes_are_as_frequent_as_among_people() {
    let population = generate(Options { people: 10_000, seed: 3 });
    let people = population.world.people.len();
    let in_relation = |wanted: Relation| -> usize {
        let pairs = population.world.relations.iter().filter(|(_, _, relation)| *relation == wanted);
        pairs.flat_map(|&(one, other, _)| [one, other]).collect::<BTreeSet<_>>().len()
    };
    let twins = per_thousand(in_relation(Relation::Twin), people);
    assert!((20..=40).contains(&twins), "{twins}");
    let namesakes = per_thousand(in_relation(Relation::SameName), people);
    assert!((5..=20).contains(&namesakes), "{namesakes}");
}

#[test]
fn a_number_at_a_source_belongs_to_one_person() {
    let mut owners = BTreeMap::new();
    for record in generate(SMALL).records() {
        let owner = *owners.entry((record.source, record.mrn)).or_insert(record.entity);
        assert_eq!(owner, record.entity);
    }
}

#[test]
fn names_are_skewed_with_a_long_tail() {
    let population = generate(Options { people: 20_000, seed: 5 });
    let people = &population.world.people;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for person in people {
        *counts.entry(person.maiden()).or_default() += 1;
    }
    let smiths = per_thousand(counts["Smith"], people.len());
    assert!((4..=13).contains(&smiths), "{smiths}");
    assert!(counts.len() > 3_000, "{}", counts.len());
}

#[test]
fn cells_are_filled_as_in_a_hospital() {
    let records: Vec<Record> = generate(Options { people: 5_000, seed: 11 }).records().collect();
    let empty = |cell: fn(&Cells) -> &String| {
        per_thousand(records.iter().filter(|record| cell(&record.cells).is_empty()).count(), records.len())
    };
    assert!(empty(|cells| &cells.family) < 10);
    assert!((5..=30).contains(&empty(|cells| &cells.birth_date)));
    assert!((15..=80).contains(&empty(|cells| &cells.address)));
    assert!((100..=350).contains(&empty(|cells| &cells.phone)));
    assert!((450..=750).contains(&empty(|cells| &cells.national_id)));
}
