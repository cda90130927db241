//! The folder as it is now: the index, read again when its file changes, and the files that rows name.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, task::spawn_blocking, time::Instant};

use crate::{
    convert,
    domain::{File, Hash, Journal, Row, Seen, Stamp},
    error::Error,
    index::{self, Index},
};

/// The folder, and its index as it was read last.
pub(crate) struct Folder {
    path: PathBuf,
    current: Mutex<(Stamp, Arc<Index>)>,
}

impl Folder {
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let stamp = index_stamp(&path)?;
        let index = load(&path)?;
        Ok(Self { path, current: Mutex::new((stamp, index)) })
    }

    /// Returns where it is, links followed.
    pub(crate) fn real_path(&self) -> Result<PathBuf, Error> {
        self.path.canonicalize().map_err(|error| Error::Folder(self.path.clone(), error))
    }

    /// Returns the index as its file says now. When the file cannot be read, nothing is served: it may have
    /// withdrawn a document.
    pub(crate) async fn index(&self) -> Result<(Stamp, Arc<Index>), Error> {
        let mut current = self.current.lock().await;
        let (path, known) = (self.path.clone(), current.0);
        let changed = blocking(move || {
            // The stamp first: what is written between the two is read at the next call.
            let stamp = index_stamp(&path)?;
            if stamp == known { Ok(None) } else { Ok(Some((stamp, load(&path)?))) }
        });
        if let Some(changed) = changed.await? {
            *current = changed;
        }
        Ok(current.clone())
    }
}

fn index_stamp(folder: &Path) -> Result<Stamp, Error> {
    let path = folder.join(index::FILE);
    let metadata = fs::metadata(&path).map_err(|error| Error::Index(path, error))?;
    Ok(stamp(&metadata))
}

fn load(folder: &Path) -> Result<Arc<Index>, Error> {
    let index = Index::load(folder)?;
    for problem in &index.problems {
        tracing::warn!(line = problem.line, reason = problem.reason, "row of the index left out");
    }
    tracing::info!(documents = index.entries().count(), "index read");
    Ok(Arc::new(index))
}

/// Runs work that waits for files, apart from the threads that answer calls.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Document(io::Error::other(error))),
    }
}

/// Returns what tells this state of a file from another.
pub(crate) fn stamp(metadata: &Metadata) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Stamp {
        size_bytes: metadata.len(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// What was seen of files that are not registered as they are: how long they have been the same, and their hashes.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    since: HashMap<PathBuf, (Stamp, Instant)>,
    hashes: HashMap<PathBuf, (Stamp, Hash)>,
}

impl Looks {
    /// True when the file was the same for so long.
    fn settled(&self, next: &mut Looks, path: &Path, stamp: Stamp, now: Instant, settle: Duration) -> bool {
        let since = self.since.get(path).filter(|(before, _)| *before == stamp);
        let since = since.map_or(now, |(_, since)| *since);
        next.since.insert(path.to_owned(), (stamp, since));
        now.duration_since(since) >= settle
    }

    /// Keeps the hash of a file until it is registered.
    pub(crate) fn keep(&mut self, seen: Seen, hash: Hash) {
        self.hashes.insert(seen.path, (seen.stamp, hash));
    }

    fn file(&self, next: &mut Looks, seen: Seen, now: Instant, settle: Duration) -> File {
        let Seen { path, stamp } = seen;
        if let Some((_, hash)) = self.hashes.get(&path).filter(|(hashed, _)| *hashed == stamp) {
            next.hashes.insert(path, (stamp, *hash));
            return File::Hashed(stamp, *hash);
        }
        if self.settled(next, &path, stamp, now, settle) { File::There(stamp) } else { File::Unsettled }
    }
}

/// The folder at one moment.
pub(crate) struct Scan {
    pub(crate) rows: Vec<Row>,
    /// Unique ids of rows that cannot be read.
    pub(crate) unread: HashSet<String>,
    /// Folders that documents lie in.
    pub(crate) folders: HashSet<PathBuf>,
    pub(crate) looks: Looks,
    /// False while the index itself is being written; there are no rows then.
    pub(crate) settled: bool,
}

/// Looks at every file that the index names. A file that is registered as it is needs no second look.
pub(crate) fn scan(
    index: &Index,
    index_stamp: Stamp,
    journal: &Journal,
    looks: &Looks,
    now: Instant,
    settle: Duration,
) -> Scan {
    let mut next = Looks::default();
    let settled = looks.settled(&mut next, Path::new(index::FILE), index_stamp, now, settle);
    let mut folders = HashSet::from([index.folder().to_owned()]);
    let mut rows = vec![];
    for entry in index.entries() {
        folders.extend(folders_of(index.folder(), &entry.path));
        let found = index.resolve(entry).and_then(fs::metadata).map(|metadata| stamp(&metadata));
        let file = match found {
            // The registry takes no empty document, and a file is empty before it is written.
            Ok(stamp) if stamp.size_bytes > 0 => {
                let seen = Seen { path: entry.path.clone(), stamp };
                let known = journal.get(&entry.unique_id).and_then(|record| record.seen.as_ref());
                if known == Some(&seen) {
                    File::There(stamp)
                } else {
                    looks.file(&mut next, seen, now, settle)
                }
            }
            _ => File::Missing,
        };
        rows.push(Row {
            unique_id: entry.unique_id.clone(),
            replaces: index.replaces(entry).map(str::to_owned),
            patient: convert::patient(&entry.local_id),
            facts: convert::facts(entry),
            path: entry.path.clone(),
            file,
        });
    }
    let unread = index.problems.iter().filter_map(|problem| problem.unique_id.clone()).collect();
    if !settled {
        rows.clear();
    }
    Scan { rows, unread, folders, looks: next, settled }
}

/// Returns the folders between the root and a document: each may be the one that is made next.
fn folders_of<'a>(root: &'a Path, path: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    path.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty()).map(|part| root.join(part))
}

/// Hashes a file that should be in this state.
///
/// Returns what the row's file is now: when it changes while it is read, it is looked at again.
pub(crate) fn hash(path: &Path, expected: Stamp, stopped: &AtomicBool) -> io::Result<File> {
    let file = fs::File::open(path)?;
    if stamp(&file.metadata()?) != expected {
        return Ok(File::Unsettled);
    }
    let (size_bytes, hash) = index::hash(&file, || stopped.load(Ordering::Relaxed))?;
    let same = size_bytes == expected.size_bytes && stamp(&file.metadata()?) == expected;
    Ok(if same { File::Hashed(expected, hash) } else { File::Unsettled })
}

#[cfg(test)]
mod tests;
