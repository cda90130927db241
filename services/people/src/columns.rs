//! Columns of a file of people: what they are called, and where a file has them.

use std::str::FromStr;

use csv::StringRecord;

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

impl Column {
    /// Every column, in the order in which they are documented.
    pub const ALL: [Self; 17] = [
        Self::RecordId,
        Self::Source,
        Self::Mrn,
        Self::RecordedOn,
        Self::Given,
        Self::Middle,
        Self::Family,
        Self::Suffix,
        Self::BirthDate,
        Self::Sex,
        Self::Address,
        Self::City,
        Self::State,
        Self::Postcode,
        Self::Phone,
        Self::Email,
        Self::NationalId,
    ];

    /// Returns the column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordId => "record_id",
            Self::Source => "source",
            Self::Mrn => "mrn",
            Self::RecordedOn => "recorded_on",
            Self::Given => "given",
            Self::Middle => "middle",
            Self::Family => "family",
            Self::Suffix => "suffix",
            Self::BirthDate => "birth_date",
            Self::Sex => "sex",
            Self::Address => "address",
            Self::City => "city",
            Self::State => "state",
            Self::Postcode => "postcode",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::NationalId => "national_id",
        }
    }

    /// Returns the column of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
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
        let known = || Column::ALL.map(Column::name).join(", ");
        let column = Column::named(to.trim());
        let column = column.ok_or_else(|| format!("{to:?} is no column; columns are {}", known()))?;
        Ok(Self { column, from: from.trim().to_owned() })
    }
}

/// Why a header is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no ids.
    #[error("the header has no column record_id; say which one it is with --map record_id=COLUMN")]
    NoId,
    /// Another sign than a comma stands between the columns.
    #[error("the header seems to have {0} between the columns; write the file with commas")]
    Separator(&'static str),
    /// A column stands twice.
    #[error("the header has the column {0} twice; rename one of them")]
    Twice(&'static str),
}

/// Where a file has its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Cells of a row.
    pub width: usize,
    /// Columns that are not used.
    pub ignored: Vec<String>,
    /// Which of the renamed columns the file has, in the order in which they were given.
    pub renamed: Vec<bool>,
    places: [Vec<usize>; Column::ALL.len()],
}

impl Header {
    /// Finds the columns. One may be made of several, which are joined by a space.
    ///
    /// # Errors
    /// When the header does not say which column holds the ids, or names a column twice.
    pub fn new(header: &StringRecord, renamed: &[Renamed]) -> Result<Self, Error> {
        let mut found = Self {
            width: header.len(),
            ignored: vec![],
            renamed: vec![false; renamed.len()],
            places: Default::default(),
        };
        for (renamed, is_there) in renamed.iter().zip(&mut found.renamed) {
            let place = header.iter().position(|cell| cell == renamed.from);
            *is_there = place.is_some();
            found.places[renamed.column as usize].extend(place);
        }
        let is_made_of_others = found.places.each_ref().map(|places| !places.is_empty());
        for (place, cell) in header.iter().enumerate() {
            let taken = renamed.iter().any(|renamed| renamed.from == cell);
            match Column::named(cell).filter(|column| !is_made_of_others[*column as usize]) {
                _ if taken => {}
                None => found.ignored.push(cell.to_owned()),
                Some(column) if !found.of(column).is_empty() => return Err(Error::Twice(column.name())),
                Some(column) => found.places[column as usize].push(place),
            }
        }
        match header.get(0).unwrap_or_default() {
            _ if !found.of(Column::RecordId).is_empty() => Ok(found),
            only if header.len() == 1 && only.contains(';') => Err(Error::Separator("semicolons")),
            only if header.len() == 1 && only.contains('\t') => Err(Error::Separator("tabs")),
            _ => Err(Error::NoId),
        }
    }

    /// Returns which cells make a column.
    pub fn of(&self, column: Column) -> &[usize] {
        &self.places[column as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cells: &[&str], renamed: &[&str]) -> Result<Header, Error> {
        let renamed: Vec<Renamed> = renamed.iter().map(|text| text.parse().unwrap()).collect();
        Header::new(&cells.iter().collect(), &renamed)
    }

    #[test]
    fn columns_stand_in_any_order_and_unknown_ones_are_named() {
        let found = header(&["family", "shoe_size", "record_id"], &[]).unwrap();
        assert_eq!((found.of(Column::Family), found.of(Column::RecordId)), (&[0][..], &[2][..]));
        assert_eq!((found.ignored, found.width), (vec!["shoe_size".to_owned()], 3));
    }

    #[test]
    fn a_column_may_have_another_name_or_be_made_of_several() {
        let renamed = ["record_id=id", "address=number", "address=street", "city=town"];
        let found = header(&["street", "id", "number", "address"], &renamed).unwrap();
        assert_eq!((found.of(Column::RecordId), found.of(Column::Address)), (&[1][..], &[2, 0][..]));
        // What was named is meant, also where the file has a column of our name.
        assert_eq!(
            (found.ignored, found.renamed),
            (vec!["address".to_owned()], vec![true, true, true, false])
        );
    }

    #[test]
    fn a_column_of_our_name_stands_for_itself_where_the_named_one_is_not_there() {
        let found = header(&["record_id", "given"], &["given=first_name"]).unwrap();
        assert_eq!((found.of(Column::Given), &found.renamed[..]), (&[1][..], &[false][..]));
    }

    #[test]
    fn a_header_that_is_of_no_use_says_what_to_do() {
        assert_eq!(header(&["id", "given"], &[]), Err(Error::NoId));
        assert_eq!(header(&["record_id;given"], &[]), Err(Error::Separator("semicolons")));
        assert_eq!(header(&["record_id\tgiven"], &[]), Err(Error::Separator("tabs")));
        assert_eq!(header(&["record_id", "given", "given"], &[]), Err(Error::Twice("given")));
    }

    #[test]
    fn a_renaming_names_one_of_our_columns() {
        assert_eq!(
            "given = first_name".parse(),
            Ok(Renamed { column: Column::Given, from: "first_name".into() })
        );
        assert!("given".parse::<Renamed>().unwrap_err().contains("given=first_name"));
        assert!("name=x".parse::<Renamed>().unwrap_err().contains("columns are record_id, source,"));
    }
}
