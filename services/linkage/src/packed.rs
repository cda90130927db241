//! The comparison form of a record: a few dozen bytes that scoring and blocking read, and nothing else.
//!
//! A header of fixed size, then the values of each field, one after another. It is the same in memory, in a database
//! and on every machine. Names stay letters, since they are compared by similarity; what is only ever equal or not
//! (phones, e-mail addresses) is a hash. It is patient data: `Debug` shows no value.

use std::fmt;

use crate::{
    model::placeholder,
    normalize::{self, VALUES_MAX},
    text::{self, TEXT_MAX, Text},
};

/// Version of the form, its first byte.
pub const VERSION: u8 = 2;

const SECTIONS: usize = 11;
const HEAD: usize = 4 + 2 * SECTIONS;
const PLACE_HEAD: usize = 44;
const WORD_HEAD: usize = 16;

/// The number of the sex "female"; "male" is the next.
pub(crate) const FEMALE: u8 = 1;

/// A field's values inside the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Given,
    Middle,
    Family,
    FamilyToken,
    Birth,
    Place,
    Phone,
    Email,
    Identifier,
    RecordNumber,
    Mother,
}

/// What the values of a section look like, and how many there are at most.
enum Shape {
    /// So many bytes each.
    Fixed(usize, usize),
    /// A head of so many bytes, a length, a text.
    Texts(usize, usize),
}

const SHAPES: [Shape; SECTIONS] = [
    Shape::Texts(WORD_HEAD, VALUES_MAX),
    Shape::Texts(4, VALUES_MAX),
    Shape::Texts(WORD_HEAD, VALUES_MAX),
    Shape::Fixed(8, VALUES_MAX * VALUES_MAX),
    Shape::Fixed(4, VALUES_MAX),
    Shape::Texts(PLACE_HEAD, VALUES_MAX),
    Shape::Fixed(8, VALUES_MAX),
    Shape::Fixed(16, VALUES_MAX),
    Shape::Texts(4, VALUES_MAX),
    Shape::Fixed(16, VALUES_MAX),
    Shape::Texts(4, 1),
];

/// What is remarkable about a record as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// A child without a name of its own.
    pub newborn: bool,
    /// Somebody whom nobody could identify, or a test.
    pub unidentified: bool,
    /// A birth date that the calendar does not have.
    pub impossible_date: bool,
    /// A child of a multiple birth.
    pub multiple_birth: bool,
}

/// A record in its comparison form, owned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packed(Box<[u8]>);

/// A record in its comparison form, borrowed.
#[derive(Clone, Copy)]
pub struct View<'a>(&'a [u8]);

/// Bytes that are not a record in its comparison form.
#[derive(Debug, thiserror::Error)]
#[error("not a comparison record of version {VERSION}")]
pub struct Error;

/// A given or family name.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) hash: u32,
    /// Hash of how it sounds; 0 for not at all.
    pub(crate) sound: u32,
    /// Rows of the nickname table.
    pub(crate) nicknames: [u8; 4],
    pub(crate) text: Text<'a>,
}

/// An address.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// House number, packed digits; 0 for none.
    pub(crate) number: u32,
    pub(crate) unit: u32,
    /// Pairs of letters of the city, 0 for none.
    pub(crate) city: u64,
    /// Letters and digits, filled with zeros.
    pub(crate) postcode: [u8; 8],
    /// The abbreviation, filled with zeros.
    pub(crate) state: [u8; 4],
    /// Pairs of letters of the street.
    pub(crate) signature: u128,
    pub(crate) street: &'a [u8],
}

impl Packed {
    /// Takes bytes that were stored.
    ///
    /// # Errors
    /// When they are of another version, cut short or otherwise not what [`Packed::as_bytes`] returned.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let view = View(bytes);
        let sound = bytes.len() >= HEAD && bytes[0] == VERSION && view.is_sound();
        if sound { Ok(Self(bytes.into())) } else { Err(Error) }
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Borrows it for comparing.
    pub fn view(&self) -> View<'_> {
        View(&self.0)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packed(redacted)")
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View(redacted)")
    }
}

