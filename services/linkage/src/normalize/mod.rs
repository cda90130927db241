//! Normalisation: one form for what different clerks write differently.
//!
//! Text is folded to lower-case ASCII letters and digits (Unicode NFKD, marks dropped, other scripts transliterated);
//! what carries no information (`UNKNOWN`, 1900-01-01, 999-99-9999) becomes missing. Nothing is guessed: a date that
//! never was stays as it came, and is marked.

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};
use rphonetic::{DoubleMetaphone, Encoder};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{
    nickname,
    packed::{FEMALE, Flags, Packed, Packer, Section},
    record::{Date, Identifier, Record, Sex},
    text::{self, TEXT_MAX},
};

pub(crate) mod name;
mod place;

pub(crate) use place::{Place, is_street_word};

/// Most values of one field that are kept.
pub const VALUES_MAX: usize = 16;

/// Normalises a record into the form that is compared.
///
/// `region` is assumed for phone numbers that name no country.
pub fn prepare(record: &Record, region: Region) -> Packed {
    let mut packer = Packer::default();
    let mut flags = Flags::default();
    let (mut suffix, mut birth_order) = (0, record.multiple_birth_order);
    let (mut given, mut middle, mut family) = (vec![], vec![], vec![]);
    for name in record.names.iter().take(VALUES_MAX) {
        let mut name = name::name(name);
        if name::is_john_doe(&name.given, &name.family) && !has_plain_date(record) {
            name = name::Names { unidentified: true, ..name::Names::default() };
        }
        flags.newborn |= name.newborn;
        flags.unidentified |= name.unidentified;
        birth_order = birth_order.or(name.birth_order);
        suffix = if suffix == 0 { name.suffix } else { suffix };
        push(&mut given, name.given);
        push(&mut given, name.double);
        name.middle.into_iter().for_each(|word| push(&mut middle, word));
        if !name.family.is_empty() && !family.contains(&name.family) {
            family.push(name.family);
        }
    }
    // Who got a name later is not nameless any more.
    flags.newborn &= given.is_empty();
    flags.unidentified &= given.is_empty() && family.is_empty();
    given.iter().for_each(|name| packer.word(Section::Given, name, sound(name), nickname::rows(name)));
    middle.iter().for_each(|name| packer.text(Section::Middle, name));
    for words in &family {
        let whole = words.concat();
        packer.word(Section::Family, &whole, sound(&whole), nickname::rows(&whole));
        name::tokens(words)
            .take(VALUES_MAX)
            .for_each(|word| packer.number(Section::FamilyToken, text::hash(word.as_bytes())));
    }
    for date in record.birth_dates.iter().take(VALUES_MAX).filter(|date| !is_placeholder_date(**date)) {
        flags.impossible_date |= !date.exists();
        packer.date(packed_date(*date));
    }
    for address in record.addresses.iter().take(VALUES_MAX) {
        packer.place(&place::place(address));
    }
    for phone in record.phones.iter().take(VALUES_MAX).filter_map(|text| phone(text, region)) {
        packer.number(Section::Phone, phone);
    }
    record.emails.iter().take(VALUES_MAX).filter_map(|text| email(text)).for_each(|email| {
        let local = email.split('@').next().unwrap_or_default();
        packer.email(text::hash(email.as_bytes()), text::hash(local.as_bytes()));
    });
    for identifier in record.identifiers.iter().take(VALUES_MAX) {
        let (system, value) = normalized(identifier);
        if !is_placeholder_number(&value) {
            packer.identifier(text::hash(system.as_bytes()), &value);
        }
    }
    for number in record.record_numbers.iter().take(VALUES_MAX) {
        let (system, value) = normalized(number);
        if !value.is_empty() {
            packer.record_number(text::hash(system.as_bytes()), text::hash(value.as_bytes()));
        }
    }
    if let Some(mother) = &record.mother {
        let mother = name::name(mother);
        packer.text(Section::Mother, &[mother.given, mother.family.concat()].concat());
    }
    let sex = match record.sex {
        None => 0,
        Some(Sex::Female) => FEMALE,
        Some(Sex::Male) => FEMALE + 1,
    };
    flags.multiple_birth = birth_order.is_some();
    packer.finish(flags, sex, suffix, birth_order.unwrap_or(0))
}

