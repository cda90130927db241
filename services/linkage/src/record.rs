//! What is known of a person, as it was recorded.

use std::fmt;

/// A source record: for every field the set of values that is known. Every list may be empty; nothing is imputed.
/// `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Names, current and prior, the current one first.
    pub names: Vec<Name>,
    /// Birth dates, as recorded.
    pub birth_dates: Vec<Date>,
    /// Administrative sex.
    pub sex: Option<Sex>,
    /// Addresses, the current one first.
    pub addresses: Vec<Address>,
    /// Phone numbers, in any notation.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Identifiers with their authority, of which a person has one each, such as a national identifier.
    pub identifiers: Vec<Identifier>,
    /// Numbers under which a source keeps the person, with the source as their authority. A person may have several
    /// in one source, so two that differ are no conflict.
    pub record_numbers: Vec<Identifier>,
    /// Position in a multiple birth, 1 for the first born.
    pub multiple_birth_order: Option<u8>,
    /// The mother's name.
    pub mother: Option<Name>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(redacted)")
    }
}

/// A name, current or prior.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Name {
    /// Given names, the first one first.
    pub given: Vec<String>,
    /// Family name.
    pub family: String,
    /// The mother's family name, where custom adds it to the father's.
    pub maternal: String,
    /// Generational suffix.
    pub suffix: String,
    /// When it was known to be in use.
    pub recorded_on: Option<Date>,
}

/// Administrative sex, where it says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// A postal address.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// House number, street and unit.
    pub line: String,
    /// City.
    pub city: String,
    /// State.
    pub state: String,
    /// Postal code.
    pub postcode: String,
    /// When it was known to be in use.
    pub recorded_on: Option<Date>,
}

/// An identifier with the authority that assigned it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    /// Authority.
    pub system: String,
    /// Value.
    pub value: String,
}

/// A calendar date as recorded; it may be one that never was: it is kept as it was written, and marked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year.
    pub year: u16,
    /// Month, from 1.
    pub month: u8,
    /// Day, from 1.
    pub day: u8,
}

impl Date {
    /// Reads `YYYY-MM-DD`, also of a day that never was; `None` when it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<u16> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        Some(Self {
            year: number(0..4)?,
            month: u8::try_from(number(5..7)?).ok()?,
            day: u8::try_from(number(8..10)?).ok()?,
        })
    }

    /// True when the Gregorian calendar has the date.
    pub fn exists(self) -> bool {
        let (Ok(year), Ok(month), Ok(day)) =
            (self.year.try_into(), self.month.try_into(), self.day.try_into())
        else {
            return false;
        };
        jiff::civil::Date::new(year, month, day).is_ok()
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Date(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_checked() {
        let date = Date::parse("2024-02-29").unwrap();
        assert!(date.exists());
        assert!(!Date::parse("2023-02-29").unwrap().exists());
        assert!(!Date::parse("2023-13-01").unwrap().exists());
        for bad in ["", "2024-2-29", "2024/02/29", "+024-02-29", "20240229", "2024-02-29 ", "２０24-01-01"]
        {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