impl<'a> View<'a> {
    /// Borrows bytes that [`Packed::as_bytes`] returned in this process.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Returns what is remarkable about the record.
    pub fn flags(self) -> Flags {
        let bits = self.0[1];
        let bit = |place: u8| bits >> place & 1 != 0;
        Flags { newborn: bit(0), unidentified: bit(1), impossible_date: bit(2), multiple_birth: bit(3) }
    }

    /// Returns the sex, 0 when unknown.
    pub(crate) fn sex(self) -> u8 {
        self.0[2] & 3
    }

    /// Returns the number of the suffix, 0 for none.
    pub(crate) fn suffix(self) -> u8 {
        self.0[2] >> 2
    }

    /// Returns the position in a multiple birth, 0 when unknown.
    pub(crate) fn birth_order(self) -> u8 {
        self.0[3]
    }

    /// True when a given name is known.
    pub fn has_given(self) -> bool {
        !self.section(Section::Given).is_empty()
    }

    /// True when a family name is known.
    pub fn has_family(self) -> bool {
        !self.section(Section::Family).is_empty()
    }

    /// True when a birth date is known.
    pub fn has_birth_date(self) -> bool {
        !self.section(Section::Birth).is_empty()
    }

    /// True when a street is known.
    pub fn has_street(self) -> bool {
        self.places().any(|place| !place.street.is_empty())
    }

    /// True when a postcode is known.
    pub fn has_postcode(self) -> bool {
        self.places().any(|place| place.postcode != [0; 8])
    }

    /// True when a phone number is known.
    pub fn has_phone(self) -> bool {
        !self.section(Section::Phone).is_empty()
    }

    /// True when an identifier is known.
    pub fn has_identifier(self) -> bool {
        !self.section(Section::Identifier).is_empty()
    }

    #[inline]
    pub(crate) fn words(self, section: Section) -> impl Iterator<Item = Word<'a>> + Clone {
        debug_assert!(matches!(section, Section::Given | Section::Family));
        values(self.section(section), WORD_HEAD).map(|(head, text)| Word {
            hash: int(&head[0..4]),
            sound: int(&head[4..8]),
            nicknames: [head[8], head[9], head[10], head[11]],
            text: Text { letters: int(&head[12..16]), bytes: text },
        })
    }

    #[inline]
    pub(crate) fn texts(self, section: Section) -> impl Iterator<Item = Text<'a>> + Clone {
        debug_assert!(matches!(section, Section::Middle | Section::Mother));
        values(self.section(section), 4).map(|(head, text)| Text { letters: int(head), bytes: text })
    }

    #[inline]
    pub(crate) fn places(self) -> impl Iterator<Item = Place<'a>> + Clone {
        values(self.section(Section::Place), PLACE_HEAD).map(|(head, street)| {
            let (mut postcode, mut state) = ([0; 8], [0; 4]);
            postcode.copy_from_slice(&head[16..24]);
            state.copy_from_slice(&head[24..28]);
            Place {
                number: int(&head[0..4]),
                unit: int(&head[4..8]),
                city: long(&head[8..16]),
                postcode,
                state,
                signature: u128::from_le_bytes(head[28..44].try_into().unwrap_or_default()),
                street,
            }
        })
    }

    /// Identifiers: hash of the authority, value.
    #[inline]
    pub(crate) fn identifiers(self) -> impl Iterator<Item = (u32, &'a [u8])> + Clone {
        values(self.section(Section::Identifier), 4).map(|(head, text)| (int(head), text))
    }

    /// Numbers of eight bytes: phones, tokens of family names.
    #[inline]
    pub(crate) fn numbers(self, section: Section) -> impl Iterator<Item = u64> + Clone {
        debug_assert!(matches!(section, Section::Phone | Section::FamilyToken));
        self.section(section).chunks_exact(8).map(long)
    }

    /// Pairs of hashes: whole and local part of e-mail addresses, authority and value of record numbers.
    #[inline]
    pub(crate) fn pairs(self, section: Section) -> impl Iterator<Item = (u64, u64)> + Clone {
        debug_assert!(matches!(section, Section::Email | Section::RecordNumber));
        self.section(section).chunks_exact(16).map(|bytes| (long(&bytes[..8]), long(&bytes[8..])))
    }

    #[inline]
    pub(crate) fn birth_dates(self) -> impl Iterator<Item = u32> + Clone {
        self.section(Section::Birth).chunks_exact(4).map(int)
    }

    #[inline]
    pub(crate) fn section(self, section: Section) -> &'a [u8] {
        let head: &[u8; HEAD] = self.0.first_chunk().expect("invariant: a record begins with its head");
        let end =
            |section: usize| usize::from(u16::from_le_bytes([head[4 + 2 * section], head[5 + 2 * section]]));
        let at = section as usize;
        let from = if at == 0 { HEAD } else { end(at - 1) };
        &self.0[from..end(at)]
    }

    #[inline]
    fn end(self, section: usize) -> usize {
        let at = 4 + 2 * section;
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    /// True when every value lies inside its section, the sections fill the bytes, and none has more or longer values
    /// than normalisation makes: work on a record stays within bounds, whatever is stored.
    fn is_sound(self) -> bool {
        let mut from = HEAD;
        for (section, shape) in SHAPES.into_iter().enumerate() {
            let to = self.end(section);
            let Some(bytes) = self.0.get(from..to) else { return false };
            let sound = match shape {
                Shape::Fixed(size, most) => bytes.len() % size == 0 && bytes.len() <= size * most,
                Shape::Texts(head, most) => {
                    let read: usize = values(bytes, head).map(|(_, text)| head + 1 + text.len()).sum();
                    let short = values(bytes, head).all(|(_, text)| text.len() <= TEXT_MAX);
                    read == bytes.len() && short && values(bytes, head).count() <= most
                }
            };
            if !sound {
                return false;
            }
            from = to;
        }
        from == self.0.len()
    }
}

