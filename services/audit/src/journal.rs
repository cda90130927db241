//! The journal: a file on another disk that takes events while the database does not.
//!
//! After a first line come frames: the length of an entry (four bytes, little-endian), the beginning of its SHA-256, and the entry as
//! it is hashed in the log, in which patients' records are keyed hashes. What was acknowledged is on disk. A frame that was torn
//! by a crash was acknowledged to nobody; its bytes are put aside. The file belongs to one process, which holds a lock on it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use signpost_common::hash::sha256;

/// First line of a journal.
const HEAD: &[u8] = b"signpost audit journal 1\n";

/// Length and hash before each entry.
const FRAME_HEAD: usize = 12;

/// Longest entry.
const ENTRY_BYTES_MAX: usize = 16 << 20;

/// Longest journal. When the database is away for longer than this lasts, nothing is released any more.
const JOURNAL_BYTES_MAX: u64 = 8 << 30;

/// Why the journal is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file failed.
    #[error("using the journal {0}")]
    File(PathBuf, #[source] io::Error),
    /// Another process uses it.
    #[error("the journal {0} is used by another process")]
    Taken(PathBuf),
    /// It is something else.
    #[error("{0} is no journal of the audit log")]
    NotAJournal(PathBuf),
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Where the first entry that waits begins.
    begin: u64,
    /// After the last whole frame.
    end: u64,
}

/// What waits in a journal, as another process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Number of entries.
    pub entries: u64,
    /// Bytes after them that are no whole frame.
    pub torn: u64,
}

fn frame(entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&length[..], &sha256(entry)[..FRAME_HEAD - 4], entry].concat()
}

/// Reads the next frame; `None` at the end, and where a frame is not whole.
fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; FRAME_HEAD];
    let whole = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        done => done.map(|()| true),
    };
    if !whole(from.read_exact(&mut head))? {
        return Ok(None);
    }
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > ENTRY_BYTES_MAX {
        return Ok(None);
    }
    let mut entry = vec![0; length];
    let read = whole(from.read_exact(&mut entry))?;
    Ok((read && sha256(&entry)[..FRAME_HEAD - 4] == head[4..]).then_some(entry))
}

