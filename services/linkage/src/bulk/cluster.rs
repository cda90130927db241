//! Persons out of pairs: groups of records that hold together as a whole.
//!
//! Pairs join groups by falling weight. Two groups become one only while the mean of the weights between all their
//! records stays above nothing (average linkage) and no pair between them is one that must be kept apart: one bridging
//! record never merges two persons.

use rustc_hash::FxHashMap;

use super::{Corpus, Pair};
use crate::{
    decide::{CLIP_BITS, stop},
    model::Model,
    text,
};

/// Most records of each group that are compared when two groups meet.
const SAMPLE_MAX: usize = 24;

/// Most pairs that one merge adds to those that are stated: of very large persons only what was scored is.
const TOGETHER_MAX: usize = 4096;

/// What a person's word weighs that keeps two groups apart, in bits.
const KEPT_APART_BITS: f64 = -1e6;

/// Most that a merge is taken to weigh, as a multiple of the mean weight between its two groups.
const MEAN_MAX: f32 = 2.0;

/// What a person decided of two records; it outlives every model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// They are one person's.
    MustLink,
    /// They are two persons'.
    CannotLink,
}

/// Decisions of people, by pair of records.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    pairs: FxHashMap<(u32, u32), Constraint>,
    /// Records that each record must not be linked with.
    apart: FxHashMap<u32, Vec<u32>>,
}

impl Constraints {
    /// Adds a decision; the order of the two records does not matter, and a later decision replaces an earlier one.
    pub fn insert(&mut self, a: u32, b: u32, constraint: Constraint) {
        let before = self.pairs.insert((a.min(b), a.max(b)), constraint);
        for (from, to) in [(a, b), (b, a)] {
            let apart = self.apart.entry(from).or_default();
            match constraint {
                Constraint::CannotLink if before != Some(constraint) => apart.push(to),
                Constraint::CannotLink => {}
                Constraint::MustLink => apart.retain(|other| *other != to),
            }
        }
    }

    /// Returns the decision on two records.
    pub fn get(&self, a: u32, b: u32) -> Option<Constraint> {
        self.pairs.get(&(a.min(b), a.max(b))).copied()
    }

    /// Returns every pair that must be linked, in order.
    fn must_links(&self) -> Vec<(u32, u32)> {
        let must = self.pairs.iter().filter(|(_, constraint)| **constraint == Constraint::MustLink);
        let mut pairs: Vec<_> = must.map(|(pair, _)| *pair).collect();
        pairs.sort_unstable();
        pairs
    }

    /// Returns the records that a record must not be linked with.
    fn apart(&self, record: u32) -> &[u32] {
        if self.apart.is_empty() { &[] } else { self.apart.get(&record).map_or(&[], Vec::as_slice) }
    }
}

/// Groups of records that grow.
pub(super) struct Groups<'a> {
    corpus: &'a Corpus,
    model: &'a Model,
    constraints: &'a Constraints,
    group: Vec<u32>,
    members: Vec<Vec<u32>>,
    /// Groups that were found to be two persons', with their sizes then: when one has grown, it is asked again.
    apart: FxHashMap<(u32, u32), (usize, usize)>,
    /// Pairs of records that came into one group, with the weight at which they did.
    together: Vec<Pair>,
}

impl<'a> Groups<'a> {
    /// Begins with every record alone, but for what people decided.
    pub(super) fn new(corpus: &'a Corpus, model: &'a Model, constraints: &'a Constraints) -> Self {
        let records = corpus.len() as u32;
        let mut groups = Self {
            corpus,
            model,
            constraints,
            group: (0..records).collect(),
            members: (0..records).map(|record| vec![record]).collect(),
            apart: FxHashMap::default(),
            together: vec![],
        };
        for (a, b) in constraints.must_links() {
            let (g, h) = (groups.group[a as usize], groups.group[b as usize]);
            if !groups.kept_apart(g, h) {
                groups.merge(g, h, CLIP_BITS as f32);
            }
        }
        groups
    }

