//! Learning a model from a corpus.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Blocked, Corpus};
use crate::{
    compare::compare,
    model::{
        self, Calibration, Counts, Facts, Frequencies, Frequency, Model, Placeholders,
        placeholder::{Kind, values},
    },
    packed::Section,
    text::mix,
};

/// Pairs of blocking that training looks at, about; more teach it nothing.
const PAIRS_SAMPLED: u64 = 3_000_000;

/// Pairs drawn at random, for how strangers agree.
const PAIRS_RANDOM: u64 = 1_000_000;

/// Settings of training.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the model.
    pub version: String,
    /// Seed of the pairs that are drawn.
    pub seed: u64,
}

/// Learns a model from records and the pairs that blocking found among them. The corpus is without `placeholders` already.
pub fn learn(corpus: &Corpus, blocked: &Blocked, placeholders: Placeholders, options: &Options) -> Model {
    let records = corpus.len() as u64;
    let pairs = blocked.len() as u64;
    let frequencies =
        Frequencies { given: frequency(corpus, Section::Given), family: frequency(corpus, Section::Family) };
    let usual = frequencies.given.usual();
    let pattern = |a, b| usual.refine(compare(corpus.view(a), corpus.view(b))).pattern;
    let every = pairs.div_ceil(PAIRS_SAMPLED).max(1);
    let counted = count(blocked.parts.par_iter().flat_map_iter(|part| {
        let chosen = move |pair: &&(u32, u32)| {
            let (a, b) = **pair;
            mix(u64::from(a) << 32 ^ u64::from(b) ^ options.seed).is_multiple_of(every)
        };
        part.iter().filter(chosen).map(|(a, b)| pattern(*a, *b))
    }));
    let drawn = PAIRS_RANDOM.min(records * records.saturating_sub(1) / 2);
    let random = count((0..drawn).into_par_iter().flat_map_iter(|number| {
        let at = |salt: u64| (mix(mix(options.seed ^ salt) ^ number) % records.max(1)) as u32;
        let (a, b) = (at(1), at(2));
        (a != b).then(|| pattern(a, b))
    }));
    let learnt = model::train(&counted, &random, records, every as f64);
    let facts = Facts {
        records,
        pairs,
        pairs_sampled: counted.values().sum(),
        pairs_random: random.values().sum(),
        patterns: counted.len() as u64,
        rounds: learnt.rounds,
        converged: learnt.converged,
        seed: options.seed,
    };
    let version = options.version.clone();
    Model::new(version, facts, learnt.rates, learnt.levels, frequencies, placeholders, Calibration::default())
}

/// Counts patterns on all cores.
fn count(patterns: impl ParallelIterator<Item = crate::pattern::Pattern>) -> Counts {
    let add = |mut counts: Counts, pattern| {
        *counts.entry(pattern).or_default() += 1;
        counts
    };
    patterns.fold(Counts::default, add).reduce(Counts::default, |a, b| {
        let (mut into, from) = if a.len() < b.len() { (b, a) } else { (a, b) };
        from.into_iter().for_each(|(pattern, count)| *into.entry(pattern).or_default() += count);
        into
    })
}

fn frequency(corpus: &Corpus, section: Section) -> Frequency {
    let mut counts: FxHashMap<&[u8], u64> = FxHashMap::default();
    for record in 0..corpus.len() as u32 {
        corpus.view(record).words(section).for_each(|word| *counts.entry(word.text.bytes).or_default() += 1);
    }
    // In order, so that sums are the same every time.
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    Frequency::new(counts.into_iter())
}

/// Most families, and most birth dates, that may share a value of each kind before it is nobody's.
fn families_max(kind: Kind) -> usize {
    match kind {
        Kind::Identifier => 3,
        Kind::Phone | Kind::Email => 6,
        Kind::Address => 12,
        Kind::BirthDate => usize::MAX,
    }
}

/// Times that a birth date may be more frequent than the middle one.
const BIRTH_DATE_EXCESS: usize = 10;

/// Fewest records of a birth date that can be a placeholder.
const BIRTH_DATE_MIN: usize = 40;

impl Placeholders {
    /// Finds values that too many unlike people share.
    pub fn find(corpus: &Corpus) -> Self {
        let mut found = Self::default();
        for kind in [Kind::Phone, Kind::Email, Kind::Identifier, Kind::Address] {
            let mut entries: Vec<(u64, u32, u32)> = (0..corpus.len() as u32)
                .into_par_iter()
                .flat_map_iter(|record| {
                    let view = corpus.view(record);
                    let family = view.words(Section::Family).next().map_or(0, |word| word.sound);
                    let birth = view.birth_dates().next().unwrap_or(0);
                    values(view)
                        .filter(move |(of, _)| *of == kind)
                        .map(move |(_, value)| (value, family, birth))
                })
                .collect();
            entries.par_sort_unstable();
            entries.dedup();
            let most = families_max(kind);
            let unlike = |block: &&[(u64, u32, u32)]| {
                let families = block.chunk_by(|a, b| a.1 == b.1).count();
                // Misspelt names of one person do not make unlike people.
                families > most
                    && block.iter().map(|(_, _, birth)| birth).collect::<FxHashSet<_>>().len() > most
            };
            let shared = entries.chunk_by(|a, b| a.0 == b.0).filter(unlike);
            shared.for_each(|block| found.insert(kind, block[0].0));
        }
        for date in frequent_dates(corpus) {
            found.insert(Kind::BirthDate, date);
        }
        found
    }
}

/// Birth dates on which far more people seem to be born than on others.
fn frequent_dates(corpus: &Corpus) -> FxHashSet<u64> {
    let mut dates: Vec<(u32, u32, u32)> = (0..corpus.len() as u32)
        .into_par_iter()
        .flat_map_iter(|record| {
            let view = corpus.view(record);
            let sound = |section| view.words(section).next().map_or(0, |word| word.sound);
            let name = (sound(Section::Family), sound(Section::Given));
            view.birth_dates().map(move |date| (date, name.0, name.1))
        })
        .collect();
    dates.par_sort_unstable();
    // Encounters of one patient do not make a date frequent.
    dates.dedup();
    let mut counts: Vec<(usize, u32)> =
        dates.chunk_by(|a, b| a.0 == b.0).map(|block| (block.len(), block[0].0)).collect();
    counts.sort_unstable();
    let middle = counts.get(counts.len() / 2).map_or(0, |(count, _)| *count);
    let most = (middle * BIRTH_DATE_EXCESS).max(BIRTH_DATE_MIN);
    counts.into_iter().filter(|(count, _)| *count > most).map(|(_, date)| date.into()).collect()
}
