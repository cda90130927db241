//! Onboarding of many records at once: which record goes to which person, and what a steward is asked.
//!
//! Persons that are known are never merged. Only pairs that are as sure as the engine must be when records come one by
//! one join records, and only where the linker of whole files found one person.

use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use signpost_common::id::{PersonId, RecordId};
use signpost_linkage::{
    Packed, View,
    bulk::{Corpus, Linked, Pair},
};

use super::{Incoming, THRESHOLDS};

/// A pair that must not be linked is shown to a steward from a tenth on, in bits.
const STOPPED_BITS: f64 = -3.17;

/// Records that wait, packed: what is compared, what is stored, and their keys.
#[derive(Default)]
pub struct Records {
    corpus: Corpus,
    /// `member/local id`; no member's id has a slash.
    names: IndexSet<Box<str>>,
    /// Where each record stands below: what was overruled stays there, and counts for nothing.
    places: Vec<u32>,
    demographics: Vec<u8>,
    demographics_ends: Vec<u64>,
    keys: Vec<i64>,
    keys_ends: Vec<u64>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({})", self.len())
    }
}

fn name(member: &str, local: &str) -> Box<str> {
    format!("{member}/{local}").into()
}

fn span(ends: &[u64], place: usize) -> std::ops::Range<usize> {
    let from = if place == 0 { 0 } else { ends[place - 1] };
    from as usize..ends[place] as usize
}

impl Records {
    /// Adds a record; false when it overrules one of the same reference, as it would when records come one by one.
    pub fn push(&mut self, record: &Incoming) -> bool {
        let Incoming { reference, demographics, prepared, keys, identity: _ } = record;
        let name = name(reference.member_id.as_str(), reference.local_id());
        let (number, is_new) = self.names.insert_full(name);
        let place = self.demographics_ends.len() as u32;
        match is_new {
            true => self.places.push(place),
            false => self.places[number] = place,
        }
        self.corpus.push(prepared.view());
        self.demographics.extend_from_slice(demographics);
        self.demographics_ends.push(self.demographics.len() as u64);
        self.keys.extend_from_slice(keys);
        self.keys_ends.push(self.keys.len() as u64);
        is_new
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the number of a record.
    pub fn find(&self, member: &str, local: &str) -> Option<usize> {
        self.names.get_index_of(&*name(member, local))
    }

    /// Returns whose record it is: member and local id.
    pub fn reference(&self, record: usize) -> (&str, &str) {
        self.names[record].split_once('/').unwrap_or_default()
    }

    /// Returns the form that is compared.
    pub fn view(&self, record: usize) -> View<'_> {
        self.corpus.view(self.places[record])
    }

    /// Returns what the member said, encoded.
    pub fn demographics(&self, record: usize) -> &[u8] {
        &self.demographics[span(&self.demographics_ends, self.places[record] as usize)]
    }

    /// Returns the blocking keys.
    pub fn keys(&self, record: usize) -> &[i64] {
        &self.keys[span(&self.keys_ends, self.places[record] as usize)]
    }

    /// Returns the records as they are compared, those that are stored after those that wait.
    pub fn corpus(&self, stored: &[Packed]) -> Corpus {
        let mut corpus = Corpus::default();
        (0..self.len()).for_each(|record| corpus.push(self.view(record)));
        stored.iter().for_each(|record| corpus.push(record.view()));
        corpus
    }
}

/// A record that the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: RecordId,
    /// Its person.
    pub person: PersonId,
    /// True when it says what it said before.
    pub unchanged: bool,
}

/// What to do with records.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Group of each record; groups are numbered by their first record.
    pub groups: Vec<u32>,
    /// Person of each group; none yet when it is to be founded.
    pub persons: Vec<Option<PersonId>>,
    /// Weight of the strongest link of each record with its group, in bits; 0 without one.
    pub bits: Vec<f32>,
    /// What stewards are asked, once for two groups.
    pub questions: Vec<Question>,
}

/// A question for a steward: does the record belong to the group?
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The record.
    pub record: u32,
    /// The group.
    pub candidate: u32,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// Stable reason, upper snake case.
    pub reason: &'static str,
}

