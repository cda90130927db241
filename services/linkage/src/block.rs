//! Blocking: which records are worth comparing.
//!
//! Keys are compound, so that blocks stay small at any population: a lone surname never blocks. A record is compared
//! with those that share at least one key. Name pairs are unordered, so that swapped names meet; so are day and month.

use std::fmt;

use crate::{
    normalize::is_street_word,
    packed::{Place, Section, View},
    text::{hash, mix},
};

/// A way to find records that may be one person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Pass {
    /// An identifier and its authority.
    Identifier,
    /// A number under which a source keeps the person.
    RecordNumber,
    /// E-mail address.
    Email,
    /// Phone number and birth date.
    PhoneBirth,
    /// Phone number and initial of the given name.
    PhoneInitial,
    /// Birth date and the sound of a name, given or family.
    BirthName,
    /// Birth date and postcode.
    BirthPostcode,
    /// Birth date and both initials.
    BirthInitials,
    /// Sounds of both names and the birth year.
    NamesYear,
    /// Sounds of both names, day and month of birth.
    NamesDay,
    /// Sounds of both names and the postcode.
    NamesPostcode,
    /// House and the initial of a name.
    HouseInitial,
    /// House with its postcode or city.
    House,
    /// Both names as they are written.
    Names,
    /// Birth date alone; wide.
    Birth,
    /// Sound of a name with postcode or city; wide.
    NameArea,
    /// Sound of a name and the street; wide.
    NameStreet,
    /// Street and postcode or city; wide.
    Street,
    /// House number with postcode or city; wide.
    NumberArea,
}

impl Pass {
    /// Every pass.
    pub const ALL: [Self; 19] = [
        Self::Identifier,
        Self::RecordNumber,
        Self::Email,
        Self::PhoneBirth,
        Self::PhoneInitial,
        Self::BirthName,
        Self::BirthPostcode,
        Self::BirthInitials,
        Self::NamesYear,
        Self::NamesDay,
        Self::NamesPostcode,
        Self::HouseInitial,
        Self::House,
        Self::Names,
        Self::Birth,
        Self::NameArea,
        Self::NameStreet,
        Self::Street,
        Self::NumberArea,
    ];

    /// True when the pass is of use only where its blocks are small: in a small file, or for a rare value.
    pub fn is_wide(self) -> bool {
        self >= Self::Birth
    }

    /// Returns the pass's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::RecordNumber => "record number",
            Self::Email => "e-mail",
            Self::PhoneBirth => "phone + birth date",
            Self::PhoneInitial => "phone + initial",
            Self::BirthName => "birth date + name",
            Self::BirthPostcode => "birth date + postcode",
            Self::BirthInitials => "birth date + initials",
            Self::NamesYear => "names + birth year",
            Self::NamesDay => "names + day and month",
            Self::NamesPostcode => "names + postcode",
            Self::HouseInitial => "house + initial",
            Self::House => "house + area",
            Self::Names => "names as written",
            Self::Birth => "birth date",
            Self::NameArea => "name + area",
            Self::NameStreet => "name + street",
            Self::Street => "street + area",
            Self::NumberArea => "house number + area",
        }
    }
}

/// A blocking key: the pass it belongs to and up to three parts. `Debug` shows no part: some are a birth date or a phone
/// number as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Pass.
    pub pass: Pass,
    /// Parts, mostly hashes; 0 where a pass has fewer.
    pub parts: [u64; 3],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.pass.name())
    }
}

impl Key {
    /// Returns the key as one number, for bulk work in memory.
    pub fn number(self) -> u64 {
        self.parts.iter().fold(self.pass as u64 + 1, |number, part| mix(number.wrapping_mul(31) ^ part))
    }
}

/// Most keys of one record: what is beyond is from records with very many names or addresses.
pub const KEYS_MAX: usize = 128;

/// Returns the blocking keys of a record, each once, in a stable order.
pub fn keys(record: View<'_>) -> Vec<Key> {
    let mut keys = vec![];
    collect(record, &mut keys);
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(KEYS_MAX);
    keys
}

