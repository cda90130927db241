//! Linking a whole file: many records at once, in memory, on all cores.
//!
//! A [`Corpus`] holds the records in their comparison form. [`learn`] makes a model of it, [`link`] the persons. Links
//! depend on the records and the model alone, neither on their order nor on the number of cores; which pairs a model is learnt
//! from depends on the order, too.

use std::hint;

use rayon::prelude::*;

use crate::packed::{Packed, View};

mod blocks;
mod cluster;
mod learn;
mod link;

pub use blocks::{Blocked, PassCount, block};
pub use cluster::{Constraint, Constraints};
pub use learn::{Options, learn};
pub use link::{Linked, Pair, link};

/// What memory brings at once.
const LINE_BYTES: usize = 64;

/// Pairs whose records are brought at once.
pub(crate) const WARM: usize = 32;

/// Records in their comparison form, one after another.
#[derive(Default)]
pub struct Corpus {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl std::fmt::Debug for Corpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Corpus({} records)", self.len())
    }
}

impl Corpus {
    /// Adds a record; its number is how many there were before.
    ///
    /// # Panics
    /// When there are more records than a number of 32 bits can tell apart.
    pub fn push(&mut self, record: View<'_>) {
        assert!(self.ends.len() < u32::MAX as usize, "a corpus holds at most 2^32 records");
        self.bytes.extend_from_slice(record.as_bytes());
        self.ends.push(self.bytes.len() as u64);
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True when there is no record.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the bytes that the records take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + 8 * self.ends.len()
    }

    /// Returns a record.
    pub fn view(&self, record: u32) -> View<'_> {
        let record = record as usize;
        let from = if record == 0 { 0 } else { self.ends[record - 1] as usize };
        View::trusted(&self.bytes[from..self.ends[record] as usize])
    }

    /// Reads a little of each of the second records of pairs, so that memory has brought them when they are compared: waiting
    /// for all at once takes hardly longer than waiting for one.
    pub(crate) fn warm(&self, pairs: &[(u32, u32)]) {
        let read = pairs.iter().fold(0u8, |read, (_, record)| {
            let from = if *record == 0 { 0 } else { self.ends[*record as usize - 1] as usize };
            let to = self.ends[*record as usize] as usize;
            (from..to).step_by(LINE_BYTES).fold(read, |read, at| read ^ self.bytes[at])
        });
        hint::black_box(read);
    }

    /// Returns the corpus with each record as a function has it; `None` leaves it as it is.
    #[must_use]
    pub fn map(self, change: impl Fn(View<'_>) -> Option<Packed> + Sync) -> Self {
        let changed: Vec<(u32, Packed)> = (0..self.len() as u32)
            .into_par_iter()
            .filter_map(|record| change(self.view(record)).map(|packed| (record, packed)))
            .collect();
        if changed.is_empty() {
            return self;
        }
        let mut changed = changed.into_iter().peekable();
        let mut corpus =
            Self { bytes: Vec::with_capacity(self.bytes.len()), ends: Vec::with_capacity(self.ends.len()) };
        for record in 0..self.len() as u32 {
            match changed.next_if(|(number, _)| *number == record) {
                Some((_, packed)) => corpus.push(packed.view()),
                None => corpus.push(self.view(record)),
            }
        }
        corpus
    }
}