/// Counts what waits in a journal without changing it; none when there is no file.
pub fn waiting(path: &Path) -> Result<Option<Waiting>, Error> {
    let failed = |error| Error::File(path.to_owned(), error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !begins_well(&mut file).map_err(failed)? {
        return Err(Error::NotAJournal(path.to_owned()));
    }
    let length = file.metadata().map_err(failed)?.len();
    let (entries, end) = count(&mut file).map_err(failed)?;
    Ok(Some(Waiting { entries, torn: length.saturating_sub(end) }))
}

/// True for a journal, and for a file that is to become one.
fn begins_well(file: &mut File) -> io::Result<bool> {
    let mut head = vec![];
    file.rewind()?;
    file.take(HEAD.len() as u64).read_to_end(&mut head)?;
    Ok(HEAD.starts_with(&head))
}

/// Counts whole frames, and returns where they end.
fn count(file: &mut File) -> io::Result<(u64, u64)> {
    let (mut entries, mut end) = (0, HEAD.len() as u64);
    file.seek(SeekFrom::Start(end))?;
    let mut frames = io::BufReader::with_capacity(1 << 16, file);
    while let Some(entry) = read_frame(&mut frames)? {
        entries += 1;
        end += (FRAME_HEAD + entry.len()) as u64;
    }
    Ok((entries, end))
}

impl Journal {
    /// Opens a journal, which is made when it is missing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::File(path.to_owned(), error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::Taken(path.to_owned()),
            std::fs::TryLockError::Error(error) => failed(error),
        })?;
        if !begins_well(&mut file).map_err(failed)? {
            return Err(Error::NotAJournal(path.to_owned()));
        }
        let (begin, length) = (HEAD.len() as u64, file.metadata().map_err(failed)?.len());
        let mut journal = Self { path: path.to_owned(), file, begin, end: begin };
        if length < begin {
            journal.file.write_all_at(HEAD, 0).map_err(failed)?;
            journal.file.sync_all().map_err(failed)?;
            journal.sync_folder().map_err(failed)?;
            return Ok(journal);
        }
        journal.end = count(&mut journal.file).map_err(failed)?.1;
        if journal.end < length {
            journal.put_aside(length - journal.end).map_err(failed)?;
        }
        Ok(journal)
    }

    /// True when entries wait.
    pub fn waits(&self) -> bool {
        self.begin < self.end
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends entries. They are on disk when this answers; when it fails none of them counts.
    pub fn append<'a>(&mut self, entries: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.still_there()?;
        let mut bytes = vec![];
        for entry in entries {
            if entry.len() > ENTRY_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the entry is too long for the journal",
                ));
            }
            bytes.extend(frame(entry));
        }
        if self.end + bytes.len() as u64 > JOURNAL_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the journal is as long as it may be"));
        }
        let written = self.file.write_all_at(&bytes, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is there of it must not be taken for entries later.
            self.file.set_len(self.end).and_then(|()| self.file.sync_data()).ok();
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Reads entries that wait, at most so many, and returns where the next begins.
    pub fn read(&mut self, most: usize) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let (mut entries, mut next) = (vec![], self.begin);
        self.file.seek(SeekFrom::Start(next))?;
        let mut frames = io::BufReader::with_capacity(1 << 16, &self.file);
        while entries.len() < most && next < self.end {
            let entry = read_frame(&mut frames)?;
            let entry =
                entry.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an entry was changed"))?;
            next += (FRAME_HEAD + entry.len()) as u64;
            entries.push(entry);
        }
        Ok((entries, next))
    }

    /// Forgets entries up to where the next begins: they are in the database.
    pub fn done(&mut self, next: u64) -> io::Result<()> {
        self.begin = next.min(self.end);
        if self.waits() {
            return Ok(());
        }
        let head = HEAD.len() as u64;
        self.file.set_len(head)?;
        // The file is empty from here on, synced or not: what is appended next must not leave a hole before it.
        (self.begin, self.end) = (head, head);
        self.file.sync_data()
    }

    /// Keeps entries that the database will never take, beside the journal.
    pub fn refused<'a>(&self, entries: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let bytes: Vec<u8> = entries.flat_map(frame).collect();
        self.keep_beside("refused", &bytes)
    }

    /// Fails when the file at the path is another one or gone: what is written would be lost with this process.
    pub fn still_there(&self) -> io::Result<()> {
        let (named, open) = (std::fs::metadata(&self.path)?, self.file.metadata()?);
        match (named.dev(), named.ino()) == (open.dev(), open.ino()) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the journal was replaced")),
        }
    }

    /// Puts what is no whole frame aside.
    fn put_aside(&mut self, torn: u64) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(torn).unwrap_or(usize::MAX).min(ENTRY_BYTES_MAX)];
        self.file.read_exact_at(&mut bytes, self.end)?;
        self.keep_beside("torn", &bytes)?;
        tracing::warn!(
            bytes = torn,
            "the journal of the audit log ends in what is no entry; it was put aside"
        );
        self.file.set_len(self.end)?;
        self.file.sync_data()
    }

    fn keep_beside(&self, end: &str, bytes: &[u8]) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{end}"));
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(PathBuf::from(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(journal: &mut Journal, entries: &[&[u8]]) {
        journal.append(entries.iter().copied()).unwrap();
    }

    #[test]
    fn entries_wait_until_they_are_done_also_for_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(waiting(&path).unwrap(), None);
        let mut journal = Journal::open(&path).unwrap();
        assert!(!journal.waits());
        assert!(matches!(Journal::open(&path), Err(Error::Taken(_))));
        append(&mut journal, &[b"one", b""]);
        append(&mut journal, &[b"three"]);
        assert_eq!(waiting(&path).unwrap(), Some(Waiting { entries: 3, torn: 0 }));
        drop(journal);
        let mut journal = Journal::open(&path).unwrap();
        let (entries, next) = journal.read(2).unwrap();
        assert_eq!(entries, [b"one".to_vec(), vec![]]);
        journal.done(next).unwrap();
        append(&mut journal, &[b"four"]);
        let (entries, next) = journal.read(9).unwrap();
        assert_eq!(entries, [b"three", &b"four"[..]]);
        journal.done(next).unwrap();
        assert!(!journal.waits());
        assert_eq!(waiting(&path).unwrap(), Some(Waiting { entries: 0, torn: 0 }));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HEAD.len() as u64);
    }

    #[test]
    fn a_torn_frame_is_put_aside_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        append(&mut Journal::open(&path).unwrap(), &[b"first", b"second"]);
        let whole = std::fs::read(&path).unwrap();
        let first = HEAD.len() + FRAME_HEAD + 5;
        for length in first + 1..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            std::fs::remove_file(folder.path().join("journal.torn")).ok();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.read(9).unwrap().0, [b"first"], "cut at {length}");
            assert_eq!(std::fs::read(folder.path().join("journal.torn")).unwrap(), whole[first..length]);
            append(&mut journal, &[b"third"]);
            assert_eq!(journal.read(9).unwrap().0, [b"first", b"third"]);
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(waiting(&path).unwrap(), Some(Waiting { entries: 1, torn: 18 }));
        for length in 0..HEAD.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(!Journal::open(&path).unwrap().waits(), "a first line that was torn");
        }
        std::fs::write(&path, "something else").unwrap();
        assert!(matches!(Journal::open(&path), Err(Error::NotAJournal(_))));
    }

    #[test]
    fn a_journal_that_is_gone_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(journal.append([&b"x"[..]].into_iter()).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(journal.append([&b"x"[..]].into_iter()).is_err(), "another file is in its place");
        assert!(!journal.waits());
    }
}
