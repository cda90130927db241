//! Reading people from CSV files into a corpus, line by line.
//!
//! A row that cannot be read is reported with its line and left out; a cell that cannot be read is reported and counts
//! as missing. Nothing else is lost. Memory holds the comparison form of the records and their ids, never the file: one
//! thread reads rows ahead, a few batches at most, while the others prepare those before.

use std::{
    io::Read,
    sync::{Arc, mpsc},
    thread,
};

use indexmap::IndexSet;
use rayon::prelude::*;
use rlibphonenumber::PHONE_NUMBER_UTIL;
use rustc_hash::FxBuildHasher;
use signpost_common::rows::{Row, Rows};
use signpost_linkage::{Region, bulk::Corpus, model::Placeholders};

use crate::{
    columns::{self, Header, Renamed},
    problems::{Loss, Problem, Problems},
    row::{self, Person},
};

/// Rows that are prepared at once.
const BATCH: usize = 8192;

/// Batches that may be read ahead.
const AHEAD_MAX: usize = 2;

/// Why files cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("reading {0}")]
    Read(Arc<str>, #[source] std::io::Error),
    /// It has no header.
    #[error("{0} is empty; its first line must name the columns")]
    Empty(Arc<str>),
    /// The header is not text.
    #[error("{0}: the header {1}; write the file as UTF-8")]
    NotText(Arc<str>, &'static str),
    /// The header is of no use.
    #[error("{0}: {1}")]
    Header(Arc<str>, columns::Error),
    /// A column that was named is in no file.
    #[error("no file has the column {0:?}, which --map takes as {1}")]
    Unmapped(String, &'static str),
    /// A problem could not be written down.
    #[error("writing the rejects")]
    Rejects(#[source] std::io::Error),
}

/// How files are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns with other names.
    pub renamed: Vec<Renamed>,
    /// Country of phone numbers that name none.
    pub region: Region,
}

/// A file of people, of which the header has been read.
pub struct Input<R: Read> {
    /// The name by which problems are reported.
    pub name: Arc<str>,
    /// Its columns.
    pub header: Header,
    rows: Rows<R>,
}

impl<R: Read> Input<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the file cannot be read or its header does not name the ids.
    pub fn new(name: &str, file: R, options: &Options) -> Result<Self, Error> {
        let name: Arc<str> = name.into();
        let mut rows = Rows::new(file);
        let first = rows.next_row().map_err(|error| Error::Read(name.clone(), error))?;
        let cells = first.ok_or_else(|| Error::Empty(name.clone()))?.cells;
        let cells = cells.map_err(|reason| Error::NotText(name.clone(), reason))?;
        let header = Header::new(&cells, &options.renamed);
        let header = header.map_err(|error| Error::Header(name.clone(), error))?;
        Ok(Self { name, header, rows })
    }
}

/// Reads a region for phone numbers, as `US`.
///
/// # Errors
/// When there is no such region with phone numbers.
pub fn parse_region(text: &str) -> Result<Region, String> {
    let region = Region::try_from(text.to_ascii_uppercase().as_str()).ok();
    region
        .filter(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some())
        .ok_or_else(|| "must be the two letters of a country (ISO 3166), as US, MX or CA".to_owned())
}

/// What reading found.
#[derive(Debug, Default)]
pub struct People {
    /// The records, in the order of their ids.
    pub corpus: Corpus,
    /// Their ids.
    pub ids: Ids,
}

/// Ids of records, by the number of the record.
pub type Ids = IndexSet<Box<str>, FxBuildHasher>;

/// Reads files, one after another, saying how many bytes are done. The records are in the order of their ids.
///
/// # Errors
/// When a file cannot be read, or no file has a column that was renamed.
pub fn read<R: Read + Send>(
    inputs: Vec<Input<R>>,
    options: &Options,
    problems: &mut Problems,
    progress: &dyn Fn(u64),
) -> Result<People, Error> {
    for (place, Renamed { column, from }) in options.renamed.iter().enumerate() {
        if !inputs.iter().any(|input| input.header.renamed[place]) {
            return Err(Error::Unmapped(from.clone(), column.name()));
        }
    }
    let mut people = People::default();
    let mut bytes_before = 0;
    for Input { name, header, mut rows } in inputs {
        let mut bytes = 0;
        let (sender, receiver) = mpsc::sync_channel::<Result<Vec<Row>, std::io::Error>>(AHEAD_MAX);
        thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody listens any more when something else went wrong.
                while let Some(batch) = next_batch(&mut rows).transpose()
                    && sender.send(batch).is_ok()
                {}
            });
            for batch in receiver {
                let batch = batch.map_err(|error| Error::Read(name.clone(), error))?;
                bytes = batch.last().map_or(bytes, |row| row.end);
                people.take_in(&name, batch, &header, options.region, problems).map_err(Error::Rejects)?;
                progress(bytes_before + bytes);
            }
            Ok(())
        })?;
        bytes_before += bytes;
    }
    Ok(people.sorted())
}

