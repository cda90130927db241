//! One part of a log, by itself: hashes of its entries against those stored, columns against what entries say.

use std::hash::{BuildHasher, RandomState};

use super::{Fault, Finding, PART_LEVEL};
use crate::domain::{
    Entry,
    merkle::{self, Hash, Node, Subtree},
};

/// An entry as it is stored.
#[derive(Debug, Clone)]
pub struct Row {
    /// Position.
    pub sequence: u64,
    /// What its columns say, in one text; none where there are no columns.
    pub said: Option<String>,
    /// The entry.
    pub leaf: Vec<u8>,
}

/// A part of a log as it is stored.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// First entry; a multiple of the size of parts, or hashes are compared at level 0 alone.
    pub first: u64,
    /// After the last entry.
    pub end: u64,
    /// How many entries the log has at least.
    pub there: u64,
    /// Its entries, in order.
    pub rows: Vec<Row>,
    /// Stored hashes by level, as far as they are stored.
    pub nodes: Vec<Vec<Option<Hash>>>,
}

/// What was found in a part.
#[derive(Debug, Default)]
pub struct Checked {
    /// First entry.
    pub first: u64,
    /// After the last entry.
    pub end: u64,
    /// Hashes by level, of complete subtrees.
    pub levels: Vec<Vec<Hash>>,
    /// Stored hashes of entries.
    pub stored: Vec<Option<Hash>>,
    /// What is wrong, the first of each kind.
    pub findings: Vec<Finding>,
    /// Sum over whose records entries say they are about.
    pub subjects: u64,
    /// Entries whose request id stands in no column, as before there was one.
    pub unsaid: Vec<u64>,
    /// First entry whose request id stands in its column.
    pub said: Option<u64>,
}

/// What columns say of an entry, as one text: it is compared a million times.
pub fn said(entry: &Entry) -> String {
    let Entry { id, kind, outcome, member_id, occurred_us, request_id, .. } = entry;
    let member_id = member_id.as_ref().map_or("", |id| id.as_str());
    format!("{id} {} {} {member_id} {occurred_us} {request_id}", *kind as i32, *outcome as i32)
}

/// The columns in that text.
const COLUMNS: [&str; 6] = ["event_id", "kind", "outcome", "member_id", "occurred_at", "request_id"];

/// Hashes that an entry is about a record, to be added up in any order.
pub fn pair(state: &RandomState, token: i64, sequence: u64) -> u64 {
    state.hash_one((token, sequence))
}

/// Looks at a part. `entry_of` reads an entry.
pub fn check(part: Part, state: &RandomState, entry_of: impl Fn(Vec<u8>) -> Option<Entry>) -> Checked {
    let Part { first, end, there, rows, nodes } = part;
    let mut checked = Checked { first, end, ..Checked::default() };
    let stored =
        |at: u64| nodes.first().and_then(|hashes| hashes.get((at - first) as usize)).copied().flatten();
    let mut leaves = Vec::with_capacity((end - first) as usize);
    let mut rows = rows.into_iter().peekable();
    for sequence in first..end {
        while rows.next_if(|row| row.sequence < sequence).is_some() {}
        let Some(row) = rows.next_if(|row| row.sequence == sequence) else {
            let gone = match sequence < there {
                true => Fault::Dropped,
                false => Fault::Truncated { size: end, by: "the log's head".into() },
            };
            checked.found(Finding::at(sequence, gone));
            // The rest is looked at as if it were there.
            leaves.push(stored(sequence).unwrap_or_default());
            continue;
        };
        leaves.push(merkle::leaf_hash(&row.leaf));
        checked.compare(row, state, &entry_of);
    }
    checked.levels = levels(leaves, first);
    checked.compare_hashes(&nodes);
    checked.stored = nodes.into_iter().next().unwrap_or_default();
    checked
}

