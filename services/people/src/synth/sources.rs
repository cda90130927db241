//! The sources: what each of them asks for, how it writes it down, and how well.

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::draw::{chance, word};

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
const COUNT: usize = SOURCES.len();
/// Sources before this one are hospitals, and ask for everything.
const FIRST_SMALL: usize = 4;
/// How many of the sources that are no hospitals never ask for a telephone number.
const WITHOUT_PHONE: usize = 1;
/// How many of the sources that are no hospitals never ask for a national identifier.
const WITHOUT_NATIONAL_ID: usize = 4;
const WITHOUT_EMAIL: usize = 3;
const UPPER_CASE: usize = 5;
const SHORT_WORDS: usize = 8;
const ROW_FOR_EACH_ENCOUNTER: usize = 5;
const LISTS: usize = 3;
/// Carelessness of the most careful source and the step to the next, in hundredths.
const CARELESSNESS: (u32, u32) = (60, 12);

/// The habits there are, one for each source; which source has which is drawn.
const MIDDLES: [MiddleHabit; COUNT] = {
    use MiddleHabit::{Full, Initial, Never, WithGiven};
    [Full, Full, Full, Full, Initial, Initial, Initial, Initial, Initial, Never, Never, WithGiven]
};
const SUFFIXES: [SuffixHabit; COUNT] = {
    use SuffixHabit::{Never, Own, WithFamily};
    [Own, Own, Own, Own, Own, Own, Own, WithFamily, WithFamily, WithFamily, Never, Never]
};
const PUNCTUATIONS: [Punctuation; COUNT] = {
    use Punctuation::{Dropped, Kept, Spaced};
    [Kept, Kept, Kept, Kept, Kept, Kept, Kept, Dropped, Dropped, Dropped, Spaced, Spaced]
};
const PHONES: [PhoneStyle; COUNT] = {
    use PhoneStyle::{Brackets, Dashes, Digits, Dots, International};
    [
        Dashes,
        Dashes,
        Dashes,
        Dashes,
        Brackets,
        Brackets,
        Brackets,
        Digits,
        Digits,
        Digits,
        Dots,
        International,
    ]
};

/// Returns the sources with habits drawn: how many have a habit is fixed, and which of them is chance.
pub(super) fn open(rng: &mut ChaCha8Rng) -> Vec<Source> {
    let middles = dealt(rng, MIDDLES);
    let suffixes = dealt(rng, SUFFIXES);
    let punctuations = dealt(rng, PUNCTUATIONS);
    let phones = dealt(rng, PHONES);
    let upper_case = some(rng, UPPER_CASE, 0);
    let short_words = some(rng, SHORT_WORDS, 0);
    let lists = some(rng, LISTS, 0);
    let each_encounter = some(rng, ROW_FOR_EACH_ENCOUNTER, 0);
    let careless = dealt(rng, std::array::from_fn(|at| CARELESSNESS.0 + CARELESSNESS.1 * at as u32));
    let missing = missing(rng);
    let named = SOURCES.iter().zip(SIZES).zip(missing).enumerate();
    named
        .map(|(at, ((&(name, hospital), size), missing))| Source {
            name,
            hospital,
            size,
            region: at % REGIONS,
            upper_case: upper_case[at],
            marks_kept: chance(rng, 0.25),
            punctuation: punctuations[at],
            middle: middles[at],
            suffix: suffixes[at],
            short_words: short_words[at],
            phone: phones[at],
            landlines: per_cent(rng, 15, 60),
            lists: lists[at],
            missing,
            carelessness: f64::from(careless[at]) / 100.0,
            registers_again: if chance(rng, 0.5) { per_cent(rng, 5, 15) } else { per_cent(rng, 0, 3) },
            row_for_each_encounter: each_encounter[at],
            mrn_prefix: word(rng, &["", "", "M", "MRN", "P-", "0"]),
            mrn_width: rng.random_range(7..=9),
        })
        .collect()
}

/// Draws what each source leaves empty: most ask for most things, a few never for one of them.
fn missing(rng: &mut ChaCha8Rng) -> [Missing; COUNT] {
    let without_phone = some(rng, WITHOUT_PHONE, FIRST_SMALL);
    let without_email = some(rng, WITHOUT_EMAIL, 0);
    let without_id = some(rng, WITHOUT_NATIONAL_ID, FIRST_SMALL);
    let mut or_never = |never: bool, low, high| if never { 1.0 } else { per_cent(rng, low, high) };
    std::array::from_fn(|at| Missing {
        given: 0.002,
        birth_date: or_never(false, 8, 22) / 10.0,
        sex: or_never(false, 5, 20) / 10.0,
        address: or_never(false, 20, 60) / 10.0,
        phone: or_never(without_phone[at], 8, 26),
        email: or_never(without_email[at], 35, 75),
        national_id: or_never(without_id[at], 25, 50),
    })
}

/// Returns the cards in random order, one for each source.
fn dealt<T>(rng: &mut ChaCha8Rng, mut cards: [T; COUNT]) -> [T; COUNT] {
    cards.shuffle(rng);
    cards
}

/// Chooses so many of the sources, none of them before the first.
fn some(rng: &mut ChaCha8Rng, count: usize, first: usize) -> [bool; COUNT] {
    let mut chosen = std::array::from_fn(|at| (first..first + count).contains(&at));
    chosen[first..].shuffle(rng);
    chosen
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
