//! What is registered, what the folder says, and what to do about the difference. Pure: no files, no exchange, no time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
};

use signpost_common::id::DocumentId;

pub(crate) mod plan;
pub(crate) mod version;

/// SHA-256 of a document.
pub(crate) type Hash = [u8; 32];

/// Stands for facts, or for a patient, where they are compared and not told.
pub(crate) type Digest = [u8; 16];

/// What tells one state of a file from another without reading it. The time of change cannot be set by hand, so
/// a file whose time of modification was put back is told, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    pub(crate) modified_ns: i64,
    pub(crate) changed_ns: i64,
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Relative to the folder.
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
}

/// Whether a pointer is to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is.
    Current,
    /// It was superseded or withdrawn; its version is taken for good.
    Past,
}

/// The newest pointer that was registered for a row's unique id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) document_id: DocumentId,
    pub(crate) version: u32,
    pub(crate) state: State,
    pub(crate) patient: Digest,
    pub(crate) facts: Digest,
    pub(crate) sha256: Hash,
    /// Where these bytes were found; `None` when that is not known any more.
    pub(crate) seen: Option<Seen>,
}

impl Record {
    pub(crate) fn is_current(&self) -> bool {
        self.state == State::Current
    }
}

/// Records by unique id, as rows have it: without a version.
pub(crate) type Journal = BTreeMap<String, Record>;

/// What is known of a row's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// It is not there, is empty, or leads out of the folder.
    Missing,
    /// It was not yet the same at two looks.
    Unsettled,
    /// It is there.
    There(Stamp),
    /// It is there, and these are its bytes.
    Hashed(Stamp, Hash),
}

/// A row of the index, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) unique_id: String,
    /// Unique id of the older document that it replaces.
    pub(crate) replaces: Option<String>,
    pub(crate) patient: Digest,
    pub(crate) facts: Digest,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl Row {
    /// Returns the file that the row stands for; `None` while it cannot be relied on.
    pub(crate) fn seen(&self) -> Option<Seen> {
        match self.file {
            File::Missing | File::Unsettled => None,
            File::There(stamp) | File::Hashed(stamp, _) => Some(Seen { path: self.path.clone(), stamp }),
        }
    }

    /// Returns the hash of its file, when it is known from now or from when it was registered.
    pub(crate) fn hash(&self, journal: &Journal) -> Option<Hash> {
        match self.file {
            File::Missing | File::Unsettled => None,
            File::Hashed(_, hash) => Some(hash),
            File::There(stamp) => {
                let record = journal.get(&self.unique_id)?;
                let seen = record.seen.as_ref()?;
                (seen.stamp == stamp && seen.path == self.path).then_some(record.sha256)
            }
        }
    }

    fn wish(&self) -> Option<Wish> {
        let Self { unique_id: _, replaces, patient, facts, path: _, file: _ } = self;
        Some(Wish { seen: self.seen()?, replaces: replaces.clone(), patient: *patient, facts: *facts })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    seen: Seen,
    replaces: Option<String>,
    patient: Digest,
    facts: Digest,
}

/// What the exchange refused for good; it is not asked again until the row or its file changes.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    rows: HashMap<String, Wish>,
    withdrawals: HashSet<String>,
}

impl Refused {
    /// Keeps that a row was refused as it is.
    pub(crate) fn add(&mut self, row: &Row) {
        if let Some(wish) = row.wish() {
            self.rows.insert(row.unique_id.clone(), wish);
        }
    }

    /// Keeps that a withdrawal was refused.
    pub(crate) fn add_withdrawal(&mut self, unique_id: &str) {
        self.withdrawals.insert(unique_id.to_owned());
    }

    /// True when this row was refused as it is.
    pub(crate) fn contains(&self, row: &Row) -> bool {
        self.rows.get(&row.unique_id).is_some_and(|wish| row.wish().as_ref() == Some(wish))
    }

    /// Forgets rows that are gone or are others now.
    pub(crate) fn forget_all_but(&mut self, rows: &[Row]) {
        if self.rows.is_empty() && self.withdrawals.is_empty() {
            return;
        }
        let by_id: HashMap<_, _> = rows.iter().map(|row| (row.unique_id.as_str(), row)).collect();
        self.rows.retain(|id, wish| by_id.get(id.as_str()).and_then(|row| row.wish()).as_ref() == Some(wish));
        self.withdrawals.retain(|id| !by_id.contains_key(id.as_str()));
    }

    /// Returns how many stand.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.withdrawals.len()
    }
}
