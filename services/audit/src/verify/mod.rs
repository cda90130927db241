//! Verifying a log offline: the database itself, or a file that was exported.

use signpost_common::db;

use crate::domain::{
    checkpoint::{self, Checkpoint, Verifier},
    merkle::Hash,
    verify::{Fault, Finding, walk::Promise},
};

pub mod database;
pub mod raw;

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log could not be read.
    #[error("reading the log")]
    Store(#[from] crate::error::Error),
    /// The database could not be opened.
    #[error("opening the log")]
    Open(#[from] db::Error),
    /// The file could not be read.
    #[error("reading the file")]
    File(#[from] std::io::Error),
    /// The file was not exported by this program.
    #[error("line {0} is not one of a raw export")]
    NotRaw(u64),
    /// Work was cut short.
    #[error("verifying was cut short")]
    Cut(#[from] tokio::task::JoinError),
}

/// A checkpoint to hold the log to, and what to call it.
#[derive(Debug, Clone)]
pub struct Note {
    /// What to call it.
    pub name: String,
    /// The signed note.
    pub note: String,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// First entry that was looked at.
    pub first: u64,
    /// Number of entries of the log.
    pub size: u64,
    /// Root hash of its entries.
    pub root: Hash,
    /// Checkpoints that the log was held to.
    pub checkpoints: usize,
    /// Those that it keeps, as far as it was followed.
    pub proved: usize,
    /// Size up to which they vouch for it.
    pub vouched: u64,
    /// What is wrong first.
    pub finding: Option<Finding>,
}

/// Says how far it is: entries done, and all of them.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Reads notes: those that are good, and what is wrong with the first that is not.
fn promises(notes: &[Note], keys: &[Verifier]) -> (Vec<Promise>, Option<Finding>) {
    let (mut good, mut bad) = (vec![], None);
    for Note { name, note } in notes {
        match Checkpoint::verify(note, keys) {
            Ok(checkpoint) => good.push(Promise { checkpoint, name: name.clone() }),
            Err(error) => {
                bad.get_or_insert_with(|| not_good(name, note, error));
            }
        }
    }
    (good, bad)
}

fn not_good(name: &str, note: &str, error: checkpoint::Error) -> Finding {
    let size = Checkpoint::unverified(note).map_or(0, |checkpoint| checkpoint.size);
    Finding::at(size.saturating_sub(1), Fault::Checkpoint { name: name.to_owned(), why: error.to_string() })
}
