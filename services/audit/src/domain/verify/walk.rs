//! Walking a log part by part: roots against checkpoints, the first finding.

use std::collections::HashMap;

use super::{Fault, Finding, part::Checked};
use crate::domain::{
    checkpoint::Checkpoint,
    merkle::{Hash, Node, Peaks},
};

/// A checkpoint, and who kept it.
#[derive(Debug, Clone)]
pub struct Promise {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// What to call it.
    pub name: String,
}

/// A walk from the first entry to the last.
#[derive(Debug)]
pub struct Walk {
    peaks: Peaks,
    promises: Vec<Promise>,
    begun: usize,
    next: usize,
    /// Size up to which the log is as it was signed.
    good: u64,
    upper: HashMap<Node, Hash>,
    said: bool,
}

impl Walk {
    /// Begins after the entries whose edge is given. `upper` are stored hashes over several parts, where they are compared.
    pub fn new(peaks: Peaks, mut promises: Vec<Promise>, upper: HashMap<Node, Hash>) -> Self {
        promises.sort_by_key(|promise| promise.checkpoint.size);
        let next = promises.partition_point(|promise| promise.checkpoint.size < peaks.size());
        Self { good: peaks.size(), peaks, promises, begun: next, next, upper, said: false }
    }

    /// Returns the number of entries so far.
    pub fn size(&self) -> u64 {
        self.peaks.size()
    }

    /// Returns the root hash of the entries so far.
    pub fn root(&self) -> Hash {
        self.peaks.root()
    }

    /// Returns how many checkpoints were found to be good so far.
    pub fn proved(&self) -> usize {
        self.next - self.begun
    }

    /// Returns the size up to which checkpoints vouch for the log.
    pub fn vouched(&self) -> u64 {
        self.good
    }

    /// Goes on by a part; returns what is wrong first.
    pub fn take(&mut self, checked: &Checked) -> Option<Finding> {
        let broken = self.promises_up_to(checked);
        let mut findings = checked.findings.clone();
        self.said_before(checked, &mut findings);
        for (level, hash) in checked.parts(checked.end).unwrap_or_default() {
            for (node, hash) in self.peaks.push(level, hash) {
                if node.level > super::PART_LEVEL
                    && self.upper.get(&node).is_some_and(|stored| *stored != hash)
                {
                    let (first, last) =
                        (node.position << node.level, ((node.position + 1) << node.level) - 1);
                    findings.push(Finding {
                        first,
                        last,
                        fault: Fault::Rehashed { by: "the hash above".into() },
                    });
                }
            }
        }
        // What a checkpoint vouches for is as it was: then the hash is wrong, and not the entry.
        for finding in &mut findings {
            if finding.last < self.good
                && let Fault::Edited | Fault::Rehashed { .. } = finding.fault
            {
                let level = (finding.last - finding.first + 1).ilog2();
                finding.fault = Fault::Node { level, position: finding.first >> level };
            }
        }
        // A hash that alone is wrong says nothing of the entries. The narrower of two that begin at the same place says more.
        let order = |finding: &Finding| {
            (rank(&finding.fault) == HASH, finding.first, rank(&finding.fault), finding.last)
        };
        let first = findings.into_iter().min_by_key(order);
        match (first, broken) {
            (Some(found), Some(broken)) if rank(&found.fault) == HASH || found.first > broken.last => {
                Some(broken)
            }
            (found, broken) => found.or(broken),
        }
    }

    /// Compares checkpoints in a part; returns the first that the log does not keep.
    fn promises_up_to(&mut self, checked: &Checked) -> Option<Finding> {
        while let Some(Promise { checkpoint, name }) = self.promises.get(self.next) {
            let size = checkpoint.size;
            if size > checked.end {
                return None;
            }
            let mut peaks = self.peaks.clone();
            for (level, hash) in checked.parts(size)? {
                peaks.push(level, hash);
            }
            if peaks.root() != checkpoint.root {
                let fault = Fault::Rehashed { by: name.clone() };
                return Some(Finding {
                    first: self.good,
                    last: size.saturating_sub(1).max(self.good),
                    fault,
                });
            }
            self.good = size;
            self.next += 1;
        }
        None
    }

    /// Finds entries whose request id is missing in a column although entries before them have it.
    fn said_before(&mut self, checked: &Checked, findings: &mut Vec<Finding>) {
        let since = if self.said { Some(checked.first) } else { checked.said };
        let missing = since.and_then(|since| checked.unsaid.iter().find(|sequence| **sequence >= since));
        findings.extend(missing.map(|at| Finding::at(*at, Fault::Column("request_id".into()))));
        self.said |= checked.said.is_some();
    }

    /// Ends after the last entry: returns what says that there were more.
    pub fn end(&self) -> Option<Finding> {
        let size = self.peaks.size();
        let more = self.promises.iter().rev().find(|promise| promise.checkpoint.size > size)?;
        let (said, by) = (more.checkpoint.size, more.name.clone());
        Some(Finding { first: size, last: said - 1, fault: Fault::Truncated { size: said, by } })
    }
}

/// Rank of what is wrong with hashes and signatures alone.
const HASH: u8 = 3;

/// Entries that are not what they were go before what is only said of them.
fn rank(fault: &Fault) -> u8 {
    match fault {
        Fault::Edited
        | Fault::Dropped
        | Fault::Inserted
        | Fault::Reordered { .. }
        | Fault::Truncated { .. }
        | Fault::Rehashed { .. } => 0,
        Fault::Unreadable => 1,
        Fault::Column(_) | Fault::Subjects | Fault::Head { .. } => 2,
        Fault::Node { .. } | Fault::Checkpoint { .. } | Fault::Unsigned => HASH,
    }
}