/// Decides what becomes of records, given who is known and which two persons a steward was asked about.
pub fn plan(held: &[Option<Held>], linked: &Linked, asked: &HashSet<(PersonId, PersonId)>) -> Plan {
    let joins = || linked.pairs.iter().filter(|pair| is_join(pair, &linked.persons));
    let mut together = Union::new(held.len());
    joins().for_each(|pair| together.join(pair.a, pair.b));
    // Who would be joined with two persons that are known goes to neither.
    let mut owners: HashMap<u32, Option<PersonId>> = HashMap::new();
    for (record, held) in held.iter().enumerate() {
        if let Some(held) = held {
            let owner = owners.entry(together.find(record as u32)).or_insert(Some(held.person));
            *owner = owner.filter(|person| *person == held.person);
        }
    }
    let mut alone = Union::new(held.len());
    for pair in joins() {
        let torn = owners.get(&together.find(pair.a)).is_some_and(Option::is_none);
        let new = |record: u32| held[record as usize].is_none();
        if !torn || (new(pair.a) && new(pair.b)) {
            alone.join(pair.a, pair.b);
        }
    }
    let mut plan = Plan { bits: vec![0.0; held.len()], ..Plan::default() };
    let mut by_person: HashMap<PersonId, u32> = HashMap::new();
    let mut by_root: HashMap<u32, u32> = HashMap::new();
    for (record, known) in held.iter().enumerate() {
        let owner = owners.get(&together.find(record as u32)).copied().flatten();
        let person = known.map(|held| held.person).or(owner);
        let next = plan.persons.len() as u32;
        let group = match person {
            Some(person) => *by_person.entry(person).or_insert(next),
            None => *by_root.entry(alone.find(record as u32)).or_insert(next),
        };
        if group == next {
            plan.persons.push(person);
        }
        plan.groups.push(group);
    }
    for pair in joins().filter(|pair| plan.groups[pair.a as usize] == plan.groups[pair.b as usize]) {
        for record in [pair.a, pair.b] {
            let bits = &mut plan.bits[record as usize];
            *bits = bits.max(pair.bits);
        }
    }
    plan.questions = questions(held, linked, asked, &plan);
    plan
}

/// True for a pair that joins records by itself.
fn is_join(pair: &Pair, persons: &[u32]) -> bool {
    pair.stop.is_none()
        && f64::from(pair.bits) >= THRESHOLDS.link_bits
        && persons[pair.a as usize] == persons[pair.b as usize]
}

/// Returns the strongest question for every two groups of which nobody was asked.
fn questions(
    held: &[Option<Held>],
    linked: &Linked,
    asked: &HashSet<(PersonId, PersonId)>,
    plan: &Plan,
) -> Vec<Question> {
    let mut strongest: HashMap<(u32, u32), &Pair> = HashMap::new();
    for pair in &linked.pairs {
        let least = if pair.stop.is_some() {
            STOPPED_BITS.min(THRESHOLDS.review_bits)
        } else {
            THRESHOLDS.review_bits
        };
        let (a, b) = (plan.groups[pair.a as usize], plan.groups[pair.b as usize]);
        if a == b || f64::from(pair.bits) < least {
            continue;
        }
        if let (Some(p), Some(q)) = (plan.persons[a as usize], plan.persons[b as usize])
            && (asked.contains(&(p, q)) || asked.contains(&(q, p)))
        {
            continue;
        }
        let best = strongest.entry((a.min(b), a.max(b))).or_insert(pair);
        if pair.bits > best.bits {
            *best = pair;
        }
    }
    let mut pairs: Vec<&Pair> = strongest.into_values().collect();
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    let question = |pair: &Pair| {
        let [a, b] = [pair.a, pair.b].map(|record| held[record as usize].is_some());
        // The newcomer is asked about, else the later one.
        let (record, other) = if b && !a { (pair.a, pair.b) } else { (pair.b, pair.a) };
        let reason = match pair.stop {
            Some(stop) => stop.code(),
            None if !is_join(pair, &linked.persons) => "UNCERTAIN",
            None if a && b => "BELONGS_ELSEWHERE",
            None => "TWO_PERSONS",
        };
        Question { record, candidate: plan.groups[other as usize], probability: pair.probability(), reason }
    };
    pairs.into_iter().map(question).collect()
}

/// Sets of records that grow together; the smallest record names its set.
struct Union(Vec<u32>);

impl Union {
    fn new(records: usize) -> Self {
        Self((0..records as u32).collect())
    }

