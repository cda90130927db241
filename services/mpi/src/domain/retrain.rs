//! A model learnt from the index, and what it would change there.
//!
//! Every record is decided on twice, by the model in force and by the new one, as if it came again today: the rules are those
//! of records that come one by one. What comes out otherwise is what the new model would change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use signpost_common::id::{PersonId, RecordId};
use signpost_linkage::{
    Model, Packed,
    bulk::{self, Corpus, Options},
    model::{Placeholders, probability},
};

use super::{CANDIDATES_MAX, Change, Index, Known, Snapshot, Stored, Target};

/// Records that are decided on between two looks at whether anybody still wants to know.
const DECIDED_AT_ONCE: usize = 2_000;

/// A record of the index.
#[derive(Debug)]
pub struct Kept {
    /// Its id.
    pub id: RecordId,
    /// Its person.
    pub person: PersonId,
    /// The form that is compared.
    pub prepared: Packed,
    /// Blocking keys.
    pub keys: Vec<i64>,
}

/// All records of the index, and what stewards said of them.
#[derive(Debug, Default)]
pub struct Holdings {
    records: Vec<Kept>,
    /// Records that stewards linked with the persons that they are with.
    pinned: HashSet<RecordId>,
    /// Persons that each record is kept apart from.
    apart: HashMap<RecordId, Vec<PersonId>>,
    /// Persons that are kept apart from each person's records.
    apart_from: HashMap<PersonId, Vec<PersonId>>,
    /// Pairs that stewards judged, as numbers of records, and whether the two are one person's.
    judged: Vec<(u32, u32, bool)>,
}

/// A decision that comes out otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The record.
    pub record: RecordId,
    /// Person it is with.
    pub person: PersonId,
    /// What is decided by the model in force.
    pub before: &'static str,
    /// What is decided by the new one.
    pub after: &'static str,
    /// Person that it would go to, or that would be asked about.
    pub candidate: Option<PersonId>,
    /// Probability that the record is that person's, by the new model.
    pub probability: f64,
}

impl Holdings {
    /// Puts together records and stewards' words: record, person, and whether the two are linked.
    pub fn new(records: Vec<Kept>, words: impl IntoIterator<Item = (RecordId, PersonId, bool)>) -> Self {
        let number: HashMap<RecordId, u32> =
            records.iter().zip(0u32..).map(|(record, number)| (record.id, number)).collect();
        let mut of_person: HashMap<PersonId, Vec<u32>> = HashMap::new();
        for (record, number) in records.iter().zip(0u32..) {
            of_person.entry(record.person).or_default().push(number);
        }
        let mut holdings = Self::default();
        for (record, person, linked) in words {
            let Some(at) = number.get(&record) else { continue };
            let own = records[*at as usize].person;
            let others = of_person.get(&person).into_iter().flatten().filter(|other| *other != at);
            if linked || own != person {
                holdings.judged.extend(others.map(|other| (*at, *other, linked)));
            }
            if linked && own == person {
                holdings.pinned.insert(record);
            }
            // Whoever joined them later has the last word.
            if !linked && own != person {
                holdings.apart.entry(record).or_default().push(person);
                holdings.apart_from.entry(person).or_default().push(own);
            }
        }
        Self { records, ..holdings }
    }

    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the records as training reads them, without `known` placeholders and without those that they show, and all of
    /// these.
    pub fn corpus(&self, known: &Placeholders) -> (Corpus, Placeholders) {
        let mut corpus = Corpus::default();
        self.records.iter().for_each(|record| corpus.push(record.prepared.view()));
        let mut placeholders = Placeholders::find(&corpus);
        placeholders.extend(known);
        let corpus = corpus.map(|record| placeholders.strip(record));
        (corpus, placeholders)
    }

    /// Learns a model from the records, corrected by what stewards judged when that is enough.
    pub fn learn(
        &self,
        corpus: &Corpus,
        blocked: &bulk::Blocked,
        placeholders: Placeholders,
        version: &str,
    ) -> Model {
        let options = Options { version: version.to_owned(), seed: 1 };
        let model = bulk::learn(corpus, blocked, placeholders, &options);
        // Of the pairs of one word the strongest is what the steward saw.
        let mut labels: BTreeMap<(u32, bool), f64> = BTreeMap::new();
        for (record, other, same) in &self.judged {
            let bits = model.plain_bits(corpus.view(*record), corpus.view(*other));
            let strongest = labels.entry((*record, *same)).or_insert(bits);
            *strongest = strongest.max(bits);
        }
        let labels: Vec<(f64, bool)> = labels.into_iter().map(|((_, same), bits)| (bits, same)).collect();
        model.calibrated(&labels)
    }

