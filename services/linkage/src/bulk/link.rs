//! Scoring the pairs and making persons of them.

use rayon::prelude::*;

use super::{Blocked, Constraint, Constraints, Corpus, WARM, cluster::Groups};
use crate::{
    decide::{Stop, Thresholds, conflict, only_child, stop},
    model::{Model, bits, probability},
    text,
};

/// Least probability of a pair that is kept.
const PROBABILITY_MIN: f64 = 0.01;

/// Weight below which two candidates of one record are two persons, in bits.
const RIVAL_BITS: f64 = -10.0;

/// Most candidates of one record that are compared with one another.
const RIVALS_MAX: usize = 16;

/// A pair that may be one person's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The smaller record.
    pub a: u32,
    /// The larger record.
    pub b: u32,
    /// Weight in bits, given the pair and the persons that the two belong to.
    pub bits: f32,
    /// Why it must not be linked by itself.
    pub stop: Option<Stop>,
}

impl Pair {
    /// Returns the probability that the two are one person's.
    pub fn probability(&self) -> f64 {
        probability(self.bits.into())
    }
}

/// What linking found.
#[derive(Debug)]
pub struct Linked {
    /// The person of each record, named by its first record.
    pub persons: Vec<u32>,
    /// Pairs of a probability of at least 0.01, in order of their records; those that were compared because their
    /// persons met are among them.
    pub pairs: Vec<Pair>,
}

/// Scores pairs and makes persons.
pub fn link(
    corpus: &Corpus,
    blocked: &Blocked,
    model: &Model,
    thresholds: Thresholds,
    constraints: &Constraints,
) -> Linked {
    let mut pairs = score(corpus, blocked, model);
    stop_rivals(&mut pairs, corpus, model, thresholds);
    let mut groups = Groups::new(corpus, model, constraints);
    for pair in sure(&pairs, corpus, thresholds) {
        groups.join(&pairs[pair as usize]);
    }
    let together = groups.take_together();
    pairs.par_iter_mut().for_each(|pair| {
        if let Some(mean) = groups.between_records(pair.a, pair.b) {
            pair.bits = (pair.bits + mean as f32) / 2.0;
        }
    });
    let least = bits(PROBABILITY_MIN) as f32;
    let mut pairs = merge(pairs, together);
    pairs.retain(|pair| pair.bits >= least);
    for pair in &mut pairs {
        if constraints.get(pair.a, pair.b) == Some(Constraint::CannotLink) {
            pair.stop = Some(Stop::KeptApart);
        }
    }
    Linked { persons: groups.persons(), pairs }
}

/// Scores the pairs that blocking found, in order.
fn score(corpus: &Corpus, blocked: &Blocked, model: &Model) -> Vec<Pair> {
    let least = bits(PROBABILITY_MIN);
    let chunks: Vec<&[(u32, u32)]> = blocked.parts.iter().flat_map(|part| part.chunks(1 << 14)).collect();
    let judge = |(a, b): &(u32, u32)| {
        let (x, y) = (corpus.view(*a), corpus.view(*b));
        let score = model.score(x, y);
        let stop = || {
            let stop = stop(model, &score.comparison, x, y);
            // With all records of the file in view, a child that is the only one of its day and home is known.
            stop.filter(|stop| *stop != Stop::Newborn || !only_child(score.comparison.pattern, x, y))
        };
        (score.bits >= least).then(|| Pair { a: *a, b: *b, bits: score.bits as f32, stop: stop() })
    };
    chunks
        .into_par_iter()
        .flat_map_iter(|chunk| {
            chunk.chunks(WARM).flat_map(|few| {
                corpus.warm(few);
                few.iter().filter_map(judge)
            })
        })
        .collect()
}

