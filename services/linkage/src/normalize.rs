//! Normalisation: one form for what different clerks write differently.
//!
//! Text is folded to lower-case ASCII letters and digits (Unicode NFKD, marks dropped); what carries no information
//! (`UNKNOWN`, 1900-01-01, 999-99-9999) becomes missing. Nothing is guessed.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::record::{Address, Date, Identifier, Record, Sex};

/// A normalised record: all that comparing and blocking look at. `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// First given names of all names.
    pub given: Vec<String>,
    /// Further given names.
    pub middle: Vec<String>,
    /// Family names, current and prior.
    pub family: Vec<String>,
    /// Generational suffix.
    pub suffix: String,
    /// Birth date, when it exists in the calendar and is no placeholder.
    pub birth_date: Option<Date>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Addresses.
    pub places: Vec<Place>,
    /// Phone numbers: their last ten digits.
    pub phones: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Identifiers.
    pub identifiers: Vec<Identifier>,
    /// Position in a multiple birth.
    pub multiple_birth_order: Option<u8>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(redacted)")
    }
}

/// A normalised address.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// House number and street, words in the order written, abbreviations spelt out.
    pub line: String,
    /// City.
    pub city: String,
    /// Postal code: letters and digits; US ZIP+4 is cut to five.
    pub postcode: String,
}

const NAME_PLACEHOLDERS: &[&str] = &[
    "unknown",
    "unk",
    "unnamed",
    "noname",
    "none",
    "na",
    "nfn",
    "nln",
    "test",
    "testpatient",
    "patient",
    "baby",
    "babyboy",
    "babygirl",
    "newborn",
    "infant",
    "twin",
    "twina",
    "twinb",
    "anonymous",
    "notgiven",
    "missing",
];

const SUFFIXES: &[(&str, &str)] =
    &[("jr", "jr"), ("junior", "jr"), ("sr", "sr"), ("senior", "sr"), ("ii", "2"), ("iii", "3"), ("iv", "4")];

const STREET_WORDS: &[(&str, &str)] = &[
    ("st", "street"),
    ("str", "street"),
    ("ave", "avenue"),
    ("av", "avenue"),
    ("rd", "road"),
    ("dr", "drive"),
    ("ln", "lane"),
    ("ct", "court"),
    ("crt", "court"),
    ("pl", "place"),
    ("blvd", "boulevard"),
    ("cres", "crescent"),
    ("cct", "circuit"),
    ("hwy", "highway"),
    ("pde", "parade"),
    ("tce", "terrace"),
    ("apt", "apartment"),
    ("n", "north"),
    ("s", "south"),
    ("e", "east"),
    ("w", "west"),
];

/// Normalises a record.
pub fn prepare(record: &Record) -> Prepared {
    let mut prepared = Prepared {
        birth_date: record.birth_date.filter(|date| date.exists() && !is_placeholder_date(*date)),
        sex: record.sex,
        multiple_birth_order: record.multiple_birth_order,
        ..Prepared::default()
    };
    for name in &record.names {
        let mut given = name.given.iter().flat_map(|text| words(text)).filter(|w| !is_placeholder_name(w));
        push(&mut prepared.given, given.next().unwrap_or_default());
        given.for_each(|word| push(&mut prepared.middle, word));
        let mut family = words(&name.family);
        let mut suffix = suffix(&name.suffix);
        // "Smith Jr" is a family name with a suffix that was typed into it.
        if suffix.is_empty() && family.len() > 1 {
            suffix = family.last().map(|word| self::suffix(word)).unwrap_or_default();
            if !suffix.is_empty() {
                family.pop();
            }
        }
        let family = family.concat();
        if !is_placeholder_name(&family) {
            push(&mut prepared.family, family);
        }
        if prepared.suffix.is_empty() {
            prepared.suffix = suffix;
        }
    }
    for address in &record.addresses {
        let place = place(address);
        if place != Place::default() && !prepared.places.contains(&place) {
            prepared.places.push(place);
        }
    }
    record.phones.iter().for_each(|text| push(&mut prepared.phones, phone(text)));
    record.emails.iter().for_each(|text| push(&mut prepared.emails, email(text)));
    for identifier in &record.identifiers {
        let value = words(&identifier.value).concat();
        let identifier = Identifier { system: identifier.system.trim().to_lowercase(), value };
        if !is_placeholder_number(&identifier.value) && !prepared.identifiers.contains(&identifier) {
            prepared.identifiers.push(identifier);
        }
    }
    prepared
}

