//! The model: bits for each level of each field, and the prior.
//!
//! A weight is log2(m/u), where m is how often two records of one person reach the level and u how often two
//! strangers do (Fellegi and Sunter, 1969). These are starting values, from published m and u of population
//! registers; they are not learnt.

use crate::{
    compare::{FIELDS, Field, Level, Levels, compare},
    normalize::Prepared,
};

/// Weights of levels and a prior.
#[derive(Debug, Clone)]
pub struct Model {
    /// Version, stated with every decision.
    pub version: &'static str,
    /// Log2 of the odds that two records that meet in a block are one person's, before they are compared.
    pub prior_bits: f64,
}

/// What a model says of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Levels that were reached.
    pub levels: Levels,
    /// Sum of the weights and the prior, in bits.
    pub bits: f64,
}

impl Score {
    /// Returns the probability that the records are one person's, 0 to 1.
    pub fn probability(&self) -> f64 {
        1.0 / (1.0 + (-self.bits).exp2())
    }
}

impl Default for Model {
    fn default() -> Self {
        Self { version: "start-1", prior_bits: -15.0 }
    }
}

impl Model {
    /// Scores two records.
    pub fn score(&self, a: &Prepared, b: &Prepared) -> Score {
        let levels = compare(a, b);
        let bits =
            self.prior_bits + FIELDS.iter().map(|field| weight(*field, levels.of(*field))).sum::<f64>();
        Score { levels, bits }
    }

    /// Returns the contribution of each field, in bits.
    pub fn contributions(&self, levels: &Levels) -> Vec<(Field, Level, f64)> {
        FIELDS.iter().map(|field| (*field, levels.of(*field), weight(*field, levels.of(*field)))).collect()
    }
}

/// Weight of a level in bits.
fn weight(field: Field, level: Level) -> f64 {
    use Level::{Close, Different, Exact, Missing, Nickname, Partial, Swapped, Weak};
    match (field, level) {
        (_, Missing) => 0.0,
        (Field::Given, Exact) => 6.5,
        (Field::Given, Swapped) => 11.0,
        (Field::Given, Nickname) => 5.0,
        (Field::Given, Close) => 4.5,
        (Field::Given, Partial) => 2.5,
        (Field::Given, Weak) => 0.5,
        (Field::Given, Different) => -5.5,
        (Field::Family, Exact) => 7.5,
        (Field::Family, Close) => 6.0,
        (Field::Family, Partial) => 4.0,
        (Field::Family, Weak) => 2.0,
        (Field::Family, _) => -3.0,
        (Field::Suffix, Exact) => 1.0,
        (Field::Suffix, _) => -6.0,
        (Field::BirthDate, Exact) => 14.0,
        (Field::BirthDate, Close) => 7.0,
        (Field::BirthDate, Partial) => 4.0,
        (Field::BirthDate, Weak) => 1.0,
        (Field::BirthDate, _) => -6.0,
        (Field::Sex, Exact) => 0.9,
        (Field::Sex, _) => -4.0,
        (Field::Address, Exact) => 10.0,
        (Field::Address, Close) => 8.0,
        (Field::Address, Partial) => 6.5,
        (Field::Address, Weak) => 3.0,
        (Field::Address, _) => -1.5,
        (Field::Phone, Exact) => 11.0,
        (Field::Phone, _) => -1.0,
        (Field::Email, Exact) => 12.0,
        (Field::Email, _) => -0.5,
        (Field::Identifier, Exact) => 18.0,
        (Field::Identifier, Close) => 8.0,
        (Field::Identifier, _) => -5.0,
        (Field::BirthOrder, Exact) => 1.0,
        (Field::BirthOrder, _) => -8.0,
    }
}