/// Returns the hashes of all complete subtrees.
fn levels(leaves: Vec<Hash>, first: u64) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    if !first.is_multiple_of(super::PART) {
        return levels;
    }
    while let Some(below) =
        levels.last().filter(|below| below.len() > 1 && levels.len() <= PART_LEVEL as usize)
    {
        let pairs = below.as_chunks::<2>().0;
        let above = pairs.iter().map(|[left, right]| merkle::node_hash(left, right)).collect();
        levels.push(above);
    }
    levels
}

impl Checked {
    /// Keeps the first finding of its kind.
    fn found(&mut self, finding: Finding) {
        if !self.findings.iter().any(|known| known.fault.name() == finding.fault.name()) {
            self.findings.push(finding);
        }
    }

    /// Compares the columns of an entry with what it says.
    fn compare(&mut self, row: Row, state: &RandomState, entry_of: &impl Fn(Vec<u8>) -> Option<Entry>) {
        let Row { sequence, said: columns, leaf } = row;
        let Some(entry) = entry_of(leaf) else {
            self.found(Finding::at(sequence, Fault::Unreadable));
            return;
        };
        for subject in &entry.subjects {
            self.subjects = self.subjects.wrapping_add(pair(state, *subject, sequence));
        }
        let Some(columns) = columns else { return };
        let says = said(&entry);
        if says == columns {
            if !entry.request_id.is_empty() {
                self.said.get_or_insert(sequence);
            }
            return;
        }
        if says.strip_suffix(&entry.request_id) == Some(&columns) {
            self.unsaid.push(sequence);
            return;
        }
        let differs = says.splitn(6, ' ').zip(columns.splitn(6, ' ')).position(|(one, other)| one != other);
        let name = differs.and_then(|at| COLUMNS.get(at)).unwrap_or(&"request_id");
        self.found(Finding::at(sequence, Fault::Column((*name).to_owned())));
    }

    /// Compares stored hashes with those of the entries, from the leaves up.
    fn compare_hashes(&mut self, nodes: &[Vec<Option<Hash>>]) {
        let mut findings = vec![];
        for (level, stored) in (0_u32..).zip(nodes) {
            let made = self.levels.get(level as usize).map_or(&[][..], Vec::as_slice);
            let differs = |at: &usize| stored.get(*at).copied().flatten() != made.get(*at).copied();
            // Above the first level one subtree says as much as all.
            for at in (0..made.len()).filter(differs) {
                let position = (self.first >> level) + at as u64;
                let (first, last) = (position << level, ((position + 1) << level) - 1);
                let above = |list: &[Vec<Hash>]| list.get(level as usize + 1)?.get(at / 2).copied();
                let above_stored = nodes.get(level as usize + 1).and_then(|list| list.get(at / 2)?.as_ref());
                let intact = above_stored.is_some() && above_stored.copied() == above(&self.levels);
                let fault = match (intact, level) {
                    (true, _) => Fault::Node { level, position },
                    (false, 0) => Fault::Edited,
                    (false, _) => Fault::Rehashed { by: "the hash above".into() },
                };
                let done = fault == Fault::Edited;
                findings.push(Finding { first, last, fault });
                if done {
                    break;
                }
            }
            if findings.iter().any(|finding| !matches!(finding.fault, Fault::Node { .. })) {
                break;
            }
        }
        findings.into_iter().for_each(|finding| self.found(finding));
    }

    /// Returns the hash of a complete subtree of the part.
    pub fn hash(&self, node: &Node) -> Option<Hash> {
        let at = node.position.checked_sub(self.first >> node.level)?;
        self.levels.get(node.level as usize)?.get(at as usize).copied()
    }

    /// Returns the complete subtrees up to an entry of an aligned part, with their levels.
    pub fn parts(&self, end: u64) -> Option<Vec<(u32, Hash)>> {
        let parts = match self.first.is_multiple_of(super::PART) {
            true => Subtree::aligned(self.first, end).parts(),
            false => (self.first..end).map(|position| Node { level: 0, position }).collect(),
        };
        parts.iter().map(|node| Some((node.level, self.hash(node)?))).collect()
    }
}
