//! The raw form of a log in a file: lines of JSON from which all of it can be verified again.
//!
//! The first line says which entries follow, and what is before them; then come signed checkpoints, then the entries in order.
//! Entries are as they were hashed: patients' records are keyed hashes in them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::domain::merkle::{self, Hash};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// An entry.
    Entry(Entry),
    /// A signed checkpoint.
    Checkpoint(Signed),
    /// What is in the file.
    Head(Head),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Position, from 0.
    pub sequence: u64,
    /// Hash of the leaf, hexadecimal.
    pub hash: String,
    /// The leaf, base64.
    pub leaf: String,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The note.
    pub checkpoint: String,
}

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// First entry.
    pub first: u64,
    /// After the last entry.
    pub end: u64,
    /// Hashes of the complete subtrees before the first entry, hexadecimal, from left to right.
    pub before: Vec<String>,
}

impl Entry {
    /// Writes an entry.
    pub fn of(sequence: u64, leaf: &[u8]) -> Self {
        Self { sequence, hash: hex::encode(merkle::leaf_hash(leaf)), leaf: BASE64_STANDARD.encode(leaf) }
    }

    /// Returns leaf and hash; `None` when they are none.
    pub fn read(&self) -> Option<(Vec<u8>, Hash)> {
        Some((BASE64_STANDARD.decode(&self.leaf).ok()?, hash(&self.hash)?))
    }
}

/// Reads a hash.
pub fn hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}