/// Adds the blocking keys of a record, in any order.
fn collect(record: View<'_>, keys: &mut Vec<Key>) {
    let mut add = |pass, a: u64, b: u64, c: u64| keys.push(Key { pass, parts: [a, b, c] });
    let given: Vec<_> = record.words(Section::Given).collect();
    let family: Vec<_> = record.words(Section::Family).collect();
    let initial = |text: &[u8]| text.first().map_or(0, |byte| u64::from(*byte));
    let names = || given.iter().chain(&family);
    let sounds = || {
        let named = given.iter().flat_map(|g| family.iter().map(move |f| unordered(g.sound, f.sound)));
        named.filter(|(a, b)| *a != 0 && *b != 0)
    };
    let sounding = || names().filter(|name| name.sound != 0);
    for date in record.birth_dates() {
        let (day, year, month_day) = date_parts(date);
        sounding().for_each(|name| add(Pass::BirthName, day, name.sound.into(), 0));
        add(Pass::Birth, day, 0, 0);
        for (g, f) in given.iter().flat_map(|g| family.iter().map(move |f| (g, f))) {
            let (a, b) = unordered(initial(g.text.bytes) as u32, initial(f.text.bytes) as u32);
            add(Pass::BirthInitials, day, a, b);
        }
        record
            .places()
            .filter_map(|place| postcode(&place))
            .for_each(|code| add(Pass::BirthPostcode, day, code, 0));
        record.numbers(Section::Phone).for_each(|phone| add(Pass::PhoneBirth, phone, day, 0));
        for (a, b) in sounds() {
            add(Pass::NamesYear, a, b, year);
            add(Pass::NamesDay, a, b, month_day);
        }
    }
    for place in record.places() {
        let areas = [postcode(&place).unwrap_or(0), place.city];
        for area in areas.into_iter().filter(|area| *area != 0) {
            sounding().for_each(|name| add(Pass::NameArea, name.sound.into(), area, 0));
            if place.number != 0 {
                add(Pass::NumberArea, place.number.into(), area, 0);
            }
            if !place.street.is_empty() {
                add(Pass::Street, name_of(place.street), area, 0);
            }
        }
        if let Some(code) = postcode(&place) {
            sounds().for_each(|(a, b)| add(Pass::NamesPostcode, a, b, code));
        }
        if !place.street.is_empty() {
            let street = hash(place.street);
            sounding().for_each(|name| add(Pass::NameStreet, name.sound.into(), street, 0));
        }
        if let Some(house) = house(&place) {
            names().for_each(|name| add(Pass::HouseInitial, house, initial(name.text.bytes), 0));
            let area = postcode(&place).unwrap_or(place.city);
            add(Pass::House, house, area, 0);
        }
    }
    for phone in record.numbers(Section::Phone) {
        given.iter().for_each(|name| add(Pass::PhoneInitial, phone, initial(name.text.bytes), 0));
    }
    record.pairs(Section::Email).for_each(|(whole, _)| add(Pass::Email, whole, 0, 0));
    record.identifiers().for_each(|(system, value)| add(Pass::Identifier, system.into(), hash(value), 0));
    record.pairs(Section::RecordNumber).for_each(|(system, value)| add(Pass::RecordNumber, system, value, 0));
    for (g, f) in given.iter().flat_map(|g| family.iter().map(move |f| (g, f))) {
        let (a, b) = unordered(g.hash, f.hash);
        add(Pass::Names, a, b, 0);
    }
}

/// Returns the first word of a street that names it: not "east", not "street", nothing of what a clerk wrote behind.
fn name_of(street: &[u8]) -> u64 {
    let mut words = street.split(|byte| *byte == b' ');
    hash(words.find(|word| !is_street_word(word)).unwrap_or(street))
}

fn unordered(a: u32, b: u32) -> (u64, u64) {
    (u64::from(a.min(b)), u64::from(a.max(b)))
}

/// Returns the date with day and month in order of size, the year, and the two alone.
fn date_parts(date: u32) -> (u64, u64, u64) {
    let (year, month, day) = (u64::from(date >> 16), u64::from((date >> 8) & 0xff), u64::from(date & 0xff));
    let month_day = month.min(day) << 8 | month.max(day);
    (year << 16 | month_day, year, month_day)
}

fn postcode(place: &Place<'_>) -> Option<u64> {
    let code = u64::from_le_bytes(place.postcode);
    (code != 0).then_some(code)
}

/// House number and the first word of the street.
fn house(place: &Place<'_>) -> Option<u64> {
    let first = place.street.split(|byte| *byte == b' ').next().unwrap_or_default();
    (place.number != 0 && !first.is_empty()).then(|| mix(u64::from(place.number)) ^ hash(first))
}

/// Returns further keys by which blocks that are over-full are split, one after another.
///
/// A pass is never split by what its own key holds already: that part is the same in the whole block.
pub(crate) fn refinements(record: View<'_>) -> [u64; 6] {
    let given = record.words(Section::Given).next();
    let family = record.words(Section::Family).next();
    let place = record.places().next();
    let date = record.birth_dates().next().unwrap_or(0);
    [
        given.map_or(0, |name| name.sound.into()),
        family.map_or(0, |name| name.sound.into()),
        (date >> 16).into(),
        (date & 0xffff).into(),
        place.as_ref().and_then(postcode).unwrap_or(0),
        place.as_ref().and_then(house).unwrap_or(0),
    ]
}

#[cfg(test)]
mod tests;
