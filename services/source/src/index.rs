//! The index file: which document belongs to which patient, and where it lies.
//!
//! A further column may name the older document that one replaces.
//!
//! A row that cannot be used is reported with its line and left out; the others count. No entry leads out of the
//! folder: not by its text, which is checked when the index is read, nor by links, which are checked at each access.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use csv::StringRecord;
use jiff::Timestamp;
use signpost_common::{
    hash::Sha256,
    id,
    id::RecordRef,
    rows::{Row, Rows},
};

use crate::{Error, domain::version};

/// Name of the index file.
pub const FILE: &str = "index.csv";

/// Columns of the index file, in their order.
pub const COLUMNS: [&str; 11] = [
    "local_id",
    "unique_id",
    "path",
    "mime_type",
    "type_code",
    "type_display",
    "class_code",
    "creation_time",
    "service_start_time",
    "labels",
    "author_institution",
];

/// Column that may follow them: the unique id of the older document that this one replaces.
pub const REPLACES: &str = "replaces";

const UNIQUE_ID_CHARS_MAX: usize = 256;
const MIME_CHARS_MAX: usize = 128;
const CODE_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 256;
const LABELS_MAX: usize = 32;
const READ_BYTES: usize = 64 << 10;

/// One document. `Debug` names it and tells nothing of the patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line of the index file, from 1.
    pub line: u64,
    /// The patient's identifier at this member.
    pub local_id: String,
    /// Unique id, as it is registered.
    pub unique_id: String,
    /// Where the document lies, relative to the folder.
    pub path: PathBuf,
    /// MIME type.
    pub mime_type: String,
    /// Type code (LOINC).
    pub type_code: String,
    /// Text of the type, for people.
    pub type_display: String,
    /// Class code (LOINC), empty when unknown.
    pub class_code: String,
    /// When the document was made.
    pub creation_time: Option<Timestamp>,
    /// When the service began.
    pub service_start_time: Option<Timestamp>,
    /// Confidentiality and sensitivity labels.
    pub labels: Vec<String>,
    /// Institution of the author, empty when unknown.
    pub author_institution: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, redacted)", self.unique_id)
    }
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the index file, from 1.
    pub line: u64,
    /// What is wrong with it, without its contents.
    pub reason: String,
    /// Unique id of its document, as far as it can be read.
    pub unique_id: Option<String>,
}

/// An index, as it was read.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    entries: Vec<Entry>,
    by_unique_id: HashMap<String, usize>,
    by_patient: HashMap<String, Vec<usize>>,
    replaces: HashMap<String, String>,
    /// Rows that were left out.
    pub problems: Vec<Problem>,
}

