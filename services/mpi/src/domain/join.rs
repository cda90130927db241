//! A record alone at its person, of which a newcomer shows that it is a part of another person.
//!
//! Records come in any order: two weak ones may found two persons, until one comes that is surely either's. Then the one that
//! is alone is decided on again, in the light of the newcomer. Persons of several records are a steward's to merge.

use std::collections::BTreeMap;

use signpost_common::id::PersonId;
use signpost_linkage::{
    Packed, View,
    decide::{CLIP_BITS, Decision, conflict, stop},
};

use super::{Index, Known, THRESHOLDS};

/// A pair that weighs less than this, in bits, is of two persons whatever a third record says: as in whole files.
const APART_BITS: f64 = -10.0;

/// A person with all its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The person.
    pub person: PersonId,
    /// Its records, with their rows.
    pub records: Vec<(i64, Packed)>,
}

/// Persons of one record that join another with a newcomer.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The person that remains.
    pub into: PersonId,
    /// Those whose record moves, each with its weight with the newcomer, in bits.
    pub lone: Vec<(PersonId, f64)>,
    /// Weight of the newcomer's link, in bits.
    pub bits: f64,
}

impl Index {
    /// Returns the persons whose record a newcomer surely is, each looked at for itself, when they are several.
    pub(super) fn bridged(&self, record: View<'_>, known: &[Known]) -> Vec<PersonId> {
        if known.windows(2).all(|pair| pair[0].person == pair[1].person) {
            return vec![];
        }
        let mut best: BTreeMap<PersonId, (f64, bool)> = BTreeMap::new();
        for Known { person, record: other } in known {
            let score = self.model.score(record, other.view());
            let stopped = || stop(&self.model, &score.comparison, record, other.view()).is_some();
            let before = best.entry(*person).or_insert((f64::MIN, true));
            if score.bits > before.0 {
                *before = (score.bits, score.bits < THRESHOLDS.link_bits || stopped());
            }
        }
        let sure = best.into_iter().filter(|(_, (_, unsure))| !unsure).map(|(person, _)| person);
        let sure: Vec<_> = sure.collect();
        if sure.len() > 1 { sure } else { vec![] }
    }

    /// Decides whether persons of one record join another of some persons with a newcomer, which must be told from `rivals`,
    /// the records of all other persons that it may be, as ever.
    pub fn join(&self, record: View<'_>, persons: &[Whole], rivals: &[Known]) -> Option<Join> {
        // The first of the largest, so that the order of the persons alone does not matter.
        let largest = persons.iter().map(|whole| whole.records.len()).max()?;
        let into = persons.iter().find(|whole| whole.records.len() == largest)?;
        let mut joined: Vec<View<'_>> = into.records.iter().map(|(_, other)| other.view()).collect();
        let mut lone = vec![];
        for whole in persons.iter().filter(|whole| whole.person != into.person) {
            if let [(_, other)] = &whole.records[..]
                && self.holds_together(record, other.view(), &joined)
            {
                joined.push(other.view());
                lone.push((whole.person, self.model.score(record, other.view()).bits));
            }
        }
        if lone.is_empty() {
            return None;
        }
        let known = persons.iter().flat_map(|whole| {
            let joins = lone.iter().any(|(person, _)| *person == whole.person);
            let person = if joins { into.person } else { whole.person };
            whole.records.iter().map(move |(_, other)| Known { person, record: other.clone() })
        });
        let known: Vec<Known> = known.chain(rivals.iter().cloned()).collect();
        match self.decide(record, &known, false) {
            Decision::Link { person, score } if person == into.person => {
                Some(Join { into: person, lone, bits: score.bits })
            }
            _ => None,
        }
    }

    /// True when a record alone agrees on the whole with the records of a person and a newcomer, and with none of them badly or
    /// in a way that is of two persons: the rule by which whole files are linked, and more careful.
    fn holds_together(&self, newcomer: View<'_>, lone: View<'_>, others: &[View<'_>]) -> bool {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for other in others.iter().chain([&newcomer]) {
            let score = self.model.score(lone, *other);
            if score.bits < APART_BITS || conflict(&self.model, &score.comparison).is_some() {
                return false;
            }
            sum += score.bits.clamp(-CLIP_BITS, CLIP_BITS);
            pairs += 1.0;
        }
        sum / pairs > 0.0
    }
}
