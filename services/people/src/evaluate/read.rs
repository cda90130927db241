//! The four files of an evaluation, read into numbers.
//!
//! Records, entities and persons are numbered from 0 in the order in which they are met; the numbers mean nothing
//! outside one evaluation.

use std::{collections::BTreeMap, io::Read, str};

use rustc_hash::FxHashMap;

use super::{
    error::{Error, Problem},
    rows::{self, Source},
};

/// Largest number of different decisions, and of different relations.
const KINDS_MAX: usize = 64;

/// Which entity each record belongs to.
#[derive(Debug, Default)]
pub(super) struct Truth {
    records: Ids,
    entities: Ids,
    /// Entity by record.
    pub(super) entity_of: Vec<u32>,
}

/// Which person each record was linked to.
#[derive(Debug)]
pub(super) struct Links {
    /// Person by record; a record without a link has a person of its own.
    pub(super) person_of: Vec<u32>,
    /// Records without a link.
    pub(super) records_unlinked: u64,
}

/// Related entities.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// Related entities by the name of the relation; each pair once, sorted, the smaller number first.
    pub(super) kinds: BTreeMap<String, Vec<(u32, u32)>>,
    /// Rows left out as an entity has no record.
    pub(super) rows_left_out: u64,
}

/// Pairs as they stand in the file.
#[derive(Debug, Default)]
pub(super) struct PairRows {
    /// One a row.
    pub(super) pairs: Vec<Pair>,
    /// Names of the decisions, sorted.
    pub(super) decisions: Vec<String>,
}

/// A scored pair of records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The two records, the smaller number first.
    pub(super) records: (u32, u32),
    /// Stated probability that both belong to one entity.
    pub(super) probability: f64,
    /// Number of the decision.
    pub(super) decision: u8,
    /// Whether both belong to one entity.
    pub(super) is_true: bool,
}

/// Reads the truth.
pub(super) fn truth<R: Read>(source: Source<R>) -> Result<Truth, Error> {
    let mut truth = Truth::default();
    rows::for_each(source, ["record_id", "entity_id"], |[record, entity]| {
        if truth.records.get(record).is_some() {
            return Err(Problem::RepeatedRecord);
        }
        truth.records.intern(record)?;
        truth.entity_of.push(truth.entities.intern(entity)?);
        Ok(())
    })?;
    Ok(truth)
}

/// Reads the links of the records of `truth`.
pub(super) fn links<R: Read>(source: Source<R>, truth: &Truth) -> Result<Links, Error> {
    let mut persons = Ids::default();
    let mut person_of: Vec<Option<u32>> = vec![None; truth.entity_of.len()];
    rows::for_each(source, ["record_id", "person_id"], |[record, person]| {
        let record = truth.record("record_id", record)?;
        let slot = &mut person_of[record as usize];
        if slot.is_some() {
            return Err(Problem::RepeatedRecord);
        }
        *slot = Some(persons.intern(person)?);
        Ok(())
    })?;
    // There are no more persons than records, so the numbers suffice.
    let mut person_next = persons.len();
    let records_unlinked = person_of.iter().filter(|person| person.is_none()).count() as u64;
    let own = |person: Option<u32>| {
        person.unwrap_or_else(|| {
            person_next += 1;
            person_next - 1
        })
    };
    Ok(Links { person_of: person_of.into_iter().map(own).collect(), records_unlinked })
}

/// Reads the pairs of records of `truth`.
pub(super) fn pairs<R: Read>(source: Source<R>, truth: &Truth) -> Result<PairRows, Error> {
    const COLUMNS: [&str; 4] = ["record_id_l", "record_id_r", "probability", "decision"];
    let mut pairs = Vec::new();
    let mut names: Vec<String> = Vec::new();
    rows::for_each(source, COLUMNS, |[left, right, probability, decision]| {
        let left = truth.record(COLUMNS[0], left)?;
        let right = truth.record(COLUMNS[1], right)?;
        let records = unordered(left, right).ok_or(Problem::SameOnBothSides(COLUMNS[0], COLUMNS[1]))?;
        let probability = parse_probability(probability)?;
        let decision = kind_number(&mut names, decision, COLUMNS[3])?;
        let is_true = truth.entity_of[left as usize] == truth.entity_of[right as usize];
        pairs.push(Pair { records, probability, decision, is_true });
        Ok(())
    })?;
    Ok(sort_decisions(pairs, names))
}