impl Index {
    /// Reads the index file of a folder.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let folder = folder.canonicalize().map_err(|error| Error::Folder(folder.to_owned(), error))?;
        let path = folder.join(FILE);
        let unreadable = |error: io::Error| Error::Index(path.clone(), error);
        let mut rows = Rows::new(File::open(&path).map_err(unreadable)?);
        let header = rows.next_row().map_err(unreadable)?.and_then(|row| row.cells.ok());
        let columns =
            header.and_then(|header| columns(&header)).ok_or_else(|| Error::Header(path.clone()))?;
        let mut index = Self {
            folder,
            entries: vec![],
            by_unique_id: HashMap::new(),
            by_patient: HashMap::new(),
            replaces: HashMap::new(),
            problems: vec![],
        };
        let mut read = vec![];
        while let Some(Row { line, cells, .. }) = rows.next_row().map_err(unreadable)? {
            let unique_id = cells.as_ref().ok().and_then(|cells| cells.get(1)).map(str::to_owned);
            match cells.map_err(str::to_owned).and_then(|cells| row(columns, line, &cells)) {
                Ok(row) => read.push(row),
                Err(reason) => index.problems.push(Problem { line, reason, unique_id }),
            }
        }
        let circles = circles(&read);
        for (entry, replaces) in read {
            let (line, unique_id) = (entry.line, entry.unique_id.clone());
            let added = match circles.contains(&unique_id) {
                true => Err("replaces: leads back to this row".to_owned()),
                false => index.add(entry, replaces),
            };
            if let Err(reason) = added {
                index.problems.push(Problem { line, reason, unique_id: Some(unique_id) });
            }
        }
        index.problems.sort_by_key(|problem| problem.line);
        Ok(index)
    }

    fn add(&mut self, entry: Entry, replaces: Option<String>) -> Result<(), String> {
        match self.resolve(&entry) {
            // A document may come later than its row.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("path: {error}"));
            }
            Ok(_) | Err(_) => {}
        }
        if self.by_unique_id.contains_key(&entry.unique_id) {
            return Err("unique_id: is there already".to_owned());
        }
        let place = self.entries.len();
        self.by_unique_id.insert(entry.unique_id.clone(), place);
        self.replaces.extend(replaces.map(|older| (entry.unique_id.clone(), older)));
        self.by_patient.entry(entry.local_id.clone()).or_default().push(place);
        self.entries.push(entry);
        Ok(())
    }

    /// Returns all entries, in the order of their rows.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Returns a patient's document.
    pub fn find(&self, local_id: &str, unique_id: &str) -> Option<&Entry> {
        let entry = &self.entries[*self.by_unique_id.get(unique_id)?];
        (entry.local_id == local_id).then_some(entry)
    }

    /// Returns the unique id of the older document that an entry's replaces.
    pub fn replaces(&self, entry: &Entry) -> Option<&str> {
        self.replaces.get(&entry.unique_id).map(String::as_str)
    }

    /// Returns the folder, links followed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns an entry by its place among [`Index::entries`].
    pub(crate) fn at(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// Returns the documents of a patient.
    pub fn of_patient(&self, local_id: &str) -> impl Iterator<Item = &Entry> {
        self.by_patient.get(local_id).into_iter().flatten().map(|place| &self.entries[*place])
    }

    /// Returns where an entry's document lies: a file that is there, inside the folder, links followed.
    pub fn resolve(&self, entry: &Entry) -> io::Result<PathBuf> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let path = self.folder.join(&entry.path).canonicalize()?;
        if !path.starts_with(&self.folder) {
            return Err(refused("leads out of the folder"));
        }
        // Not a pipe or a device, which would never end, and not what names every patient.
        if !fs::metadata(&path)?.is_file() || path == self.folder.join(FILE) {
            return Err(refused("is not a document"));
        }
        Ok(path)
    }
}

/// Returns how many columns a header has; `None` when it is another's.
fn columns(header: &StringRecord) -> Option<usize> {
    let mut further = header.iter().skip(COLUMNS.len());
    let known = header.iter().take(COLUMNS.len()).eq(COLUMNS);
    (known && matches!((further.next(), further.next()), (None | Some(REPLACES), None)))
        .then_some(header.len())
}

/// Reads a row: its document, and the unique id of the older one that it replaces.
fn row(columns: usize, line: u64, row: &StringRecord) -> Result<(Entry, Option<String>), String> {
    if row.len() != columns {
        return Err(format!("has {} columns and not {columns}", row.len()));
    }
    let entry = entry(line, row)?;
    let replaces = optional(REPLACES, row.get(COLUMNS.len()).unwrap_or_default(), UNIQUE_ID_CHARS_MAX)?;
    for (column, unique_id) in [("unique_id", &entry.unique_id), (REPLACES, &replaces)] {
        if version::is_reserved(unique_id) {
            return Err(format!("{column}: must not end in @ and a number, as versions do"));
        }
    }
    Ok((entry, Some(replaces).filter(|older| !older.is_empty())))
}

/// Returns the unique ids of rows that replace themselves, in one step or in many.
fn circles(rows: &[(Entry, Option<String>)]) -> HashSet<String> {
    let next: HashMap<&str, &str> = rows
        .iter()
        .filter_map(|(entry, replaces)| Some((entry.unique_id.as_str(), replaces.as_deref()?)))
        .collect();
    let mut walks: HashMap<&str, usize> = HashMap::new();
    let mut found = HashSet::new();
    for (walk, start) in next.keys().enumerate() {
        let mut at = *start;
        while !walks.contains_key(at)
            && let Some(older) = next.get(at)
        {
            walks.insert(at, walk);
            at = older;
        }
        // Where this walk met itself, there is a circle.
        if walks.get(at) == Some(&walk) {
            while found.insert(at.to_owned()) {
                at = next[at];
            }
        }
    }
    found
}

