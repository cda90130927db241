//! Checkpoints in a folder, one a file, named by size.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use signpost_audit::domain::checkpoint::{Checkpoint, NOTE_BYTES_MAX, Verifier};

use super::write_whole;

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".txt";

/// A folder of checkpoints.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

/// A checkpoint that was kept, and in which file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) note: String,
}

impl Kept {
    /// Opens a folder, which is made when it is missing.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        Ok(Self(folder.to_owned()))
    }

    /// Returns what is in a folder that is there, ordered by the size in the name.
    pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<Found>> {
        let reading = || format!("reading the folder {}", folder.display());
        let mut found = vec![];
        for entry in std::fs::read_dir(folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            let Some(size) = size_of(&path) else { continue };
            let length = std::fs::metadata(&path)?.len();
            if length > NOTE_BYTES_MAX as u64 {
                bail!("{} is too long for a checkpoint", path.display());
            }
            let note =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            found.push((size, Found { path, note }));
        }
        found.sort_by_key(|(size, _)| *size);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// Returns the last checkpoint, verified.
    pub(super) fn last(&self, keys: &[Verifier]) -> anyhow::Result<Option<Checkpoint>> {
        let Some(Found { path, note }) = Self::all(&self.0)?.pop() else { return Ok(None) };
        let verified = Checkpoint::verify(&note, keys);
        verified.map(Some).with_context(|| format!("the checkpoint {} is of no use", path.display()))
    }

    /// Keeps a checkpoint.
    pub(super) fn keep(&self, checkpoint: &Checkpoint, note: &str) -> anyhow::Result<()> {
        write_whole(&self.0.join(format!("{PREFIX}{}{SUFFIX}", checkpoint.size)), note)
    }
}

fn size_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}
