//! The sources: what each of them asks for, how it writes it down, and how well.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::draw::{chance, choose, word};

/// Names of the sources and whether people are born and brought in unconscious there.
const SOURCES: [(&str, bool); 12] = [
    ("mercy-hospital", true),
    ("county-hospital", true),
    ("university-hospital", true),
    ("childrens-hospital", true),
    ("lakeside-clinic", false),
    ("family-practice", false),
    ("community-health", false),
    ("urgent-care", false),
    ("reference-lab", false),
    ("imaging-center", false),
    ("dental-group", false),
    ("immunization-registry", false),
];
/// Relative sizes of the sources, in the order of the names.
const SIZES: [u32; 12] = [20, 16, 14, 6, 10, 9, 7, 6, 8, 5, 3, 4];
/// How many times larger a source is for the states near it.
const NEARNESS: u32 = 6;

/// How a source writes the middle name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MiddleHabit {
    Full,
    Initial,
    Never,
    /// Behind the given name, in its cell.
    WithGiven,
}

/// Where a source writes the suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SuffixHabit {
    Own,
    WithFamily,
    Never,
}

/// How a source writes telephone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PhoneStyle {
    Brackets,
    Dashes,
    Digits,
    Dots,
    International,
}

/// How a source writes names with an apostrophe or a hyphen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Punctuation {
    Kept,
    Dropped,
    Spaced,
}

/// How often a source leaves a cell empty.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) given: f64,
    pub(super) birth_date: f64,
    pub(super) sex: f64,
    pub(super) address: f64,
    pub(super) phone: f64,
    pub(super) email: f64,
    pub(super) national_id: f64,
}

/// A source and its habits.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) hospital: bool,
    size: u32,
    /// It is near every state whose number leaves this remainder.
    region: usize,
    pub(super) upper_case: bool,
    pub(super) marks_kept: bool,
    pub(super) punctuation: Punctuation,
    pub(super) middle: MiddleHabit,
    pub(super) suffix: SuffixHabit,
    pub(super) short_words: bool,
    pub(super) phone: PhoneStyle,
    /// Share of landlines among the numbers it asks for.
    pub(super) landlines: f64,
    /// Whether a cell may list more than one value.
    pub(super) lists: bool,
    pub(super) missing: Missing,
    /// What the rates of errors are multiplied with.
    pub(super) carelessness: f64,
    /// Share of returning patients who are registered once more.
    pub(super) registers_again: f64,
    /// Whether each encounter is a row, under the number of the first.
    pub(super) row_for_each_encounter: bool,
    mrn_prefix: &'static str,
    mrn_width: usize,
}

const REGIONS: usize = 4;

/// Returns the sources with habits drawn.
pub(super) fn open(rng: &mut ChaCha8Rng) -> Vec<Source> {
    let named = SOURCES.iter().zip(SIZES).enumerate();
    named.map(|(at, (&(name, hospital), size))| source(rng, at, name, hospital, size)).collect()
}

fn source(rng: &mut ChaCha8Rng, at: usize, name: &'static str, hospital: bool, size: u32) -> Source {
    use MiddleHabit as M;
    use PhoneStyle as P;
    let middles = [M::Full, M::Full, M::Full, M::Initial, M::Initial, M::Initial, M::Never, M::WithGiven];
    let suffixes = [SuffixHabit::Own, SuffixHabit::Own, SuffixHabit::WithFamily, SuffixHabit::Never];
    let punctuations =
        [Punctuation::Kept, Punctuation::Kept, Punctuation::Kept, Punctuation::Dropped, Punctuation::Spaced];
    let phones = [P::Brackets, P::Dashes, P::Dashes, P::Digits, P::Dots, P::International];
    Source {
        name,
        hospital,
        size,
        region: at % REGIONS,
        upper_case: chance(rng, 0.4),
        marks_kept: chance(rng, 0.25),
        punctuation: *choose(rng, &punctuations),
        middle: *choose(rng, &middles),
        suffix: *choose(rng, &suffixes),
        short_words: chance(rng, 0.65),
        phone: *choose(rng, &phones),
        landlines: per_cent(rng, 15, 60),
        lists: chance(rng, 0.25),
        missing: missing(rng),
        carelessness: per_cent(rng, 60, 200),
        registers_again: if chance(rng, 0.5) { per_cent(rng, 5, 15) } else { per_cent(rng, 0, 3) },
        row_for_each_encounter: chance(rng, 0.45),
        mrn_prefix: word(rng, &["", "", "M", "MRN", "P-", "0"]),
        mrn_width: rng.random_range(7..=9),
    }
}

/// Draws what a source leaves empty: most ask for most things, a few never for one of them.
fn missing(rng: &mut ChaCha8Rng) -> Missing {
    const NEVER: f64 = 1.0;
    let seldom = |rng: &mut ChaCha8Rng, never: f64, low, high| {
        if chance(rng, never) { NEVER } else { per_cent(rng, low, high) }
    };
    Missing {
        given: 0.002,
        birth_date: per_cent(rng, 8, 22) / 10.0,
        sex: per_cent(rng, 5, 20) / 10.0,
        address: per_cent(rng, 20, 60) / 10.0,
        phone: seldom(rng, 0.06, 8, 28),
        email: seldom(rng, 0.3, 35, 75),
        national_id: seldom(rng, 0.2, 35, 65),
    }
}

fn per_cent(rng: &mut ChaCha8Rng, low: u32, high: u32) -> f64 {
    f64::from(rng.random_range(low..=high)) / 100.0
}

impl Source {
    /// Returns how likely people of the state go to the source, against other sources.
    pub(super) fn weight(&self, state: usize) -> u32 {
        if state % REGIONS == self.region { self.size * NEARNESS } else { self.size }
    }

    /// Returns a medical record number as the source writes it.
    pub(super) fn mrn(&self, number: u32) -> String {
        format!("{}{number:0width$}", self.mrn_prefix, width = self.mrn_width)
    }
}
