//! Reading people from CSV files into a corpus, line by line.
//!
//! A row that cannot be read is reported with its line and left out; a cell that cannot be read is reported and counts
//! as missing. Nothing else is lost. Memory holds the comparison form of the records and their ids, never the file.

use std::{collections::BTreeMap, io::Read, str::FromStr};

use csv::StringRecord;
use indexmap::IndexSet;
use rayon::prelude::*;
use signpost_common::rows::{Row, Rows};
use signpost_linkage::{
    Address, Date, Identifier, Name, Packed, Record, Region, Sex, bulk::Corpus, model::Placeholders, prepare,
};

/// Rows that are prepared at once.
const BATCH: usize = 16_384;

/// Most problems that are kept; further ones are counted.
const PROBLEMS_MAX: usize = 1000;

/// A column of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Id of the record; needed.
    RecordId,
    /// Source that keeps the record.
    Source,
    /// The source's number of the patient.
    Mrn,
    /// When it was recorded.
    RecordedOn,
    /// Given names.
    Given,
    /// Further given names.
    Middle,
    /// Family names, the current one first.
    Family,
    /// Generational suffix.
    Suffix,
    /// Birth date, `YYYY-MM-DD` or `YYYYMMDD`.
    BirthDate,
    /// Sex.
    Sex,
    /// House number, street and unit.
    Address,
    /// City.
    City,
    /// State.
    State,
    /// Postcode.
    Postcode,
    /// Phone numbers.
    Phone,
    /// E-mail addresses.
    Email,
    /// National identifiers.
    NationalId,
}

/// Columns by name, in the order in which they are documented.
pub const COLUMNS: [(&str, Column); 17] = [
    ("record_id", Column::RecordId),
    ("source", Column::Source),
    ("mrn", Column::Mrn),
    ("recorded_on", Column::RecordedOn),
    ("given", Column::Given),
    ("middle", Column::Middle),
    ("family", Column::Family),
    ("suffix", Column::Suffix),
    ("birth_date", Column::BirthDate),
    ("sex", Column::Sex),
    ("address", Column::Address),
    ("city", Column::City),
    ("state", Column::State),
    ("postcode", Column::Postcode),
    ("phone", Column::Phone),
    ("email", Column::Email),
    ("national_id", Column::NationalId),
];

impl Column {
    /// Returns the column's name.
    pub fn name(self) -> &'static str {
        COLUMNS.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

/// Says that a column of the file stands for one of ours, as `given=first_name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Our column.
    pub column: Column,
    /// The file's name of it.
    pub from: String,
}

