//! Frequencies of names: that two records agree on a rare name says more than that they agree on a common one.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    compare::Comparison,
    pattern::{Field, given},
    text,
};

/// Fewest records that hold a name before a model names it: no rare name, which may point at a person, leaves the data.
const RECORDS_MIN: u64 = 10;

/// Most that a name's frequency may add or take, in bits.
const BITS_MAX: f64 = 5.0;

/// A name is seldom misspelt in one way more often than once in so many times.
const MISSPELT_MIN: u64 = 200;

/// Frequencies of given and family names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frequencies {
    /// Of given names.
    pub given: Frequency,
    /// Of family names.
    pub family: Frequency,
}

/// Frequencies of the values of one field.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frequency {
    /// Values that were counted.
    pub total: u64,
    /// Different values among them.
    pub distinct: u64,
    /// Probability that two values drawn at random agree.
    pub agreement: f64,
    /// Records that hold a value, for values that at least ten hold.
    pub common: BTreeMap<String, u64>,
}

impl std::fmt::Debug for Frequency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frequency({} values)", self.distinct)
    }
}

impl Frequency {
    /// Counts values.
    pub fn new<'a>(counts: impl Iterator<Item = (&'a [u8], u64)>) -> Self {
        let mut frequency = Self::default();
        let mut squares = 0.0;
        for (text, count) in counts {
            frequency.total += count;
            frequency.distinct += 1;
            squares += (count as f64) * (count as f64);
            if count >= RECORDS_MIN {
                frequency.common.insert(String::from_utf8_lossy(text).into_owned(), count);
            }
        }
        let total = frequency.total.max(1) as f64;
        frequency.agreement = squares / (total * total);
        frequency
    }

    /// Returns the values that are usual.
    pub(crate) fn usual(&self) -> Usual {
        Usual(self.common.iter().map(|(name, count)| (short_hash(name), *count)).collect())
    }

    /// Returns bits to add for each common value by its hash, and for any other.
    pub(super) fn bits(&self) -> (FxHashMap<u32, f32>, f32) {
        let total = self.total.max(1) as f64;
        let bits = |count: f64| match self.agreement > 0.0 {
            true => (self.agreement * total / count).log2().clamp(-BITS_MAX, BITS_MAX) as f32,
            false => 0.0,
        };
        let named: u64 = self.common.values().sum();
        let rest = self.distinct.saturating_sub(self.common.len() as u64);
        let rare = self.total.saturating_sub(named) as f64 / rest.max(1) as f64;
        let table = self.common.iter().map(|(name, count)| (short_hash(name), bits(*count as f64))).collect();
        (table, bits(rare.max(1.0)))
    }
}

/// How many records hold the given names that are usual in the population, by their hashes.
#[derive(Debug, Clone)]
pub(crate) struct Usual(FxHashMap<u32, u64>);

impl Usual {
    /// Tells two close names of which each is usual from one that is misspelt.
    pub(crate) fn refine(&self, comparison: Comparison) -> Comparison {
        let Comparison { pattern, close, .. } = comparison;
        if pattern.level(Field::Given) != given::CLOSE || !self.are_two(close) {
            return comparison;
        }
        Comparison { pattern: pattern.with(Field::Given, given::TWO_NAMES), ..comparison }
    }

    /// True when neither is a misspelling of the other.
    fn are_two(&self, [a, b]: [u32; 2]) -> bool {
        let counts = self.0.get(&a).zip(self.0.get(&b));
        counts.is_some_and(|(a, b)| a.min(b) * MISSPELT_MIN >= *a.max(b))
    }
}

fn short_hash(name: &str) -> u32 {
    text::hash(name.as_bytes()) as u32
}
