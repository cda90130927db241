//! The model: how often each level of agreement is reached by two records of one person, of one household, of
//! strangers; and what follows for a pair.
//!
//! Fellegi and Sunter (1969) with three latent classes instead of two (Winkler 1993; Larsen and Rubin 2001): phone,
//! address and family name are shared at home, so a second class of true non-matches explains them. The household
//! class is itself a mixture, because twins and parents who pass on their name agree in ways of their own.

use rustc_hash::FxHashMap;

use crate::{
    compare::{Comparison, compare},
    packed::View,
    pattern::{Field, LEVELS_MAX, MISSING},
};

mod calibrate;
mod em;
mod file;
mod frequency;
pub(crate) mod placeholder;
mod shipped;

pub use calibrate::Calibration;
pub use em::{Counts, Learnt, train};
pub use file::{Error, Facts};
pub(crate) use frequency::Usual;
pub use frequency::{Frequencies, Frequency};
pub use placeholder::Placeholders;

/// What two records may be to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Records of one person.
    Same,
    /// Records of two persons of one household or family.
    Household,
    /// Records of strangers.
    Unrelated,
}

/// A class, or a part of the household class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// One person.
    Same,
    /// Members of a household: spouses, siblings, parents with children.
    Household,
    /// Twins: one birth date, two given names.
    Twin,
    /// Parent and child of one name.
    Namesake,
    /// Strangers.
    Unrelated,
}

/// Number of components.
pub const COMPONENTS: usize = 5;

impl Component {
    /// Every component, in the order of the model's tables.
    pub const ALL: [Self; COMPONENTS] =
        [Self::Same, Self::Household, Self::Twin, Self::Namesake, Self::Unrelated];

    /// Returns the class that the component is part of.
    pub fn class(self) -> Class {
        match self {
            Self::Same => Class::Same,
            Self::Household | Self::Twin | Self::Namesake => Class::Household,
            Self::Unrelated => Class::Unrelated,
        }
    }

    /// Returns the component's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Household => "household",
            Self::Twin => "twin",
            Self::Namesake => "namesake",
            Self::Unrelated => "unrelated",
        }
    }
}

/// Fewest pairs of a household, for each pair of one person, in a population that holds families.
pub(crate) const FAMILIES_MIN: f64 = 0.02;

/// One number for each component; the tail is filler, so that a row fills a vector register.
type Row = [f32; 8];

/// Probabilities of levels: a table of levels for each field and component; 0 for "missing".
pub type Levels = [[[f64; COMPONENTS]; LEVELS_MAX]; Field::ALL.len()];

/// Everything that scoring needs.
#[derive(Debug, Clone)]
pub struct Model {
    /// Name of the model, stated with every decision.
    pub version: String,
    /// How it was made.
    pub facts: Facts,
    /// Expected number of pairs of each component but the last, for each record of the file.
    pub rates: [f64; COMPONENTS - 1],
    /// Probability of each level.
    pub levels: Levels,
    /// Frequencies of names.
    pub frequencies: Frequencies,
    /// Values that are shared by too many unlike people.
    pub placeholders: Placeholders,
    /// Correction of the weight.
    pub calibration: Calibration,
    tables: Box<Tables>,
}

/// What scoring reads, made of the rest.
#[derive(Debug, Clone)]
struct Tables {
    /// Log2 of the probability of each class over all pairs of the population.
    prior: Row,
    /// Log2 of the probability of each level.
    levels: [[Row; LEVELS_MAX]; Field::ALL.len()],
    given: FxHashMap<u32, f32>,
    given_rare: f32,
    family: FxHashMap<u32, f32>,
    family_rare: f32,
    usual: Usual,
}

/// What a model says of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// How the records agree.
    pub comparison: Comparison,
    /// Log2 of the odds that the records are one person's, calibrated.
    pub bits: f64,
}

impl Score {
    /// Returns the probability that the records are one person's, 0 to 1.
    pub fn probability(&self) -> f64 {
        probability(self.bits)
    }
}

/// Returns the probability that odds of 2 to the power of `bits` stand for.
pub fn probability(bits: f64) -> f64 {
    1.0 / (1.0 + (-bits).exp2())
}

/// Returns the log2 of the odds of a probability.
pub fn bits(probability: f64) -> f64 {
    (probability / (1.0 - probability)).log2()
}

impl Model {
    /// Puts a model together.
    pub fn new(
        version: String,
        facts: Facts,
        rates: [f64; COMPONENTS - 1],
        levels: Levels,
        frequencies: Frequencies,
        placeholders: Placeholders,
        calibration: Calibration,
    ) -> Self {
        let tables = Box::new(tables(&rates, &levels, &frequencies, facts.records));
        Self { version, facts, rates, levels, frequencies, placeholders, calibration, tables }
    }

    /// Returns the same model for a population of another size: among more records a chance agreement is likelier.
    #[must_use]
    pub fn for_population(self, records: u64) -> Self {
        let tables = Box::new(tables(&self.rates, &self.levels, &self.frequencies, records));
        Self { tables, ..self }
    }

    /// Returns the model corrected by what people decided of pairs, when they are enough: the weight that the model gave, in
    /// bits, and whether the two were one person's.
    #[must_use]
    pub fn calibrated(self, labels: &[(f64, bool)]) -> Self {
        match Calibration::learn(labels) {
            Some(calibration) => Self { calibration, ..self },
            None => self,
        }
    }