fn entry(line: u64, row: &StringRecord) -> Result<Entry, String> {
    let cell = |column: &str| {
        let place = COLUMNS.iter().position(|name| *name == column);
        place.and_then(|place| row.get(place)).unwrap_or_default()
    };
    let required = |column: &str, chars_max| match cell(column) {
        "" => Err(format!("{column}: must not be empty")),
        _ => optional(column, cell(column), chars_max),
    };
    let local_id = cell("local_id");
    checked_local_id(local_id).map_err(|error| format!("local_id: {error}"))?;
    let labels: Vec<_> = cell("labels").split('|').filter(|label| !label.is_empty()).collect();
    if labels.len() > LABELS_MAX {
        return Err(format!("labels: must be at most {LABELS_MAX}"));
    }
    Ok(Entry {
        line,
        local_id: local_id.to_owned(),
        unique_id: required("unique_id", UNIQUE_ID_CHARS_MAX)?,
        path: relative(cell("path")).ok_or("path: must be relative and stay in the folder")?,
        mime_type: mime_type(cell("mime_type"))?,
        type_code: required("type_code", CODE_CHARS_MAX)?,
        type_display: optional("type_display", cell("type_display"), TEXT_CHARS_MAX)?,
        class_code: optional("class_code", cell("class_code"), CODE_CHARS_MAX)?,
        creation_time: time("creation_time", cell("creation_time"))?,
        service_start_time: time("service_start_time", cell("service_start_time"))?,
        labels: labels
            .into_iter()
            .map(|label| optional("labels", label, CODE_CHARS_MAX))
            .collect::<Result<_, _>>()?,
        author_institution: optional("author_institution", cell("author_institution"), TEXT_CHARS_MAX)?,
    })
}

fn optional(column: &str, text: &str, chars_max: usize) -> Result<String, String> {
    if text.chars().count() > chars_max
        || text.chars().any(signpost_common::text::is_unfit)
        || text.trim() != text
    {
        let wanted = format!("must be at most {chars_max} printable characters, without space at its ends");
        return Err(format!("{column}: {wanted}"));
    }
    Ok(text.to_owned())
}

/// Checks a local identifier by the exchange's rule; which member it belongs to does not matter to it.
fn checked_local_id(local_id: &str) -> Result<(), id::Error> {
    RecordRef::new("any".parse()?, local_id).map(drop)
}

fn mime_type(text: &str) -> Result<String, String> {
    let word =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let well_formed = essence.trim_end().split_once('/').is_some_and(|(a, b)| word(a) && word(b));
    let printable = parameters.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if !well_formed || !printable || text.len() > MIME_CHARS_MAX {
        return Err("mime_type: must be of the form text/plain".to_owned());
    }
    Ok(text.to_owned())
}

fn time(column: &str, text: &str) -> Result<Option<Timestamp>, String> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{column}: must be a time (RFC 3339) or empty")),
    }
}

/// Reads a path that has names only: no root, no `..`.
fn relative(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let names_only = path.components().all(|part| matches!(part, Component::Normal(_)));
    (!text.is_empty() && !text.contains('\0') && names_only).then(|| path.to_owned())
}

/// Returns the size and the SHA-256 of a file, without holding it in memory.
pub fn hash_file(path: &Path) -> io::Result<(u64, [u8; 32])> {
    hash(File::open(path)?, || false)
}

/// Returns the size and the SHA-256 of what is read, unless told to stop before the end.
pub(crate) fn hash(mut from: impl Read, stopped: impl Fn() -> bool) -> io::Result<(u64, [u8; 32])> {
    let mut hash = Sha256::default();
    let mut size_bytes = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match from.read(&mut buffer)? {
            0 => return Ok((size_bytes, hash.finish())),
            read => {
                hash.update(&buffer[..read]);
                size_bytes += read as u64;
            }
        }
    }
}