impl FromStr for Renamed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (to, from) = text.split_once('=').ok_or("must be of the form given=first_name")?;
        let found = COLUMNS.iter().find(|(name, _)| *name == to.trim());
        let names = || COLUMNS.map(|(name, _)| name).join(", ");
        let (_, column) = found.ok_or_else(|| format!("{to:?} is no column; columns are {}", names()))?;
        Ok(Self { column: *column, from: from.trim().to_owned() })
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot be read")]
    Read(#[from] std::io::Error),
    /// It has no header.
    #[error("is empty; the first line names the columns")]
    Empty,
    /// The header is not text.
    #[error("the header {0}")]
    Header(&'static str),
    /// It has no ids.
    #[error("has no column {0}; name one with --map {0}=COLUMN")]
    Missing(&'static str),
    /// A column that was named is not there.
    #[error("has no column {0:?} to take as {1}")]
    Unmapped(String, &'static str),
    /// A column stands twice.
    #[error("has the column {0} twice")]
    Twice(&'static str),
}

/// Something in a file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong; never the value.
    pub reason: String,
    /// True when the whole row was left out.
    pub row_lost: bool,
}

/// What reading found.
#[derive(Debug, Default)]
pub struct People {
    /// The records.
    pub corpus: Corpus,
    /// Their ids, in the same order.
    pub ids: IndexSet<Box<str>>,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// Rows that were left out.
    pub rows_lost: u64,
    /// Cells that count as missing.
    pub cells_lost: u64,
    /// Columns that were not used, with the file.
    pub columns_ignored: Vec<(String, String)>,
}

/// How files are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns with other names.
    pub renamed: Vec<Renamed>,
    /// Country of phone numbers that name none.
    pub region: Region,
}

impl People {
    /// Adds the records of a file.
    ///
    /// # Errors
    /// When the file cannot be read or its header does not name the ids. What was added before stays.
    pub fn read(&mut self, name: &str, file: impl Read, options: &Options) -> Result<(), Error> {
        let mut rows = Rows::new(file);
        let header = rows.next_row()?.ok_or(Error::Empty)?.cells.map_err(Error::Header)?;
        let columns = self.columns(name, &header, &options.renamed)?;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let row = rows.next_row()?;
            let ended = row.is_none();
            batch.extend(row);
            if batch.len() == BATCH || ended {
                self.take_in(name, &batch, header.len(), &columns, options.region);
                batch.clear();
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Finds which cell holds what. A column may be made of several, which are joined by a space.
    fn columns(&mut self, name: &str, header: &StringRecord, renamed: &[Renamed]) -> Result<Columns, Error> {
        let mut columns = Columns::new();
        for Renamed { column, from } in renamed {
            let place = header.iter().position(|cell| cell == from);
            let place = place.ok_or_else(|| Error::Unmapped(from.clone(), column.name()))?;
            columns.entry(*column).or_default().push(place);
        }
        for (place, cell) in header.iter().enumerate() {
            let own = COLUMNS.iter().find(|(own, _)| *own == cell).map(|(_, column)| *column);
            let taken = renamed.iter().any(|renamed| renamed.from == cell);
            match own.filter(|column| !taken && !renamed.iter().any(|renamed| renamed.column == *column)) {
                Some(column) if columns.contains_key(&column) => return Err(Error::Twice(column.name())),
                Some(column) => columns.entry(column).or_default().push(place),
                None if taken => {}
                None => self.columns_ignored.push((name.to_owned(), cell.to_owned())),
            }
        }
        if columns.contains_key(&Column::RecordId) { Ok(columns) } else { Err(Error::Missing("record_id")) }
    }

    fn take_in(&mut self, name: &str, rows: &[Row], width: usize, columns: &Columns, region: Region) {
        let read: Vec<_> = rows.par_iter().map(|row| record(row, width, columns, region)).collect();
        for (row, read) in rows.iter().zip(read) {
            let mut report = |reason: String, row_lost| {
                *(if row_lost { &mut self.rows_lost } else { &mut self.cells_lost }) += 1;
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(Problem { file: name.to_owned(), line: row.line, reason, row_lost });
                }
            };
            match read {
                Err(reason) => report(reason, true),
                Ok((id, _, _)) if self.ids.contains(&id) => {
                    report("the record_id stands in an earlier row".into(), true)
                }
                Ok((id, packed, cells)) => {
                    cells.into_iter().for_each(|reason| report(reason, false));
                    self.ids.insert(id);
                    self.corpus.push(packed.view());
                }
            }
        }
    }
}

type Columns = BTreeMap<Column, Vec<usize>>;

/// Reads a row: the id, the record, and what is wrong with single cells.
fn record(
    row: &Row,
    width: usize,
    columns: &Columns,
    region: Region,
) -> Result<(Box<str>, Packed, Vec<String>), String> {
    let cells = row.cells.as_ref().map_err(|reason| (*reason).to_owned())?;
    if cells.len() != width {
        return Err(format!("has {} cells where the header has {width}", cells.len()));
    }
    let text = |column: Column| -> String {
        let places = columns.get(&column).map(Vec::as_slice).unwrap_or_default();
        let parts: Vec<&str> =
            places.iter().filter_map(|place| cells.get(*place)).filter(|cell| !cell.is_empty()).collect();
        parts.join(" ")
    };
    let id = text(Column::RecordId);
    if id.is_empty() {
        return Err("the record_id is empty".into());
    }
    let mut problems = vec![];
    let mut date = |column: Column, text: &str| {
        let date = parse_date(text);
        if date.is_none() {
            problems.push(format!("{} is no date of the form YYYY-MM-DD", column.name()));
        }
        date
    };
    let recorded_on = Some(text(Column::RecordedOn)).filter(|text| !text.is_empty());
    let recorded_on = recorded_on.and_then(|text| date(Column::RecordedOn, text.get(..10).unwrap_or(&text)));
    let birth_dates = values(&text(Column::BirthDate))
        .into_iter()
        .filter_map(|text| date(Column::BirthDate, &text))
        .collect();
    let sex = sex(&text(Column::Sex)).unwrap_or_else(|reason| {
        problems.push(reason);
        None
    });
    let (source, mrn) = (text(Column::Source), text(Column::Mrn));
    let of = |system: &str, text: String| -> Vec<Identifier> {
        values(&text).into_iter().map(|value| Identifier { system: system.to_owned(), value }).collect()
    };
    let record = Record {
        names: names(&text, recorded_on),
        birth_dates,
        sex,
        addresses: addresses(&text, recorded_on),
        phones: values(&text(Column::Phone)),
        emails: values(&text(Column::Email)),
        identifiers: of("national_id", text(Column::NationalId)),
        record_numbers: of(&source, mrn),
        ..Record::default()
    };
    Ok((id.into(), prepare(&record, region), problems))
}

/// Splits a cell that holds several values.
fn values(cell: &str) -> Vec<String> {
    cell.split('|').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

fn names(text: &dyn Fn(Column) -> String, recorded_on: Option<Date>) -> Vec<Name> {
    let [given, middle, family, suffix] =
        [Column::Given, Column::Middle, Column::Family, Column::Suffix].map(|column| values(&text(column)));
    let count = given.len().max(middle.len()).max(family.len()).max(suffix.len());
    let at = |list: &[String], i: usize| list.get(i).cloned().unwrap_or_default();
    let name = |i| Name {
        given: vec![at(&given, i), at(&middle, i)],
        family: at(&family, i),
        suffix: at(&suffix, i),
        recorded_on,
        ..Name::default()
    };
    (0..count).map(name).collect()
}

fn addresses(text: &dyn Fn(Column) -> String, recorded_on: Option<Date>) -> Vec<Address> {
    let [line, city, state, postcode] =
        [Column::Address, Column::City, Column::State, Column::Postcode].map(|column| values(&text(column)));
    let count = line.len().max(city.len()).max(state.len()).max(postcode.len());
    let at = |list: &[String], i: usize| list.get(i).cloned().unwrap_or_default();
    let address = |i| Address {
        line: at(&line, i),
        city: at(&city, i),
        state: at(&state, i),
        postcode: at(&postcode, i),
        recorded_on,
    };
    (0..count).map(address).collect()
}

fn sex(text: &str) -> Result<Option<Sex>, String> {
    match text.to_ascii_lowercase().as_str() {
        "f" | "female" | "woman" => Ok(Some(Sex::Female)),
        "m" | "male" | "man" => Ok(Some(Sex::Male)),
        "" | "u" | "unknown" | "unk" | "o" | "other" | "x" | "n" | "nonbinary" | "undifferentiated"
        | "ambiguous" => Ok(None),
        _ => Err("sex is not female, male, other or unknown".into()),
    }
}

/// Reads `YYYY-MM-DD` or `YYYYMMDD`, also of a day that never was.
fn parse_date(text: &str) -> Option<Date> {
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Date::parse(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
    }
    Date::parse(text)
}

/// Learns the values that too many unlike people share, and takes them out of the corpus.
pub fn without_placeholders(corpus: Corpus) -> (Corpus, Placeholders) {
    let placeholders = Placeholders::find(&corpus);
    (corpus.map(|record| placeholders.strip(record)), placeholders)
}