    /// True when the population holds families: where it does not, what looks like a relative is an error of writing.
    pub fn has_families(&self) -> bool {
        self.rates[Component::Household as usize] > FAMILIES_MIN * self.rates[Component::Same as usize]
    }

    /// Scores two records; the order does not matter.
    pub fn score(&self, a: View<'_>, b: View<'_>) -> Score {
        self.judge(self.compare(a, b))
    }

    /// Compares two records, as [`compare`] does, and tells close names that are usual from misspelt ones.
    pub fn compare(&self, a: View<'_>, b: View<'_>) -> Comparison {
        self.tables.usual.refine(compare(a, b))
    }

    /// Scores a comparison of [`Model::compare`].
    pub fn judge(&self, comparison: Comparison) -> Score {
        let bits = self.calibration.apply(self.odds(&comparison));
        Score { comparison, bits }
    }

    /// Returns the probability of each component, in the order of [`Component::ALL`], before calibration.
    pub fn posterior(&self, comparison: &Comparison) -> [f64; COMPONENTS] {
        let sums = self.sums(comparison);
        let top = sums[..COMPONENTS].iter().copied().fold(f32::MIN, f32::max);
        let shares: [f64; COMPONENTS] = std::array::from_fn(|i| f64::from(sums[i] - top).exp2());
        let total: f64 = shares.iter().sum();
        shares.map(|share| share / total)
    }

    /// Returns log2 of the weight of evidence of each component: prior, levels and frequencies.
    fn sums(&self, comparison: &Comparison) -> Row {
        let mut sums = self.tables.prior;
        for field in Field::ALL {
            let row = &self.tables.levels[field as usize][usize::from(comparison.pattern.level(field))];
            for (sum, part) in sums.iter_mut().zip(row) {
                *sum += part;
            }
        }
        let (given, family) = self.adjustments(comparison);
        for component in [Component::Same, Component::Namesake] {
            sums[component as usize] += given;
        }
        sums[..Component::Unrelated as usize].iter_mut().for_each(|sum| *sum += family);
        sums
    }

    /// Returns what the frequencies of the agreeing names add, in bits: the given name to "same person" against all
    /// others but namesakes, the family name to all against "unrelated".
    pub fn adjustments(&self, comparison: &Comparison) -> (f32, f32) {
        let Tables { given, given_rare, family, family_rare, .. } = &*self.tables;
        let bits = |table: &FxHashMap<u32, f32>, rare: f32, hash: u32| match hash {
            0 => 0.0,
            _ => table.get(&hash).copied().unwrap_or(rare),
        };
        (bits(given, *given_rare, comparison.given), bits(family, *family_rare, comparison.family))
    }

    /// Returns log2 of the odds that two records are one person's, before calibration.
    pub fn plain_bits(&self, a: View<'_>, b: View<'_>) -> f64 {
        self.odds(&self.compare(a, b))
    }

    /// Returns the prior odds in bits.
    pub fn prior_bits(&self) -> f64 {
        odds(&self.tables.prior)
    }

    /// Returns log2 of the odds of one person, before calibration.
    pub(crate) fn odds(&self, comparison: &Comparison) -> f64 {
        odds(&self.sums(comparison))
    }
}

/// Returns log2 of the odds of "same" against everything else.
fn odds(sums: &Row) -> f64 {
    let others = &sums[1..COMPONENTS];
    let top = others.iter().copied().fold(f32::MIN, f32::max);
    // What is this far below the top does not show in the sum.
    let share = |sum: &f32| if sum - top < -25.0 { 0.0 } else { (sum - top).exp2() };
    let rest: f32 = others.iter().map(share).sum();
    f64::from(sums[0] - top - rest.log2())
}

fn tables(rates: &[f64; COMPONENTS - 1], levels: &Levels, frequencies: &Frequencies, records: u64) -> Tables {
    let mut table = [[[0.0; 8]; LEVELS_MAX]; Field::ALL.len()];
    for (rows, probabilities) in table.iter_mut().zip(levels) {
        for (level, (row, probabilities)) in rows.iter_mut().zip(probabilities).enumerate() {
            if level != usize::from(MISSING) {
                for (cell, probability) in row.iter_mut().zip(probabilities) {
                    *cell = probability.max(PROBABILITY_MIN).log2() as f32;
                }
            }
        }
    }
    let priors = priors(rates, records);
    let mut prior = [0.0; 8];
    for (cell, probability) in prior.iter_mut().zip(priors) {
        *cell = probability.log2() as f32;
    }
    let (given, given_rare) = frequencies.given.bits();
    let (family, family_rare) = frequencies.family.bits();
    let usual = frequencies.given.usual();
    Tables { prior, levels: table, given, given_rare, family, family_rare, usual }
}

/// No level is impossible.
const PROBABILITY_MIN: f64 = 1e-9;

/// Returns the probability of each component over all pairs of so many records.
fn priors(rates: &[f64; COMPONENTS - 1], records: u64) -> [f64; COMPONENTS] {
    let partners = (records.max(2) - 1) as f64;
    let mut priors = [0.0; COMPONENTS];
    for (prior, rate) in priors.iter_mut().zip(rates) {
        *prior = (2.0 * rate / partners).clamp(1e-12, 0.2);
    }
    priors[COMPONENTS - 1] = 1.0 - priors.iter().sum::<f64>();
    priors
}
