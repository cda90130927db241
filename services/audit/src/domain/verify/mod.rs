//! Verifying a whole log: what its entries hash to, against what is stored of them and what was signed.
//!
//! A log is looked at in parts, each by itself ([`part`]), which are then walked in order ([`walk`]): the first that is wrong
//! ends the walk. What was changed together with all of its hashes shows at the next checkpoint that was signed before the change.

use std::fmt;

pub mod part;
pub mod walk;

/// Height of the tree over one part.
pub const PART_LEVEL: u32 = 13;

/// Entries of one part.
pub const PART: u64 = 1 << PART_LEVEL;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An entry says something else than it did.
    Edited,
    /// An entry is gone, and others come after it.
    Dropped,
    /// An entry was put in.
    Inserted,
    /// An entry stands where another stood.
    Reordered {
        /// Where it stood.
        was: u64,
    },
    /// The end is gone.
    Truncated {
        /// How many entries there were.
        size: u64,
        /// What says so.
        by: String,
    },
    /// No checkpoint covers entries: they may be anything.
    Unsigned,
    /// An entry is not one that this service writes.
    Unreadable,
    /// A column does not say what its entry says.
    Column(String),
    /// By whom an entry is found is not what it says.
    Subjects,
    /// The log's head is behind its entries.
    Head {
        /// What it says.
        size: u64,
    },
    /// A stored hash is not that of its entries, which are as they were.
    Node {
        /// Height.
        level: u32,
        /// Place in its level.
        position: u64,
    },
    /// Entries were changed together with hashes of theirs; nothing tells which.
    Rehashed {
        /// What says so.
        by: String,
    },
    /// A checkpoint is not what the log's key signed.
    Checkpoint {
        /// Which.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Fault {
    /// Returns its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Dropped => "dropped",
            Self::Inserted => "inserted",
            Self::Reordered { .. } => "reordered",
            Self::Truncated { .. } => "truncated",
            Self::Unsigned => "unsigned",
            Self::Unreadable => "unreadable",
            Self::Column(_) => "column",
            Self::Subjects => "subjects",
            Self::Head { .. } => "head",
            Self::Node { .. } => "node",
            Self::Rehashed { .. } => "rehashed",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }
}

/// What is wrong first, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// First entry that it may be.
    pub first: u64,
    /// Last entry that it may be.
    pub last: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl Finding {
    /// Names one entry.
    pub fn at(sequence: u64, fault: Fault) -> Self {
        Self { first: sequence, last: sequence, fault }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, fault } = self;
        match fault {
            Fault::Edited => {
                write!(f, "entry {first} was edited: it does not say what it said when it was written")
            }
            Fault::Dropped => write!(f, "entry {first} was dropped: those after it are there"),
            Fault::Inserted => {
                write!(f, "entry {first} was inserted: it was not there when the next one was written")
            }
            Fault::Reordered { was } => {
                write!(f, "the log was reordered: entry {first} was written as entry {was}")
            }
            Fault::Truncated { size, by } => {
                write!(f, "the log was truncated at entry {first}: {by} says that it had {size} entries")
            }
            Fault::Unsigned => {
                write!(
                    f,
                    "nothing vouches for entry {first} and those after it: no checkpoint covers the last entry"
                )
            }
            Fault::Unreadable => write!(f, "entry {first} is none that this service writes"),
            Fault::Column(name) => {
                write!(f, "the column {name} of entry {first} does not say what the entry says")
            }
            Fault::Subjects => {
                write!(f, "whose records entry {first} is found by is not what the entry says")
            }
            Fault::Head { size } => {
                write!(f, "entry {first} is there, and the log's head says {size} entries")
            }
            Fault::Node { level: 0, .. } => {
                write!(f, "the stored hash of entry {first} was changed; the entry itself was not")
            }
            Fault::Node { .. } => {
                write!(f, "the stored hash over entries {first} to {last} was changed; the entries were not")
            }
            Fault::Rehashed { by } if first == last => {
                write!(f, "entry {first} was changed together with its hashes: {by} tells")
            }
            Fault::Rehashed { by } => {
                write!(
                    f,
                    "one of the entries {first} to {last} was changed together with its hashes: {by} tells"
                )
            }
            Fault::Checkpoint { name, why } => write!(f, "{name} {why}"),
        }
    }
}