    fn find(&mut self, record: u32) -> u32 {
        let mut at = record;
        while self.0[at as usize] != at {
            let above = self.0[self.0[at as usize] as usize];
            self.0[at as usize] = above;
            at = above;
        }
        at
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use signpost_common::id::RecordRef;
    use signpost_linkage::{Record, Region, decide::Stop, prepare};

    use super::*;

    fn pair(a: u32, b: u32, bits: f32) -> Pair {
        Pair { a, b, bits, stop: None }
    }

    fn held(person: PersonId) -> Option<Held> {
        Some(Held { id: RecordId::generate(), person, unchanged: true })
    }

    fn planned(known: &[Option<Held>], persons: &[u32], pairs: &[Pair]) -> Plan {
        let linked = Linked { persons: persons.to_vec(), pairs: pairs.to_vec() };
        plan(known, &linked, &HashSet::new())
    }

    fn asked(plan: &Plan) -> Vec<(u32, u32, &str)> {
        plan.questions.iter().map(|q| (q.record, q.candidate, q.reason)).collect()
    }

    #[test]
    fn a_later_record_of_one_reference_counts() {
        let incoming = |local: &str, demographics: &[u8], key: i64| Incoming {
            reference: RecordRef::new("north".parse().unwrap(), local).unwrap(),
            demographics: demographics.to_vec(),
            prepared: prepare(&Record::default(), Region::US),
            keys: vec![key],
            identity: 0,
        };
        let mut records = Records::default();
        assert!(records.push(&incoming("a/1", b"first", 1)));
        assert!(records.push(&incoming("2", b"other", 2)));
        assert!(!records.push(&incoming("a/1", b"last", 3)));
        assert_eq!((records.len(), records.reference(0)), (2, ("north", "a/1")));
        assert_eq!((records.demographics(0), records.keys(0)), (&b"last"[..], &[3][..]));
        assert_eq!((records.demographics(1), records.keys(1)), (&b"other"[..], &[2][..]));
        assert_eq!((records.find("north", "2"), records.corpus(&[]).len()), (Some(1), 2));
    }

    #[test]
    fn only_what_is_sure_joins_records() {
        let stopped = Pair { stop: Some(Stop::TwinPattern), ..pair(2, 3, 20.0) };
        let pairs = [pair(0, 1, 9.5), pair(0, 2, 8.9), pair(0, 4, 12.0), pair(1, 4, 1.0), stopped];
        // The linker of whole files kept 4 apart, and took 2 for sure, which is not enough here.
        let plan = planned(&[None; 5], &[0, 0, 0, 3, 4], &pairs);
        assert_eq!(plan.groups, [0, 0, 1, 2, 3]);
        assert_eq!(plan.persons, [None; 4]);
        assert_eq!(plan.bits, [9.5, 9.5, 0.0, 0.0, 0.0]);
        assert_eq!(asked(&plan), [(2, 0, "UNCERTAIN"), (4, 0, "UNCERTAIN"), (3, 1, "TWIN_PATTERN")]);
        assert!(plan.questions[0].probability > 0.99);
    }

    #[test]
    fn newcomers_go_to_the_one_person_that_is_known() {
        let known = PersonId::generate();
        // Two records of one person need no pair between them.
        let records = [None, held(known), held(known), None];
        let plan = planned(&records, &[0, 0, 2, 2], &[pair(0, 1, 15.0), pair(2, 3, 15.0)]);
        assert_eq!((plan.groups, plan.persons), (vec![0; 4], vec![Some(known)]));
        assert_eq!(plan.questions, []);
    }

    #[test]
    fn persons_that_are_known_are_never_merged_and_newcomers_between_them_wait() {
        let (one, other) = (PersonId::generate(), PersonId::generate());
        let records = [held(one), held(other), None, None];
        let pairs = [pair(0, 1, 10.0), pair(0, 2, 15.0), pair(1, 2, 14.0), pair(2, 3, 20.0)];
        let plan = planned(&records, &[0; 4], &pairs);
        assert_eq!(plan.groups, [0, 1, 2, 2]);
        assert_eq!(plan.persons, [Some(one), Some(other), None]);
        let expected = [(1, 0, "BELONGS_ELSEWHERE"), (2, 0, "TWO_PERSONS"), (2, 1, "TWO_PERSONS")];
        assert_eq!(asked(&plan), expected);
    }

    #[test]
    fn nobody_is_asked_twice_about_two_persons() {
        let (one, other) = (PersonId::generate(), PersonId::generate());
        let linked = Linked { persons: vec![0; 2], pairs: vec![pair(0, 1, 10.0)] };
        for pair in [(one, other), (other, one)] {
            let plan = plan(&[held(one), held(other)], &linked, &HashSet::from([pair]));
            assert_eq!((plan.questions, plan.groups), (vec![], vec![0, 1]));
        }
    }

    #[test]
    fn the_strongest_pair_of_two_groups_asks() {
        let weak = Pair { stop: Some(Stop::Newborn), ..pair(0, 3, -4.0) };
        let pairs = [pair(0, 1, 12.0), pair(0, 2, 3.0), pair(1, 2, 5.0), pair(0, 3, 1.9), weak];
        let plan = planned(&[None; 4], &[0, 0, 2, 3], &pairs);
        assert_eq!(asked(&plan), [(2, 0, "UNCERTAIN")]);
        assert_eq!(plan.questions[0].probability, pair(1, 2, 5.0).probability());
    }
}