/// Stops the pairs of a record that fits two persons about equally well.
fn stop_rivals(pairs: &mut [Pair], corpus: &Corpus, model: &Model, thresholds: Thresholds) {
    let neighbours = Neighbours::new(pairs, corpus.len(), thresholds.link_bits as f32);
    let torn: Vec<bool> = (0..corpus.len() as u32)
        .into_par_iter()
        .with_min_len(1024)
        .map(|record| {
            let mut near = neighbours.of(record).to_vec();
            near.sort_unstable_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
            let Some((_, best)) = near.first().copied() else { return false };
            near.retain(|(_, bits)| *bits >= best - thresholds.margin_bits as f32);
            near.truncate(RIVALS_MAX);
            let apart = |x: u32, y: u32| {
                let score = model.score(corpus.view(x), corpus.view(y));
                score.bits < RIVAL_BITS || (score.bits < 0.0 && conflict(model, &score.comparison).is_some())
            };
            near.iter().enumerate().any(|(i, (x, _))| near[i + 1..].iter().any(|(y, _)| apart(*x, *y)))
        })
        .collect();
    for pair in pairs.iter_mut().filter(|pair| pair.stop.is_none()) {
        if torn[pair.a as usize] || torn[pair.b as usize] {
            pair.stop = Some(Stop::TwoPersons);
        }
    }
}

/// Which records each record may belong to, with the weight.
struct Neighbours {
    ends: Vec<u32>,
    entries: Vec<(u32, f32)>,
}

impl Neighbours {
    fn new(pairs: &[Pair], records: usize, least: f32) -> Self {
        let sure = || pairs.iter().filter(|pair| pair.stop.is_none() && pair.bits >= least);
        let mut ends = vec![0u32; records + 1];
        for pair in sure() {
            ends[pair.a as usize + 1] += 1;
            ends[pair.b as usize + 1] += 1;
        }
        for record in 0..records {
            ends[record + 1] += ends[record];
        }
        let mut entries = vec![(0, 0.0); ends[records] as usize];
        let mut next = ends.clone();
        for pair in sure() {
            for (from, to) in [(pair.a, pair.b), (pair.b, pair.a)] {
                entries[next[from as usize] as usize] = (to, pair.bits);
                next[from as usize] += 1;
            }
        }
        Self { ends, entries }
    }

    fn of(&self, record: u32) -> &[(u32, f32)] {
        &self.entries[self.ends[record as usize] as usize..self.ends[record as usize + 1] as usize]
    }
}

/// Returns the pairs that may join persons, by falling weight; equal ones by what their records say, so that the order
/// of the file does not matter.
fn sure(pairs: &[Pair], corpus: &Corpus, thresholds: Thresholds) -> Vec<u32> {
    let names: Vec<u64> = (0..corpus.len() as u32)
        .into_par_iter()
        .map(|record| text::hash(corpus.view(record).as_bytes()))
        .collect();
    let sure = |pair: &Pair| pair.stop.is_none() && f64::from(pair.bits) >= thresholds.link_bits;
    let mut chosen: Vec<_> = pairs
        .par_iter()
        .enumerate()
        .filter(|(_, pair)| sure(pair))
        .map(|(place, pair)| {
            let (x, y) = (names[pair.a as usize], names[pair.b as usize]);
            // Weights here are positive, and positive floats order like their bits.
            (u32::MAX - pair.bits.max(0.0).to_bits(), x.min(y), x.max(y), place as u32)
        })
        .collect();
    chosen.par_sort_unstable();
    chosen.into_iter().map(|(.., place)| place).collect()
}

/// Adds the pairs that came together in a person to those that were scored; both weights speak for the pair, and the
/// stronger counts.
fn merge(pairs: Vec<Pair>, mut together: Vec<Pair>) -> Vec<Pair> {
    together.par_sort_unstable_by_key(|pair| (pair.a, pair.b));
    let mut merged: Vec<Pair> = Vec::with_capacity(pairs.len() + together.len() / 8);
    let mut together = together.into_iter().peekable();
    for pair in pairs {
        while let Some(before) = together.next_if(|other| (other.a, other.b) < (pair.a, pair.b)) {
            merged.push(before);
        }
        let same = together.next_if(|other| (other.a, other.b) == (pair.a, pair.b));
        let bits = same.map_or(pair.bits, |other| pair.bits.max(other.bits));
        merged.push(Pair { bits, ..pair });
    }
    merged.extend(together);
    merged
}