    /// Returns the decisions that come out otherwise, in the order of the records; `None` when `go_on` said to stop. `go_on` is
    /// told how many records have been decided on.
    pub fn differences(
        &self,
        before: &Index,
        after: &Index,
        go_on: &(dyn Fn(usize) -> bool + Sync),
    ) -> Option<Vec<Difference>> {
        let numbered = self.records.iter().zip(0u32..);
        let mut entries: Vec<(i64, u32)> =
            numbered.flat_map(|(record, number)| record.keys.iter().map(move |key| (*key, number))).collect();
        entries.par_sort_unstable();
        let mut sizes: HashMap<PersonId, u32> = HashMap::new();
        self.records.iter().for_each(|record| *sizes.entry(record.person).or_default() += 1);
        let mut differences = vec![];
        let numbers: Vec<u32> = (0..self.records.len() as u32).collect();
        for (part, chunk) in numbers.chunks(DECIDED_AT_ONCE).enumerate() {
            if !go_on(part * DECIDED_AT_ONCE) {
                return None;
            }
            let found: Vec<Difference> = chunk
                .par_iter()
                .filter_map(|number| {
                    let alone = sizes.get(&self.records[*number as usize].person).is_none_or(|n| *n <= 1);
                    self.difference(*number, &entries, alone, before, after)
                })
                .collect();
            differences.extend(found);
        }
        Some(differences)
    }

    fn difference(
        &self,
        number: u32,
        entries: &[(i64, u32)],
        alone: bool,
        before: &Index,
        after: &Index,
    ) -> Option<Difference> {
        let record = &self.records[number as usize];
        if self.pinned.contains(&record.id) {
            return None;
        }
        let sharing = |key: i64| {
            let from = entries.partition_point(|(other, _)| *other < key);
            let block = entries[from..].iter().take(CANDIDATES_MAX + 2);
            block.take_while(move |(other, _)| *other == key).map(|(_, number)| *number)
        };
        let others: BTreeSet<u32> =
            record.keys.iter().copied().flat_map(sharing).filter(|other| *other != number).collect();
        let known = |other: &u32| {
            let Kept { person, prepared, .. } = &self.records[*other as usize];
            Known { person: *person, record: prepared.clone() }
        };
        let candidates: Vec<Known> = others.iter().take(CANDIDATES_MAX).map(known).collect();
        let apart = self.apart.get(&record.id).into_iter().chain(self.apart_from.get(&record.person));
        let kept_apart: Vec<PersonId> =
            apart.flatten().copied().filter(|person| *person != record.person).collect();
        // A new model may take more values for nobody's.
        let stripped = |index: &Index, record: &Packed| index.model.placeholders.strip(record.view());
        let decided = |index: &Index| {
            let own = stripped(index, &record.prepared);
            let others_as = |known: &Known| Known {
                person: known.person,
                record: stripped(index, &known.record).unwrap_or_else(|| known.record.clone()),
            };
            let stored = Stored { person: record.person, unchanged: false, alone, before: None };
            let snapshot = Snapshot {
                stored: Some(stored),
                candidates: candidates.iter().map(others_as).collect(),
                overfull: others.len() > CANDIDATES_MAX,
                kept_apart: kept_apart.clone(),
            };
            index.place(own.as_ref().unwrap_or(&record.prepared).view(), snapshot)
        };
        let (before, after) = (decided(before), decided(after));
        if before.target == after.target && question(&before) == question(&after) {
            return None;
        }
        let (code, candidate) = coded(&after);
        let probability = match &after.review {
            Some(review) => review.probability,
            None => candidate.map_or(0.0, |_| probability(after.bits)),
        };
        let (id, person) = (record.id, record.person);
        Some(Difference { record: id, person, before: coded(&before).0, after: code, candidate, probability })
    }
}

fn question(change: &Change) -> Option<(PersonId, &'static str)> {
    change.review.as_ref().map(|review| (review.candidate, review.reason))
}

/// Returns the stable code of a decision, and the person that it is about when the record does not simply stay.
fn coded(change: &Change) -> (&'static str, Option<PersonId>) {
    match (&change.review, change.target) {
        (Some(review), _) => (review.reason, Some(review.candidate)),
        (None, Target::Person(person)) => ("MOVE", Some(person)),
        (None, Target::Stay | Target::NewPerson) => ("STAY", None),
    }
}
