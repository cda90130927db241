//! Scoring the pairs and making persons of them.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::{Blocked, Constraints, Corpus, cluster};
use crate::{
    decide::{Stop, Thresholds, stop},
    model::{Model, bits, probability},
};

/// Least probability of a pair that is kept.
pub const PROBABILITY_MIN: f64 = 0.01;

/// A pair that may be one person's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The smaller record.
    pub a: u32,
    /// The larger record.
    pub b: u32,
    /// Weight in bits.
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
    /// Pairs of at least [`PROBABILITY_MIN`], in order of their records.
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
    let pairs = score(corpus, blocked, model);
    let mut sure: Vec<&Pair> =
        pairs.iter().filter(|pair| pair.stop.is_none() && f64::from(pair.bits) >= thresholds.link_bits).collect();
    cluster::order(&mut sure, corpus);
    let mut groups = cluster::Groups::new(corpus, model, constraints);
    for pair in sure {
        groups.join(pair);
    }
    let mut context: FxHashMap<(u32, u32), f32> = FxHashMap::default();
    for p in &pairs { if let Some(mean) = groups.apart(p) { context.insert((p.a, p.b), mean as f32); } }
    let (persons, together) = groups.finish();
    let mode: u32 = std::env::var("MODE").ok().and_then(|m| m.parse().ok()).unwrap_or(0);
    let mut pairs = pairs;
    if mode & 1 != 0 {
        let mut index: FxHashMap<(u32, u32), usize> = pairs.iter().enumerate().map(|(i, p)| ((p.a, p.b), i)).collect();
        for (a, b, bits) in together {
            let i = *index.entry((a, b)).or_insert_with(|| { pairs.push(Pair { a, b, bits, stop: None }); pairs.len() - 1 });
            pairs[i].bits = pairs[i].bits.max(bits);
        }
    }
    if mode & 2 != 0 {
        for p in &mut pairs { if let Some(mean) = context.get(&(p.a, p.b)) { p.bits = p.bits.min(*mean); } }
    }
    if mode & 4 != 0 {
        for p in &mut pairs { if let Some(mean) = context.get(&(p.a, p.b)) { p.bits = (p.bits + *mean) / 2.0; } }
    }
    Linked { persons, pairs }
}

fn score(corpus: &Corpus, blocked: &Blocked, model: &Model) -> Vec<Pair> {
    let least = bits(PROBABILITY_MIN);
    blocked
        .parts
        .par_iter()
        .flat_map_iter(|part| {
            part.iter().filter_map(|(a, b)| {
                let (x, y) = (corpus.view(*a), corpus.view(*b));
                let score = model.score(x, y);
                let stop = || stop(model, &score.comparison, x, y);
                (score.bits >= least).then(|| Pair { a: *a, b: *b, bits: score.bits as f32, stop: stop() })
            })
        })
        .collect()
}
