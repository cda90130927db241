//! One row of a file of people, read into the comparison form.

use std::borrow::Cow;

use csv::StringRecord;
use signpost_linkage::{
    Address, Date, Identifier, Name, Packed, Record, Region, Sex, normalize::VALUES_MAX, prepare,
};

use crate::columns::{Column, Header};

/// What national identifiers are called.
const NATIONAL_ID_SYSTEM: &str = "national_id";

/// Lines from which on a row that is malformed is taken for one with a quote that is not closed.
const LINES_SUSPECT: usize = 3;

/// A row that could be read.
#[derive(Debug)]
pub(crate) struct Person {
    /// Id of the record.
    pub(crate) id: Box<str>,
    /// The record.
    pub(crate) record: Packed,
    /// What is wrong with single cells, which count as missing.
    pub(crate) problems: Vec<String>,
}

/// Reads a row, or says why it is none.
pub(crate) fn read(cells: &StringRecord, header: &Header, region: Region) -> Result<Person, String> {
    if cells.len() != header.width {
        return Err(misfit(cells, header.width));
    }
    let row = Row { cells, header };
    let id: Box<str> = row.text(Column::RecordId).into();
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
    let recorded_on = row.text(Column::RecordedOn);
    let recorded_on = Some(recorded_on.get(..10).unwrap_or(&recorded_on)).filter(|text| !text.is_empty());
    let recorded_on = recorded_on.and_then(|text| date(Column::RecordedOn, text));
    let birth_dates = row.values(Column::BirthDate);
    let birth_dates = birth_dates.iter().filter_map(|text| date(Column::BirthDate, text)).collect();
    let sex = sex(&row.text(Column::Sex)).unwrap_or_else(|reason| {
        problems.push(reason);
        None
    });
    let source = row.text(Column::Source);
    let of = |system: &str, values: Vec<String>| -> Vec<Identifier> {
        values.into_iter().map(|value| Identifier { system: system.to_owned(), value }).collect()
    };
    let record = Record {
        names: names(row, recorded_on),
        birth_dates,
        sex,
        addresses: addresses(row, recorded_on),
        phones: row.values(Column::Phone),
        emails: row.values(Column::Email),
        identifiers: of(NATIONAL_ID_SYSTEM, row.values(Column::NationalId)),
        record_numbers: of(&source, row.values(Column::Mrn)),
        ..Record::default()
    };
    Ok(Person { id, record: prepare(&record, region), problems })
}

/// Says how a row does not fit the header.
fn misfit(cells: &StringRecord, width: usize) -> String {
    let lines = 1 + cells.as_slice().bytes().filter(|byte| *byte == b'\n').count();
    let found = format!("has {} cells where the header has {width}", cells.len());
    match lines {
        ..LINES_SUSPECT => found,
        _ => format!("{found}, and goes on over {lines} lines: close the quote that it opens"),
    }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    cells: &'a StringRecord,
    header: &'a Header,
}

impl<'a> Row<'a> {
    /// Returns the text of a column that holds one value.
    fn text(self, column: Column) -> Cow<'a, str> {
        let mut parts = self.parts(column);
        let mut text = Cow::Borrowed(parts.next().unwrap_or_default());
        parts.for_each(|part| append(text.to_mut(), part));
        text
    }

    /// Returns the values of a column, without empty ones.
    fn values(self, column: Column) -> Vec<String> {
        let values = (0..self.count(&[column])).map(|place| self.value(column, place));
        values.filter(|value| !value.is_empty()).collect()
    }

    /// Returns one value of a column, empty where it has fewer; those of one place in several columns belong together.
    fn value(self, column: Column, place: usize) -> String {
        let mut value = String::new();
        let parts = self.parts(column).filter_map(|cell| cell.split('|').nth(place));
        parts.for_each(|part| append(&mut value, part.trim()));
        value
    }

    /// Returns how many values the fullest of some columns has.
    fn count(self, columns: &[Column]) -> usize {
        let cells = columns.iter().flat_map(|column| self.parts(*column));
        let counts = cells.map(|cell| 1 + cell.bytes().filter(|byte| *byte == b'|').count());
        counts.max().unwrap_or(0).min(VALUES_MAX)
    }

    /// Returns the cells that make a column, without empty ones.
    fn parts(self, column: Column) -> impl Iterator<Item = &'a str> {
        let cells = self.header.of(column).iter().filter_map(move |place| self.cells.get(*place));
        cells.filter(|cell| !cell.is_empty())
    }
}

/// Adds a part of a value, after a space.
fn append(text: &mut String, part: &str) {
    if !text.is_empty() && !part.is_empty() {
        text.push(' ');
    }
    text.push_str(part);
}

fn names(row: Row<'_>, recorded_on: Option<Date>) -> Vec<Name> {
    let count = row.count(&[Column::Given, Column::Middle, Column::Family, Column::Suffix]);
    let name = |place| Name {
        given: vec![row.value(Column::Given, place), row.value(Column::Middle, place)],
        family: row.value(Column::Family, place),
        suffix: row.value(Column::Suffix, place),
        recorded_on,
        ..Name::default()
    };
    (0..count).map(name).collect()
}