/// Reads the relations between entities of `truth`.
pub(super) fn relations<R: Read>(source: Source<R>, truth: &Truth) -> Result<Relations, Error> {
    const COLUMNS: [&str; 3] = ["entity_a", "entity_b", "relation"];
    let mut names: Vec<String> = Vec::new();
    let mut kinds: Vec<Vec<(u32, u32)>> = Vec::new();
    let mut rows_left_out = 0;
    rows::for_each(source, COLUMNS, |[a, b, relation]| {
        if a == b {
            return Err(Problem::SameOnBothSides(COLUMNS[0], COLUMNS[1]));
        }
        let kind = usize::from(kind_number(&mut names, relation, COLUMNS[2])?);
        kinds.resize(names.len(), Vec::new());
        let entities = truth.entities.get(a).zip(truth.entities.get(b));
        match entities.and_then(|(a, b)| unordered(a, b)) {
            Some(related) => kinds[kind].push(related),
            None => rows_left_out += 1,
        }
        Ok(())
    })?;
    for related in &mut kinds {
        related.sort_unstable();
        related.dedup();
    }
    Ok(Relations { kinds: names.into_iter().zip(kinds).collect(), rows_left_out })
}

impl Truth {
    /// Returns the number of the record in the cell of `column`.
    fn record(&self, column: &'static str, id: &[u8]) -> Result<u32, Problem> {
        self.records.get(id).ok_or(Problem::UnknownRecord(column))
    }
}

/// Returns both with the smaller first, and nothing where they are the same.
pub(super) fn unordered(a: u32, b: u32) -> Option<(u32, u32)> {
    (a != b).then(|| (a.min(b), a.max(b)))
}

/// Returns the probability in a cell.
fn parse_probability(cell: &[u8]) -> Result<f64, Problem> {
    str::from_utf8(cell)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|probability| (0.0..=1.0).contains(probability))
        .ok_or(Problem::NotProbability)
}

/// Returns the number of a name among the few `names` of a column, after adding it where it is new.
fn kind_number(names: &mut Vec<String>, cell: &[u8], column: &'static str) -> Result<u8, Problem> {
    let known = names.iter().position(|name| name.as_bytes() == cell);
    let number = known.unwrap_or(names.len());
    if known.is_none() {
        if names.len() == KINDS_MAX {
            return Err(Problem::TooManyKinds { column, kinds_max: KINDS_MAX });
        }
        names.push(str::from_utf8(cell).map_err(|_| Problem::NotText(column))?.to_owned());
    }
    Ok(u8::try_from(number).expect("invariant: KINDS_MAX fits"))
}

/// Numbers the decisions by the order of their names, so that the order of rows means nothing.
fn sort_decisions(mut pairs: Vec<Pair>, names: Vec<String>) -> PairRows {
    let mut decisions = names.clone();
    decisions.sort_unstable();
    let rank = |name: &String| decisions.iter().filter(|other| *other < name).count();
    let ranks: Vec<u8> = names.iter().map(|name| rank(name) as u8).collect();
    for pair in &mut pairs {
        pair.decision = ranks[usize::from(pair.decision)];
    }
    PairRows { pairs, decisions }
}

/// Identifiers and their numbers.
#[derive(Debug, Default)]
struct Ids(FxHashMap<Box<[u8]>, u32>);

impl Ids {
    /// Returns the number of an identifier that is known.
    fn get(&self, id: &[u8]) -> Option<u32> {
        self.0.get(id).copied()
    }

    /// Returns the number of an identifier, a new one where it is new.
    fn intern(&mut self, id: &[u8]) -> Result<u32, Problem> {
        if let Some(number) = self.get(id) {
            return Ok(number);
        }
        let number = self.len();
        if number == u32::MAX {
            return Err(Problem::TooManyIds);
        }
        self.0.insert(id.into(), number);
        Ok(number)
    }

    /// Returns how many identifiers are known.
    fn len(&self) -> u32 {
        self.0.len() as u32
    }
}
