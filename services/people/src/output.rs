//! Files that are written beside their place and appear there when they are complete.
//!
//! Whoever is killed leaves what was there before, never half a file.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Permissions of a new file, less those that the process's mask takes.
const MODE: u32 = 0o666;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is also read, or written twice.
    #[error("{} is named twice, as {as_one} and as {as_other}; write to another file", file.display())]
    Twice {
        /// The file.
        file: PathBuf,
        /// What it is first.
        as_one: &'static str,
        /// What it is then.
        as_other: &'static str,
    },
    /// It is a folder.
    #[error("{} is a folder; name a file in it", .0.display())]
    Folder(PathBuf),
    /// The folder that should hold it is not there.
    #[error("the folder {} is not there; make it first", .0.display())]
    NoFolder(PathBuf),
    /// The system says no.
    #[error("writing {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Names the file that could not be written.
    pub(crate) fn writing(file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { file: file.to_owned(), source }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: BufWriter<Place>,
}

#[derive(Debug)]
enum Place {
    /// Beside the file, to take its name in the end.
    Beside(NamedTempFile),
    /// A pipe or a device, which cannot be replaced.
    Straight(File),
}

impl Output {
    /// Begins to write a file; what is there stays there.
    ///
    /// # Errors
    /// When nothing can be written in its folder.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Error::Folder(path.to_owned()));
        }
        let straight = there.is_some_and(|there| !there.is_file()) || stands_for_another(path);
        // The file that a link leads to is replaced, not the link.
        let path = path.canonicalize().ok().filter(|_| !straight).unwrap_or_else(|| path.to_owned());
        let place = match straight {
            true => {
                Place::Straight(OpenOptions::new().append(true).open(&path).map_err(Error::writing(&path))?)
            }
            false => Place::Beside(beside(&path)?),
        };
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, place) })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Beside(file) => file.write(bytes),
            Self::Straight(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Beside(file) => file.flush(),
            Self::Straight(file) => file.flush(),
        }
    }
}

/// Gives complete files their names, when all of them could be written.
///
/// # Errors
/// When one could not be written; then none has its name.
pub fn publish(outputs: Vec<Output>) -> Result<(), Error> {
    let mut complete = vec![];
    for Output { path, file } in outputs {
        let place = file.into_inner().map_err(|error| Error::writing(&path)(error.into_error()))?;
        complete.push((path, place));
    }
    for (path, place) in complete {
        if let Place::Beside(file) = place {
            file.persist(&path).map_err(|error| Error::writing(&path)(error.error))?;
        }
    }
    Ok(())
}

/// Writes a whole file.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut output = Output::create(path)?;
    output.write_all(text.as_bytes()).map_err(Error::writing(path))?;
    publish(vec![output])
}

/// Checks that files can be written and are neither read nor named twice, before any work is done.
///
/// # Errors
/// When one cannot be written.
pub fn check(read: &[(&'static str, &Path)], written: &[(&'static str, &Path)]) -> Result<(), Error> {
    let mut named: HashMap<PathBuf, &'static str> =
        read.iter().map(|(name, path)| (absolute(path), *name)).collect();
    for (name, path) in written {
        if let Some(other) = named.insert(absolute(path), name) {
            return Err(Error::Twice { file: (*path).to_owned(), as_one: other, as_other: name });
        }
        // Dropped at once: it only tells whether the folder can be written to.
        Output::create(path)?;
    }
    Ok(())
}

fn beside(path: &Path) -> Result<NamedTempFile, Error> {
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(Error::NoFolder(folder.to_owned()));
    }
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp").permissions(Permissions::from_mode(MODE));
    builder.tempfile_in(folder).map_err(Error::writing(path))
}

/// True for names such as /dev/stdout, which stand for something else and must not be replaced even if that is a file.
fn stands_for_another(path: &Path) -> bool {
    let folder = absolute_folder(path);
    folder == Path::new("/dev") || folder.starts_with("/proc")
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns a path by which two names of one file are the same, whether it is there or not.
fn absolute(path: &Path) -> PathBuf {
    let in_folder = || absolute_folder(path).join(path.file_name().unwrap_or_default());
    path.canonicalize().unwrap_or_else(|_| in_folder())
}

fn absolute_folder(path: &Path) -> PathBuf {
    let folder = folder(path);
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.csv");
        fs::write(&path, "before").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"after").unwrap();
        output.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        publish(vec![output]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_completed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("links.csv")).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_file_is_read_and_written_or_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
        fs::write(&a, "").unwrap();
        let roundabout = folder.path().join(".").join("a.csv");
        assert!(matches!(check(&[("--input", &a)], &[("--out", &roundabout)]), Err(Error::Twice { .. })));
        assert!(matches!(check(&[], &[("--out", &b), ("--pairs", &b)]), Err(Error::Twice { .. })));
        assert!(check(&[("--input", &a)], &[("--out", &b)]).is_ok());
        assert!(matches!(check(&[], &[("--out", folder.path())]), Err(Error::Folder(_))));
        let nowhere = folder.path().join("not").join("there.csv");
        assert!(matches!(check(&[], &[("--out", &nowhere)]), Err(Error::NoFolder(_))));
        // A device is written to and stays what it is, also under another name.
        check(&[], &[("--out", Path::new("/dev/null"))]).unwrap();
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_link_stays_and_leads_to_the_new_file() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, file) = (folder.path().join("links.csv"), other.path().join("file.csv"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        // What stands for standard output is appended to, whatever that is.
        assert!(matches!(
            Output::create(Path::new("/dev/stdout")).map(|output| output.file.into_inner().unwrap()),
            Ok(Place::Straight(_)) | Err(_)
        ));
    }
}
