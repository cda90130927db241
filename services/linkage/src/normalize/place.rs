//! Addresses: house number, street and unit apart, abbreviations spelt out.

use super::{digits, words};
use crate::record::Address;

/// Abbreviations, in order.
pub(super) const STREET_WORDS: &[(&str, &str)] = &[
    ("aly", "alley"),
    ("av", "avenue"),
    ("ave", "avenue"),
    ("blvd", "boulevard"),
    ("cct", "circuit"),
    ("cir", "circle"),
    ("cl", "close"),
    ("cres", "crescent"),
    ("crt", "court"),
    ("ct", "court"),
    ("dr", "drive"),
    ("e", "east"),
    ("ft", "fort"),
    ("hts", "heights"),
    ("hwy", "highway"),
    ("ln", "lane"),
    ("mt", "mount"),
    ("n", "north"),
    ("ne", "northeast"),
    ("nw", "northwest"),
    ("pde", "parade"),
    ("pk", "park"),
    ("pkwy", "parkway"),
    ("pl", "place"),
    ("rd", "road"),
    ("s", "south"),
    ("se", "southeast"),
    ("sq", "square"),
    ("st", "street"),
    ("str", "street"),
    ("sw", "southwest"),
    ("tce", "terrace"),
    ("ter", "terrace"),
    ("trl", "trail"),
    ("w", "west"),
    ("wy", "way"),
];

/// Words of streets that are called after a street in another language.
const STREET_WORDS_ABROAD: &[&str] = &["avenida", "calle", "camino", "chemin", "rue", "via"];

/// True for a word that many streets have, normalised.
pub(crate) fn is_street_word(word: &[u8]) -> bool {
    STREET_WORDS.iter().any(|(_, long)| long.as_bytes() == word)
        || STREET_WORDS_ABROAD.iter().any(|other| other.as_bytes() == word)
}

/// Words before the number of a flat.
const UNIT_WORDS: &[&str] =
    &["apt", "apartment", "flat", "floor", "fl", "lot", "rm", "room", "ste", "suite", "unit", "villa"];

/// A normalised address.
#[derive(Default)]
pub(crate) struct Place {
    /// Digits of the house number, packed; 0 for none.
    pub(crate) number: u32,
    /// Street, words in the order written.
    pub(crate) street: String,
    pub(crate) unit: String,
    pub(crate) city: String,
    pub(crate) postcode: String,
    /// Abbreviation; empty when it is spelt out, since one way of writing says nothing of the other.
    pub(crate) state: String,
}

/// Normalises an address.
pub(super) fn place(address: &Address) -> Place {
    let mut place = Place {
        city: words(&address.city).concat(),
        postcode: postcode(&address.postcode),
        state: Some(words(&address.state).concat())
            .filter(|state| is_abbreviation(state))
            .unwrap_or_default(),
        ..Place::default()
    };
    let mut street: Vec<String> = vec![];
    let mut line = words(&address.line).into_iter().peekable();
    while let Some(word) = line.next() {
        if UNIT_WORDS.contains(&word.as_str()) && line.peek().is_some() {
            place.unit = line.next().unwrap_or_default();
        } else if place.number == 0
            && street.len() < 3
            && word.starts_with(|c: char| c.is_ascii_digit())
            && !ordinal(&word)
        {
            place.number = digits(&word);
        } else if line.peek().is_none()
            && !street.is_empty()
            && word.chars().any(|c| c.is_ascii_digit())
            && !ordinal(&word)
        {
            // "12 Main Street #4" has lost its mark.
            place.unit = word;
        } else {
            street.push(spelt_out(word));
        }
    }
    place.street = street.join(" ");
    place
}

/// True for "NY" and "NSW"; a number is a code that not everybody uses.
fn is_abbreviation(state: &str) -> bool {
    state.len() <= 3 && state.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// True for "42nd", which is the name of a street.
fn ordinal(word: &str) -> bool {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !number.is_empty() && matches!(&word[number.len()..], "st" | "nd" | "rd" | "th")
}

fn spelt_out(word: String) -> String {
    match STREET_WORDS.binary_search_by_key(&word.as_str(), |(short, _)| short) {
        Ok(place) => STREET_WORDS[place].1.to_owned(),
        Err(_) => word,
    }
}

/// US ZIP+4 is cut to five.
fn postcode(text: &str) -> String {
    let mut postcode = words(text).concat();
    if postcode.len() == 9 && postcode.bytes().all(|b| b.is_ascii_digit()) {
        postcode.truncate(5);
    }
    let nowhere = postcode.bytes().all(|b| b == b'0') || postcode.bytes().all(|b| b == b'9');
    if nowhere { String::new() } else { postcode }
}