fn addresses(row: Row<'_>, recorded_on: Option<Date>) -> Vec<Address> {
    let count = row.count(&[Column::Address, Column::City, Column::State, Column::Postcode]);
    let address = |place| Address {
        line: row.value(Column::Address, place),
        city: row.value(Column::City, place),
        state: row.value(Column::State, place),
        postcode: row.value(Column::Postcode, place),
        recorded_on,
    };
    (0..count).map(address).collect()
}

/// Words for a sex that is not known, or neither of the two.
const NO_SEX: [&str; 11] =
    ["", "u", "unknown", "unk", "o", "other", "x", "n", "nonbinary", "undifferentiated", "ambiguous"];

fn sex(text: &str) -> Result<Option<Sex>, String> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is_one_of(&["f", "female", "woman"]) => Ok(Some(Sex::Female)),
        () if is_one_of(&["m", "male", "man"]) => Ok(Some(Sex::Male)),
        () if is_one_of(&NO_SEX) => Ok(None),
        () => Err("sex is not female, male, other or unknown".into()),
    }
}

/// Reads `YYYY-MM-DD` or `YYYYMMDD`, also of a day that never was.
fn parse_date(text: &str) -> Option<Date> {
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Date::parse(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
    }
    Date::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Renamed;

    const HEADER: [&str; 12] = [
        "record_id",
        "given",
        "middle",
        "family",
        "birth_date",
        "sex",
        "recorded_on",
        "number",
        "street",
        "city",
        "phone",
        "email",
    ];

    fn with<T>(cells: &[&str], check: impl FnOnce(Row<'_>) -> T) -> T {
        let renamed = ["address=number", "address=street"].map(|text| text.parse::<Renamed>().unwrap());
        let header = Header::new(&HEADER.iter().collect(), &renamed).unwrap();
        let cells = cells.iter().collect();
        check(Row { cells: &cells, header: &header })
    }

    fn read_row(cells: &[&str]) -> Result<Person, String> {
        with(cells, |row| read(row.cells, row.header, Region::US))
    }

    #[test]
    fn several_values_in_one_cell_keep_their_places() {
        let cells =
            ["1", "Ann||Bea", "", "Doe|Roe|Poe", "", "", "", "1|2", "Elm St|Oak St", "Boston", "", ""];
        with(&cells, |row| {
            let name = |given: &str, family: &str| Name {
                given: vec![given.into(), String::new()],
                family: family.into(),
                ..Name::default()
            };
            assert!(names(row, None) == [name("Ann", "Doe"), name("", "Roe"), name("Bea", "Poe")]);
            let places: Vec<_> =
                addresses(row, None).into_iter().map(|place| (place.line, place.city)).collect();
            let place = |line: &str, city: &str| (line.to_owned(), city.to_owned());
            assert_eq!(places, [place("1 Elm St", "Boston"), place("2 Oak St", "")]);
        });
        with(&["1", "", "", "", "", "", "", "", "", "", " 1 | |2", "a"], |row| {
            assert_eq!(row.values(Column::Phone), ["1", "2"]);
            assert_eq!(row.values(Column::Email), ["a"]);
        });
    }

    #[test]
    fn a_cell_that_cannot_be_read_counts_as_missing() {
        let read = |date: &str, sex: &str, on: &str| {
            let person = read_row(&["1", "Ann", "", "Doe", date, sex, on, "", "", "", "", ""]).unwrap();
            (person.record.view().has_birth_date(), person.problems)
        };
        assert_eq!(read("1984-07-19", "F", "2020-01-01T10:00:00Z"), (true, vec![]));
        assert_eq!(read("19840719", "male", ""), (true, vec![]));
        let problems = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let no_date = "birth_date is no date of the form YYYY-MM-DD";
        assert_eq!(read("19.7.1984", "UNK", ""), (false, problems(&[no_date])));
        let no_sex = "sex is not female, male, other or unknown";
        assert_eq!(read("07/19/84", "?", ""), (false, problems(&[no_date, no_sex])));
        // One of several may be readable.
        assert_eq!(read("1984|1984-07-19", "", ""), (true, problems(&[no_date])));
        assert_eq!(
            read("", "", "yesterday"),
            (false, problems(&["recorded_on is no date of the form YYYY-MM-DD"]))
        );
    }

    #[test]
    fn a_row_that_is_none_says_why_and_shows_no_value() {
        let reason = |cells: &[&str]| read_row(cells).unwrap_err();
        assert_eq!(reason(&["", "Ann", "", "", "", "", "", "", "", "", "", ""]), "the record_id is empty");
        assert_eq!(reason(&["1", "Ann"]), "has 2 cells where the header has 12");
        let open = reason(&["1", "Ann\n2,Bea\n3,Eve\n"]);
        assert!(open.ends_with("goes on over 4 lines: close the quote that it opens"), "{open}");
    }
}