/// Folds text to words of lower-case ASCII letters and digits.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => word.push(c),
            'ß' => word.push_str("ss"),
            'æ' => word.push_str("ae"),
            'ø' => word.push('o'),
            'ł' => word.push('l'),
            'đ' | 'ð' => word.push('d'),
            'þ' => word.push_str("th"),
            // An apostrophe stands inside a name, other punctuation between two.
            '\'' | '’' | '`' | '.' => {}
            // Other scripts are kept as they are: exact agreement still counts.
            c if c.is_alphanumeric() => word.push(c),
            _ if !word.is_empty() => words.push(std::mem::take(&mut word)),
            _ => {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn push(list: &mut Vec<String>, value: String) {
    if !value.is_empty() && !list.contains(&value) {
        list.push(value);
    }
}

fn suffix(text: &str) -> String {
    let text = words(text).concat();
    SUFFIXES
        .iter()
        .find(|(written, _)| *written == text)
        .map(|(_, meant)| (*meant).to_owned())
        .unwrap_or_default()
}

fn place(address: &Address) -> Place {
    let line: Vec<String> = words(&address.line)
        .into_iter()
        .map(|word| match STREET_WORDS.iter().find(|(short, _)| *short == word) {
            Some((_, long)) => (*long).to_owned(),
            None => word,
        })
        .collect();
    let mut postcode = words(&address.postcode).concat();
    if postcode.len() == 9 && postcode.bytes().all(|b| b.is_ascii_digit()) {
        postcode.truncate(5);
    }
    if is_placeholder_number(&postcode) {
        postcode.clear();
    }
    Place { line: line.join(" "), city: words(&address.city).concat(), postcode }
}

fn phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let last = digits.len().saturating_sub(10);
    if digits.len() < 7 || is_placeholder_number(&digits[last..]) {
        String::new()
    } else {
        digits[last..].to_owned()
    }
}

fn email(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.split_once('@').unwrap_or_default();
    if local.is_empty() || domain.is_empty() || is_placeholder_name(local) { String::new() } else { text }
}

fn is_placeholder_name(word: &str) -> bool {
    NAME_PLACEHOLDERS.contains(&word)
}

fn is_placeholder_date(date: Date) -> bool {
    let Date { year, month, day } = date;
    year < 1880 || (month == 1 && day == 1 && matches!(year, 1900 | 1901 | 1970)) || year > 2200
}

/// One digit repeated, or digits that count up: nobody's number.
fn is_placeholder_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let same = bytes.windows(2).all(|w| w[0] == w[1]);
    let counts =
        bytes.len() > 5 && bytes.windows(2).all(|w| w[1] == w[0] + 1 || (w[0] == b'9' && w[1] == b'0'));
    bytes.is_empty() || (bytes.len() > 3 && same) || counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Name;

    fn named(given: &str, family: &str) -> Prepared {
        let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
        prepare(&Record { names: vec![name], ..Record::default() })
    }

    #[test]
    fn spelling_does_not_matter() {
        assert_eq!(named("JOSÉ ", "O'Brien-Müller"), named("jose", "OBRIEN MULLER"));
        assert_eq!(named("Ann Marie", "Lee").middle, ["marie"]);
        let junior = named("John", "Smith Jr.");
        assert_eq!((junior.family[0].as_str(), junior.suffix.as_str()), ("smith", "jr"));
    }

    #[test]
    fn placeholders_are_missing() {
        let unknown = named("UNKNOWN", "Baby-Boy");
        assert!(unknown.given.is_empty() && unknown.family.is_empty());
        assert_eq!(phone("(999) 999-9999"), "");
        assert_eq!(phone("+1 (617) 555-0123"), "6175550123");
        assert!(is_placeholder_number("123456789") && is_placeholder_number("99999"));
        let record = Record { birth_date: Date::parse("1900-01-01"), ..Record::default() };
        assert_eq!(prepare(&record).birth_date, None);
    }

    #[test]
    fn addresses_are_spelt_out() {
        let address = Address {
            line: "12 N. Main St, Apt 4".into(),
            postcode: "02139-1234".into(),
            ..Address::default()
        };
        let place = place(&address);
        assert_eq!(place.line, "12 north main street apartment 4");
        assert_eq!(place.postcode, "02139");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in any::<String>()) {
            let once = words(&text);
            prop_assert_eq!(words(&once.join(" ")), once);
        }

        #[test]
        fn any_text_can_be_prepared(given in any::<String>(), family in any::<String>(), line in any::<String>()) {
            let record = Record {
                names: vec![Name { given: vec![given.clone()], family: family.clone(), suffix: given }],
                addresses: vec![Address { line: line.clone(), city: line.clone(), state: String::new(), postcode: line.clone() }],
                phones: vec![line.clone()],
                emails: vec![line],
                ..Record::default()
            };
            let prepared = prepare(&record);
            crate::block::keys(&prepared);
        }
    }
}