    /// Joins the groups of two records when they hold together; true when the records are in one group then.
    pub(super) fn join(&mut self, pair: &Pair) -> bool {
        let (g, h) = (self.group[pair.a as usize], self.group[pair.b as usize]);
        if g == h {
            return true;
        }
        let (g, h) = (g.min(h), g.max(h));
        let sizes = (self.members[g as usize].len(), self.members[h as usize].len());
        if self.apart.get(&(g, h)) == Some(&sizes) {
            return false;
        }
        // Two records alone are the pair.
        let alone = sizes == (1, 1) && !self.kept_apart(g, h);
        let mean = if alone { f64::from(pair.bits).min(CLIP_BITS) } else { self.between(g, h) };
        if mean > 0.0 {
            self.merge(g, h, pair.bits.min(mean as f32 * MEAN_MAX));
        } else {
            self.apart.insert((g, h), sizes);
        }
        mean > 0.0
    }

    /// Returns the mean weight between the groups of two records, in bits; nothing when they are in one group, or are kept
    /// apart by somebody's word, which says nothing of the weight.
    pub(super) fn between_records(&self, a: u32, b: u32) -> Option<f64> {
        let (g, h) = (self.group[a as usize], self.group[b as usize]);
        (g != h && !self.kept_apart(g, h)).then(|| self.between(g, h))
    }

    /// Takes the pairs that came into one group, with the weight at which they did.
    pub(super) fn take_together(&mut self) -> Vec<Pair> {
        std::mem::take(&mut self.together)
    }

    /// Returns the group of each record, named by its smallest record.
    pub(super) fn persons(&self) -> Vec<u32> {
        let mut names = vec![0; self.group.len()];
        for members in &self.members {
            let name = members.iter().copied().min().unwrap_or_default();
            members.iter().for_each(|record| names[*record as usize] = name);
        }
        names
    }

    /// Returns the mean weight over the pairs between two groups, in bits; very low when somebody keeps them apart.
    fn between(&self, g: u32, h: u32) -> f64 {
        if self.kept_apart(g, h) {
            return KEPT_APART_BITS;
        }
        let (left, right) = (self.sample(g), self.sample(h));
        let mut sum = 0.0;
        for a in &left {
            for b in &right {
                let (x, y) = (self.corpus.view(*a), self.corpus.view(*b));
                let score = self.model.score(x, y);
                let conflict =
                    stop(self.model, &score.comparison, x, y).is_some_and(|stop| stop.is_conflict());
                sum += if conflict { -CLIP_BITS } else { score.bits.clamp(-CLIP_BITS, CLIP_BITS) };
            }
        }
        sum / (left.len() * right.len()) as f64
    }

    /// True when somebody said of records of the two groups that they are two persons'.
    fn kept_apart(&self, g: u32, h: u32) -> bool {
        let apart = |record: &u32| {
            self.constraints.apart(*record).iter().any(|other| self.group[*other as usize] == h)
        };
        self.members[g as usize].iter().any(apart)
    }

    /// A group's records; of large ones some, chosen by what they say, not by their number.
    fn sample(&self, group: u32) -> Vec<u32> {
        let members = &self.members[group as usize];
        if members.len() <= SAMPLE_MAX {
            return members.clone();
        }
        let mut members: Vec<_> = members
            .iter()
            .map(|record| (text::hash(self.corpus.view(*record).as_bytes()), *record))
            .collect();
        members.sort_unstable();
        members.into_iter().take(SAMPLE_MAX).map(|(_, record)| record).collect()
    }

    fn merge(&mut self, g: u32, h: u32, bits: f32) {
        if g == h {
            return;
        }
        let (small, large) =
            if self.members[g as usize].len() < self.members[h as usize].len() { (g, h) } else { (h, g) };
        let moved = std::mem::take(&mut self.members[small as usize]);
        let listed = moved.len() * self.members[large as usize].len() <= TOGETHER_MAX;
        for a in moved.iter().filter(|_| listed) {
            let pair = |b: &u32| Pair { a: *a.min(b), b: *a.max(b), bits, stop: None };
            self.together.extend(self.members[large as usize].iter().map(pair));
        }
        moved.iter().for_each(|record| self.group[*record as usize] = large);
        self.members[large as usize].extend(moved);
    }
}