/// Values of one section: a head of so many bytes, a length, a text.
#[inline]
fn values(mut bytes: &[u8], head: usize) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    std::iter::from_fn(move || {
        let (front, rest) = bytes.split_at_checked(head)?;
        let (length, rest) = rest.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        bytes = rest;
        Some((front, text))
    })
}

fn int(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap_or_default())
}

fn long(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// Builds the form, field by field, in any order.
#[derive(Default)]
pub(crate) struct Packer {
    sections: [Vec<u8>; SECTIONS],
}

impl Packer {
    pub(crate) fn word(&mut self, section: Section, name: &str, sound: u32, nicknames: [u8; 4]) {
        let mut head = [0; WORD_HEAD];
        head[0..4].copy_from_slice(&short_hash(name).to_le_bytes());
        head[4..8].copy_from_slice(&sound.to_le_bytes());
        head[8..12].copy_from_slice(&nicknames);
        head[12..16]
            .copy_from_slice(&text::letters(&name.as_bytes()[..name.len().min(TEXT_MAX)]).to_le_bytes());
        self.value(section, &head, name);
    }

    pub(crate) fn text(&mut self, section: Section, text: &str) {
        if !text.is_empty() {
            self.value(
                section,
                &text::letters(&text.as_bytes()[..text.len().min(TEXT_MAX)]).to_le_bytes(),
                text,
            );
        }
    }

    pub(crate) fn date(&mut self, date: u32) {
        self.add(Section::Birth, &date.to_le_bytes());
    }

    pub(crate) fn place(&mut self, place: &normalize::Place) {
        let normalize::Place { number, street, unit, city, postcode, state } = place;
        let mut head = [0; PLACE_HEAD];
        head[0..4].copy_from_slice(&number.to_le_bytes());
        let unit = if unit.is_empty() { 0 } else { short_hash(unit) };
        head[4..8].copy_from_slice(&unit.to_le_bytes());
        head[8..16].copy_from_slice(&text::short_signature(city.as_bytes()).to_le_bytes());
        for (part, text) in [(16..24, postcode), (24..28, state)] {
            head[part].iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        }
        head[28..44].copy_from_slice(&text::signature(street.as_bytes()).to_le_bytes());
        if head != [0; PLACE_HEAD] {
            self.value(Section::Place, &head, street);
        }
    }

    pub(crate) fn number(&mut self, section: Section, number: u64) {
        self.add(section, &number.to_le_bytes());
    }

    pub(crate) fn email(&mut self, whole: u64, local: u64) {
        self.add(Section::Email, &[whole.to_le_bytes(), local.to_le_bytes()].concat());
    }

    pub(crate) fn identifier(&mut self, system: u64, value: &str) {
        self.value(Section::Identifier, &(system as u32).to_le_bytes(), value);
    }

    pub(crate) fn record_number(&mut self, system: u64, value: u64) {
        self.add(Section::RecordNumber, &[system.to_le_bytes(), value.to_le_bytes()].concat());
    }

    pub(crate) fn finish(self, flags: Flags, sex: u8, suffix: u8, birth_order: u8) -> Packed {
        let size: usize = HEAD + self.sections.iter().map(Vec::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(size);
        let Flags { newborn, unidentified, impossible_date, multiple_birth } = flags;
        let bits = [newborn, unidentified, impossible_date, multiple_birth];
        let bits = (0..).zip(bits).fold(0, |bits, (place, flag)| bits | u8::from(flag) << place);
        bytes.extend([VERSION, bits, sex | suffix << 2, birth_order]);
        let mut end = HEAD;
        for section in &self.sections {
            end += section.len();
            bytes.extend(u16::try_from(end).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.sections.iter().for_each(|section| bytes.extend(section));
        Packed(bytes.into())
    }

    /// Copies the values of a record, without those of which `keep` says no.
    pub(crate) fn copy(&mut self, record: View<'_>, keep: impl Fn(placeholder::Kind, u64) -> bool) {
        use placeholder::Kind;
        for section in
            [Section::Given, Section::Middle, Section::Family, Section::FamilyToken, Section::RecordNumber]
        {
            self.add(section, record.section(section));
        }
        self.add(Section::Mother, record.section(Section::Mother));
        record
            .birth_dates()
            .filter(|date| keep(Kind::BirthDate, (*date).into()))
            .for_each(|date| self.date(date));
        let phones = record.numbers(Section::Phone).filter(|phone| keep(Kind::Phone, text::mix(*phone)));
        phones.for_each(|phone| self.number(Section::Phone, phone));
        let emails = record.pairs(Section::Email).filter(|(whole, _)| keep(Kind::Email, *whole));
        emails.for_each(|(whole, local)| self.email(whole, local));
        for (head, value) in values(record.section(Section::Identifier), 4) {
            if keep(Kind::Identifier, placeholder::identifier((int(head), value))) {
                self.add(Section::Identifier, &[head, &[value.len() as u8], value].concat());
            }
        }
        let places = values(record.section(Section::Place), PLACE_HEAD).zip(record.places());
        for ((head, street), place) in places {
            let kept = street.is_empty() || keep(Kind::Address, placeholder::address(&place));
            // What is no evidence is the house; city and postcode stay.
            let (head, street) = match kept {
                true => (head.to_vec(), street),
                false => ([&[0; 8], &head[8..28], &[0; 16]].concat(), &[][..]),
            };
            self.add(Section::Place, &[&head, &[street.len() as u8][..], street].concat());
        }
    }

    fn value(&mut self, section: Section, head: &[u8], text: &str) {
        let text = &text.as_bytes()[..text.len().min(TEXT_MAX)];
        self.add(section, &[head, &[text.len() as u8], text].concat());
    }

    fn add(&mut self, section: Section, value: &[u8]) {
        let bytes = &mut self.sections[section as usize];
        bytes.extend(value);
    }
}

fn short_hash(text: &str) -> u32 {
    text::hash(text.as_bytes()) as u32
}

#[cfg(test)]
mod tests;