/// Folds text to words of lower-case ASCII letters and digits.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    let mut take = |c: char, word: &mut String| match c {
        'a'..='z' | '0'..='9' => word.push(c),
        'A'..='Z' => word.push(c.to_ascii_lowercase()),
        // An apostrophe stands inside a name, other punctuation between two.
        '\'' | '’' | '‘' | '`' | 'ʼ' | '′' | '.' => {}
        _ if c.is_alphanumeric() && !c.is_ascii() => {
            let latin = deunicode::deunicode_char(c).unwrap_or_default();
            word.extend(latin.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
        }
        _ if !word.is_empty() => words.push(std::mem::take(word)),
        _ => {}
    };
    if text.is_ascii() {
        text.chars().for_each(|c| take(c, &mut word));
    } else {
        let visible = text.chars().filter(|c| !is_invisible(*c));
        // What is left of a letter with its marks is put together again: a syllable is transliterated as a whole.
        visible.nfkd().filter(|c| !is_dropped_mark(*c)).nfc().for_each(|c| take(c, &mut word));
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Characters that nobody sees, and the accent that is typed as an apostrophe and would come apart.
fn is_invisible(c: char) -> bool {
    matches!(c, '´' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

/// True for accents, and for the points of Hebrew and Arabic, which a writer may leave out; not for the vowel signs of the
/// scripts of India and the voicing marks of Japanese, without which a name is another.
fn is_dropped_mark(c: char) -> bool {
    let optional = matches!(c, '\u{300}'..='\u{36f}' | '\u{590}'..='\u{6ff}');
    is_combining_mark(c) && (optional || !(c.is_alphanumeric() || matches!(c, '\u{3099}' | '\u{309a}')))
}

fn push(list: &mut Vec<String>, value: String) {
    if !value.is_empty() && list.len() < VALUES_MAX && !list.contains(&value) {
        list.push(value);
    }
}

/// Returns how a name sounds, as a hash; 0 when it has no letters.
fn sound(name: &str) -> u32 {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).take(TEXT_MAX).collect();
    let code = DoubleMetaphone::default().encode(&letters);
    let code = if code.is_empty() { letters } else { code };
    if code.is_empty() { 0 } else { text::hash(code.as_bytes()) as u32 | 1 }
}

fn has_plain_date(record: &Record) -> bool {
    record.birth_dates.iter().any(|date| !is_placeholder_date(*date) && (date.month, date.day) != (1, 1))
}

/// Packs a date into eight decimal digits, four bits each.
fn packed_date(date: Date) -> u32 {
    digits(&format!("{:04}{:02}{:02}", date.year.min(9999), date.month.min(99), date.day.min(99)))
}

/// Packs the first eight digits of a text, four bits each.
fn digits(text: &str) -> u32 {
    let digits: String = text.chars().filter(char::is_ascii_digit).take(8).collect();
    packed(&digits) as u32
}

/// Packs at most sixteen digits, four bits each.
fn packed(digits: &str) -> u64 {
    digits.bytes().fold(0, |packed, digit| packed << 4 | u64::from(digit - b'0'))
}

/// Returns the digits of a phone number in E.164, packed; `None` when it is none.
fn phone(text: &str, region: Region) -> Option<u64> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let tail = digits.len().saturating_sub(10);
    if digits.len() < 6 || is_placeholder_number(&digits[tail..]) {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(text, Some(region)).ok()?;
    let digits = format!("{}{}", number.country_code, number.national_number);
    (digits.len() <= 15).then(|| packed(&digits))
}

fn email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.split_once('@')?;
    let nobody = matches!(
        local,
        "none" | "na" | "n/a" | "unknown" | "noemail" | "no" | "test" | "declined" | "patient"
    );
    (!local.is_empty() && domain.contains('.') && !nobody).then(|| text.clone())
}

fn normalized(identifier: &Identifier) -> (String, String) {
    (identifier.system.trim().to_lowercase(), words(&identifier.value).concat())
}

fn is_placeholder_date(date: Date) -> bool {
    let Date { year, month, day } = date;
    let default = month == 1 && day == 1 && (year <= 1901 || year == 1970);
    // Without a day or a month it is hardly a date.
    !(1880..=2200).contains(&year)
        || month == 0
        || day == 0
        || default
        || (year, month, day) == (1911, 11, 11)
}

/// One digit repeated, or digits that count up: nobody's number.
fn is_placeholder_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let same = bytes.windows(2).all(|w| w[0] == w[1]);
    let counts = bytes.windows(2).all(|w| w[1] == w[0] + 1 || (w[0] == b'9' && w[1] == b'0'));
    // "999-99-9998" was typed by somebody who tried the nines before.
    let but_one = |byte: &u8| bytes.iter().filter(|other| *other == byte).count() + 1 >= bytes.len();
    let nearly = bytes.len() > 6 && bytes.iter().take(2).any(but_one);
    let no_number = !bytes.iter().any(u8::is_ascii_digit);
    bytes.is_empty() || (bytes.len() > 3 && same) || nearly || (bytes.len() > 5 && counts) || no_number
}

#[cfg(test)]
mod tests;
