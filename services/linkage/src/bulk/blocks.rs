//! Blocking by sort: every record's keys in one list, equal keys side by side.
//!
//! A block that is over-full is split by further keys, one after another. What is over-full still is compared within a
//! window of the sorted block; pairs that are left out are counted, never dropped in silence.

use rayon::prelude::*;
use serde::Serialize;

use super::Corpus;
use crate::block::{Pass, keys, refinements};

/// Most records of a block in which every pair is compared.
const BLOCK_MAX: usize = 120;

/// The same for wide passes, whose larger blocks are left out: tighter keys look into them.
const BLOCK_WIDE_MAX: usize = 12;

/// Neighbours with which a record of an over-full block is compared when no further key splits it.
const WINDOW: usize = 12;

/// Parts into which pairs fall by their first record, so that each can be sorted by itself.
const PARTS: usize = 64;

/// Buckets into which keys fall, so that each can be sorted by itself, close to the processor.
const BUCKETS: usize = 64;

/// Records whose keys are made at once.
const RECORDS_AT_ONCE: u32 = 8192;

/// Pairs of records worth comparing, and how they were found.
#[derive(Debug, Default)]
pub struct Blocked {
    /// Pairs, the smaller number first, each once, in order; in parts that follow one another.
    pub parts: Vec<Vec<(u32, u32)>>,
    /// What each pass did.
    pub passes: Vec<PassCount>,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PassCount {
    /// Name of the pass.
    pub pass: &'static str,
    /// Blocks with more than one record.
    pub blocks: u64,
    /// Pairs in them, also those that another pass found too.
    pub pairs: u64,
    /// Blocks that were over-full and were split.
    pub overfull: u64,
    /// Records of the largest block.
    pub largest: u64,
    /// Pairs that share the key and were not compared by this pass, because the block was over-full.
    pub left_out: u64,
}

impl Blocked {
    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// True when there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Finds the pairs that share a blocking key.
pub fn block(corpus: &Corpus) -> Blocked {
    let span = corpus.len().div_ceil(PARTS).max(1) as u32;
    let find = |entries: Vec<Vec<Entry>>| {
        let mut entries = entries.concat();
        entries.sort_unstable();
        let mut collector = Collector::new(corpus, span);
        let mut records = vec![];
        for block in entries.chunk_by(|a, b| a.0 == b.0).filter(|block| block.len() > 1) {
            records.clear();
            records.extend(block.iter().map(|(_, record)| *record));
            collector.block(pass_of(block[0].0), &mut records);
        }
        (collector.parts, collector.passes)
    };
    let found: Vec<_> = entries(corpus).into_par_iter().map(find).collect();
    let (parts, passes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let parts = transposed(parts).into_par_iter().map(|pairs: Vec<Vec<(u32, u32)>>| {
        let mut pairs = pairs.concat();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.shrink_to_fit();
        pairs
    });
    Blocked { parts: parts.collect(), passes: passes.into_iter().reduce(sum).unwrap_or_default() }
}

/// A key and a record that has it; the pass stands in the key's highest bits.
type Entry = (u64, u32);

/// Every record's keys, those that are equal in one bucket; a bucket is in pieces.
fn entries(corpus: &Corpus) -> Vec<Vec<Vec<Entry>>> {
    let size = corpus.len() as u32;
    let pieces = (0..size.div_ceil(RECORDS_AT_ONCE)).into_par_iter().map(|piece| {
        let mut buckets = vec![vec![]; BUCKETS];
        for record in piece * RECORDS_AT_ONCE..size.min((piece + 1) * RECORDS_AT_ONCE) {
            for key in keys(corpus.view(record)) {
                let number = key.number();
                buckets[number as usize % BUCKETS].push(((key.pass as u64) << 59 | number >> 5, record));
            }
        }
        buckets
    });
    transposed(pieces.collect())
}

fn transposed<T>(rows: Vec<Vec<Vec<T>>>) -> Vec<Vec<Vec<T>>> {
    let mut columns: Vec<Vec<Vec<T>>> = vec![];
    for row in rows {
        columns.resize_with(row.len(), Vec::new);
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    columns
}

fn pass_of(number: u64) -> Pass {
    Pass::ALL[(number >> 59) as usize]
}

/// Adds up what the passes did in two buckets.
fn sum(mut passes: Vec<PassCount>, more: Vec<PassCount>) -> Vec<PassCount> {
    for (pass, more) in passes.iter_mut().zip(more) {
        let PassCount { pass: _, blocks, pairs, overfull, largest, left_out } = more;
        pass.blocks += blocks;
        pass.pairs += pairs;
        pass.overfull += overfull;
        pass.largest = pass.largest.max(largest);
        pass.left_out += left_out;
    }
    passes
}

struct Collector<'a> {
    corpus: &'a Corpus,
    span: u32,
    parts: Vec<Vec<(u32, u32)>>,
    passes: Vec<PassCount>,
}

impl<'a> Collector<'a> {
    fn new(corpus: &'a Corpus, span: u32) -> Self {
        let passes = Pass::ALL.map(|pass| PassCount { pass: pass.name(), ..PassCount::default() });
        Self { corpus, span, parts: vec![vec![]; PARTS], passes: passes.into() }
    }

    fn block(&mut self, pass: Pass, records: &mut Vec<u32>) {
        records.dedup();
        let size = records.len() as u64;
        if size < 2 {
            return;
        }
        let before = self.passes[pass as usize].pairs;
        let most = if pass.is_wide() { BLOCK_WIDE_MAX } else { BLOCK_MAX };
        if records.len() <= most {
            self.all(pass, records);
        } else if !pass.is_wide() {
            let mut refined: Vec<_> =
                records.iter().map(|record| (refinements(self.corpus.view(*record)), *record)).collect();
            self.split(pass, &mut refined, 0);
        }
        let count = &mut self.passes[pass as usize];
        count.blocks += 1;
        count.overfull += u64::from(records.len() > most);
        count.largest = count.largest.max(size);
        count.left_out += size * (size - 1) / 2 - (count.pairs - before);
    }

    fn all(&mut self, pass: Pass, records: &[u32]) {
        for (i, a) in records.iter().enumerate() {
            records[i + 1..].iter().for_each(|b| self.pair(pass, *a, *b));
        }
    }

    fn split(&mut self, pass: Pass, records: &mut [([u64; 6], u32)], depth: usize) {
        if records.len() <= BLOCK_MAX {
            for i in 1..records.len() {
                (0..i).for_each(|j| self.pair(pass, records[j].1, records[i].1));
            }
        } else if depth < 6 {
            records.sort_unstable_by_key(|(keys, record)| (keys[depth], *record));
            records
                .chunk_by_mut(|a, b| a.0[depth] == b.0[depth])
                .for_each(|part| self.split(pass, part, depth + 1));
        } else {
            records.sort_by(|a, b| self.corpus.view(a.1).as_bytes().cmp(self.corpus.view(b.1).as_bytes()));
            for i in 0..records.len() {
                let window = i + 1..(i + 1 + WINDOW).min(records.len());
                window.for_each(|j| self.pair(pass, records[i].1, records[j].1));
            }
        }
    }

    fn pair(&mut self, pass: Pass, a: u32, b: u32) {
        let (a, b) = (a.min(b), a.max(b));
        self.passes[pass as usize].pairs += 1;
        self.parts[(a / self.span) as usize].push((a, b));
    }
}
