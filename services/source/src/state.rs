//! The state file: what was registered, so that a restart need not read every document again and knows what to
//! withdraw.
//!
//! It is written aside and renamed, so it is whole or the one before. Whatever it lacks is found again by
//! registering. It names documents, pointers, hashes and paths, and no patient.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use signpost_common::{hash::Sha256, id::MemberId};

use crate::{
    domain::{Journal, Record, Seen, Stamp, State},
    error::Error,
};

const FORM: u32 = 1;
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// A folder for the state of one member's source; nobody else uses it meanwhile.
pub(crate) struct StateFolder {
    folder: PathBuf,
    member_id: MemberId,
    /// Holds the lock.
    _lock: File,
}

/// What was found at the start.
#[derive(Debug)]
pub(crate) enum Found {
    /// The state as it was written.
    Whole(Journal),
    /// There is none.
    Nothing,
    /// It cannot be read: why.
    Broken(io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    form: u32,
    member_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    unique_id: String,
    document_id: String,
    version: u32,
    current: bool,
    patient: String,
    facts: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(default)]
    size_bytes: u64,
    #[serde(default)]
    modified_ns: i64,
    #[serde(default)]
    changed_ns: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    records: u64,
    sha256: String,
}

impl StateFolder {
    /// Opens a folder, made when it is not there, for one process alone.
    pub(crate) fn open(folder: &Path, documents: &Path, member_id: MemberId) -> Result<Self, Error> {
        let failed = |error| Error::State(folder.to_owned(), error);
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        if folder.starts_with(documents) {
            return Err(Error::StateServed(folder));
        }
        fs::set_permissions(&folder, Permissions::from_mode(PRIVATE_FOLDER)).map_err(failed)?;
        let lock = folder.join(format!("{member_id}.lock"));
        let lock =
            OpenOptions::new().create(true).append(true).mode(PRIVATE_FILE).open(lock).map_err(failed)?;
        lock.try_lock().map_err(|error| Error::State(folder.clone(), error.into()))?;
        let opened = Self { folder, member_id, _lock: lock };
        opened.sweep().map_err(failed)?;
        Ok(opened)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.journal", self.member_id))
    }

    fn aside(&self) -> String {
        format!(".{}.journal-", self.member_id)
    }

    /// Removes what a process that was killed was about to write.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&self.aside()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Reads what was written last.
    pub(crate) fn read(&self) -> Found {
        match File::open(self.file()) {
            Ok(file) => self.parse(BufReader::new(file)).map_or_else(Found::Broken, Found::Whole),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => Found::Broken(error),
        }
    }

    fn parse(&self, file: impl BufRead) -> io::Result<Journal> {
        let mut hash = Sha256::default();
        let mut journal = Journal::new();
        let mut lines = file.lines();
        let mut take = |text: &str| {
            hash.update(text.as_bytes());
            hash.update(b"\n");
        };
        let first = lines.next().transpose()?.unwrap_or_default();
        let First { form, member_id } = serde_json::from_str(&first)?;
        if form != FORM || member_id != self.member_id.as_str() {
            return Err(io::Error::other("it is of another form or of another member"));
        }
        take(&first);
        // The last line is no record.
        let mut held: Option<String> = None;
        for text in lines {
            if let Some(text) = held.replace(text?) {
                take(&text);
                let (unique_id, record) = record(serde_json::from_str(&text)?)?;
                journal.insert(unique_id, record);
            }
        }
        let Last { records, sha256 } = serde_json::from_str(&held.unwrap_or_default())?;
        if records != journal.len() as u64 || sha256 != hex::encode(hash.finish()) {
            return Err(io::Error::other("it is not whole"));
        }
        Ok(journal)
    }

    /// Writes the state, so that it is there after a power cut.
    pub(crate) fn write(&self, journal: &Journal) -> io::Result<()> {
        let aside = tempfile::Builder::new()
            .prefix(&self.aside())
            .permissions(Permissions::from_mode(PRIVATE_FILE))
            .tempfile_in(&self.folder)?;
        let mut to = Hashing { to: BufWriter::new(aside.as_file()), hash: Sha256::default() };
        to.line(&First { form: FORM, member_id: self.member_id.to_string() })?;
        for (unique_id, record) in journal {
            to.line(&line(unique_id, record))?;
        }
        let sha256 = hex::encode(to.hash.clone().finish());
        to.line(&Last { records: journal.len() as u64, sha256 })?;
        to.to.flush()?;
        drop(to);
        aside.as_file().sync_all()?;
        aside.persist(self.file()).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Hashes what it writes.
struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.to.write_all(&text)
    }
}

fn line(unique_id: &str, record: &Record) -> Line {
    let Record { document_id, version, state, patient, facts, sha256, seen } = record;
    let stamp = seen.as_ref().map(|seen| seen.stamp);
    Line {
        unique_id: unique_id.to_owned(),
        document_id: document_id.to_string(),
        version: *version,
        current: *state == State::Current,
        patient: hex::encode(patient),
        facts: hex::encode(facts),
        sha256: hex::encode(sha256),
        path: seen.as_ref().map(|seen| seen.path.clone()),
        size_bytes: stamp.map_or(0, |stamp| stamp.size_bytes),
        modified_ns: stamp.map_or(0, |stamp| stamp.modified_ns),
        changed_ns: stamp.map_or(0, |stamp| stamp.changed_ns),
    }
}

fn record(line: Line) -> io::Result<(String, Record)> {
    let Line {
        unique_id,
        document_id,
        version,
        current,
        patient,
        facts,
        sha256,
        path,
        size_bytes,
        modified_ns,
        changed_ns,
    } = line;
    let record = Record {
        document_id: document_id.parse().map_err(io::Error::other)?,
        version,
        state: if current { State::Current } else { State::Past },
        patient: bytes(&patient)?,
        facts: bytes(&facts)?,
        sha256: bytes(&sha256)?,
        seen: path.map(|path| Seen { path, stamp: Stamp { size_bytes, modified_ns, changed_ns } }),
    };
    Ok((unique_id, record))
}

fn bytes<const N: usize>(text: &str) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