/// Reads some rows; `None` at the end.
fn next_batch<R: Read>(rows: &mut Rows<R>) -> std::io::Result<Option<Vec<Row>>> {
    let mut batch = Vec::with_capacity(BATCH);
    while batch.len() < BATCH
        && let Some(row) = rows.next_row()?
    {
        batch.push(row);
    }
    Ok(Some(batch).filter(|batch| !batch.is_empty()))
}

impl People {
    /// Puts the records in the order of their ids, so that nothing depends on the order of the rows.
    fn sorted(mut self) -> Self {
        if self.ids.iter().is_sorted() {
            return self;
        }
        let mut order: Vec<u32> = (0..self.corpus.len() as u32).collect();
        order.par_sort_unstable_by_key(|record| &*self.ids[*record as usize]);
        let mut corpus = Corpus::default();
        order.into_iter().for_each(|record| corpus.push(self.corpus.view(record)));
        self.ids.sort_unstable();
        Self { corpus, ids: self.ids }
    }

    fn take_in(
        &mut self,
        file: &Arc<str>,
        rows: Vec<Row>,
        header: &Header,
        region: Region,
        problems: &mut Problems,
    ) -> std::io::Result<()> {
        let read = |Row { line, end: _, cells }: Row| {
            let person = cells.map_err(str::to_owned).and_then(|cells| row::read(&cells, header, region));
            (line, person)
        };
        let read: Vec<(u64, Result<Person, String>)> = rows.into_par_iter().map(read).collect();
        for (line, person) in read {
            let mut report = |reason, loss| problems.add(Problem { file: file.clone(), line, reason, loss });
            match person {
                Err(reason) => report(reason, Loss::Row)?,
                Ok(Person { id, record, problems }) => {
                    if self.ids.insert(id) {
                        self.corpus.push(record.view());
                        problems.into_iter().try_for_each(|reason| report(reason, Loss::Cell))?;
                    } else {
                        report("the record_id stands in an earlier row".into(), Loss::Row)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Learns the values that too many unlike people share, adds those that are known, and takes all of them out of the
/// corpus.
pub fn without_placeholders(corpus: Corpus, known: Option<&Placeholders>) -> (Corpus, Placeholders) {
    let mut placeholders = Placeholders::find(&corpus);
    if let Some(Placeholders { phones, emails, identifiers, addresses, birth_dates }) = known {
        placeholders.phones.extend(phones);
        placeholders.emails.extend(emails);
        placeholders.identifiers.extend(identifiers);
        placeholders.addresses.extend(addresses);
        placeholders.birth_dates.extend(birth_dates);
    }
    (corpus.map(|record| placeholders.strip(record)), placeholders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_texts(texts: &[(&str, &[u8])], map: &[&str]) -> Result<(People, Problems), Error> {
        let renamed = map.iter().map(|text| text.parse().unwrap()).collect();
        let options = Options { renamed, region: Region::US };
        let mut problems = Problems::default();
        let inputs: Result<_, _> =
            texts.iter().map(|(name, text)| Input::new(name, *text, &options)).collect();
        let people = read(inputs?, &options, &mut problems, &|_| {})?;
        Ok((people, problems))
    }

    fn ids(people: &People) -> Vec<&str> {
        people.ids.iter().map(|id| &**id).collect()
    }

    #[test]
    fn a_row_that_cannot_be_read_is_left_out_and_named_by_its_line() {
        let text = b"record_id,given,birth_date\n1,Ann,1984-07-19\n2,Bea\n,Eve,\n\n3,\xff,\n1,Ann,\n\
                     4,\"Ann\nMarie\",no date\n5,Joe,\n";
        let (people, problems) = read_texts(&[("a.csv", text)], &[]).unwrap();
        assert_eq!(ids(&people), ["1", "4", "5"]);
        assert_eq!(people.corpus.len(), 3);
        let told: Vec<_> = problems.first.iter().map(|p| (p.line, p.loss, p.reason.as_str())).collect();
        let expected = [
            (3, Loss::Row, "has 2 cells where the header has 3"),
            (4, Loss::Row, "the record_id is empty"),
            (6, Loss::Row, "is not UTF-8"),
            (7, Loss::Row, "the record_id stands in an earlier row"),
            (8, Loss::Cell, "birth_date is no date of the form YYYY-MM-DD"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn two_files_may_have_different_columns() {
        let one: &[u8] = b"record_id,given,shoe_size\n1,Ann,38\n";
        let other: &[u8] = b"first_name,family,record_id\nBea,Doe,2\nAnn,Doe,1\nEve,Doe,3\n";
        let map = ["given=first_name"];
        let (people, problems) = read_texts(&[("a.csv", one), ("b.csv", other)], &map).unwrap();
        assert_eq!(ids(&people), ["1", "2", "3"]);
        let known =
            |record| (people.corpus.view(record).has_given(), people.corpus.view(record).has_family());
        assert_eq!([known(0), known(1), known(2)], [(true, false), (true, true), (true, true)]);
        // An id names one record in all files.
        let [Problem { file, line: 3, loss: Loss::Row, .. }] = &problems.first[..] else {
            panic!("{:?}", problems.first);
        };
        assert_eq!(&**file, "b.csv");
    }

    #[test]
    fn files_that_cannot_be_read_say_what_to_do() {
        let error = |texts: &[(&str, &[u8])], map: &[&str]| read_texts(texts, map).unwrap_err().to_string();
        assert_eq!(error(&[("a.csv", b"")], &[]), "a.csv is empty; its first line must name the columns");
        let missing = error(&[("a.csv", b"id\n1\n")], &[]);
        assert!(missing.ends_with("say which one it is with --map record_id=COLUMN"), "{missing}");
        let text = error(&[("a.csv", b"record_id,\xff\n")], &[]);
        assert_eq!(text, "a.csv: the header is not UTF-8; write the file as UTF-8");
        let unmapped = error(&[("a.csv", b"record_id\n1\n")], &["given=first"]);
        assert_eq!(unmapped, "no file has the column \"first\", which --map takes as given");
    }

    #[test]
    fn records_of_many_batches_are_in_the_order_of_their_ids() {
        let rows = (0..BATCH * 3 + 5).rev().map(|row| format!("{row:09},{row}\n"));
        let text: String = std::iter::once("record_id,family\n".to_owned()).chain(rows).collect();
        let options = Options { renamed: vec![], region: Region::US };
        let input = Input::new("a.csv", text.as_bytes(), &options).unwrap();
        let done = std::cell::Cell::new(0);
        let people = read(vec![input], &options, &mut Problems::default(), &|bytes| done.set(bytes)).unwrap();
        assert!(people.ids.iter().enumerate().all(|(row, id)| **id == format!("{row:09}")));
        assert_eq!((people.ids.len(), done.get()), (BATCH * 3 + 5, text.len() as u64));
        let record = people.corpus.view(BATCH as u32 * 2);
        let alone = row::read(
            &["x", &(BATCH * 2).to_string()].iter().collect(),
            &Header::new(&["record_id", "family"].iter().collect(), &[]).unwrap(),
            Region::US,
        );
        assert_eq!(record.as_bytes(), alone.unwrap().record.as_bytes());
    }

    #[test]
    fn a_region_is_one_with_phone_numbers() {
        assert_eq!(parse_region("us"), Ok(Region::US));
        for text in ["", "USA", "ZZ", "1"] {
            assert!(parse_region(text).unwrap_err().contains("two letters of a country"), "{text}");
        }
    }
}
