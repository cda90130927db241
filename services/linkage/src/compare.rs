//! Comparing two records: the level of agreement of each field.
//!
//! Every value of one record is compared with every value of the other, and the strongest agreement counts: a prior
//! name or an old phone number of a person is evidence too.

use std::fmt;

use crate::{
    nickname,
    normalize::name,
    packed::{FEMALE, Place, Section, View, Word},
    pattern::{
        DIFFERENT_OF_2, DIFFERENT_OF_3, EXACT, Field, Level, MISSING, ONE_EDIT, Pattern, UNNAMED_OF_SEVERAL,
        address, birth_date, family, given, identifier, middle,
    },
    text::{Text, digit_edits, one_edit, same_vowels, share_at_least, similarity, within_edits},
};

/// Years between a parent and a child.
const GENERATION_YEARS: std::ops::RangeInclusive<u32> = 15..=50;

/// How two records agree. `Debug` shows levels, not of which names.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Level of each field.
    pub pattern: Pattern,
    /// Hash of the given name that agrees exactly; 0 when none does.
    pub given: u32,
    /// Hash of the family name that agrees exactly; 0 when none does.
    pub family: u32,
    /// Hashes of two given names that are close but not equal; 0 when there are none.
    pub close: [u32; 2],
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}

/// Compares two records. The order of the two does not matter.
pub fn compare(a: View<'_>, b: View<'_>) -> Comparison {
    let (mut given, given_hash) = best_word(a, b, Section::Given, given_level);
    let (mut family, family_hash) = best_word(a, b, Section::Family, family_level);
    if family > family::SHARED_PART && shares_token(a, b) {
        family = family::SHARED_PART;
    }
    if given > given::MIDDLE_AS_FIRST && (middle_as_first(a, b) || middle_as_first(b, a)) {
        given = given::MIDDLE_AS_FIRST;
    }
    if given > given::SWAPPED && family > family::CLOSE {
        // One joint level: the family name then adds nothing of its own.
        match (crosses(a, b), crosses(b, a)) {
            (true, true) => (given, family) = (given::SWAPPED, MISSING),
            (false, false) => {}
            _ if given > given::ONE_SWAPPED && family > family::SIMILAR => {
                (given, family) = (given::ONE_SWAPPED, MISSING);
            }
            _ => {}
        }
    }
    if family == family::DIFFERENT && a.sex() == FEMALE && b.sex() == FEMALE {
        family = family::DIFFERENT_OF_WOMEN;
    }
    // A middle name that has become the first is not in the middle any more.
    let middle = if given == given::MIDDLE_AS_FIRST { MISSING } else { middles(a, b) };
    let pattern = Pattern::default()
        .with(Field::Given, given)
        .with(Field::Middle, middle)
        .with(Field::Family, family)
        .with(Field::Suffix, suffix(a.suffix(), b.suffix()))
        .with(Field::BirthDate, best(a.birth_dates(), b.birth_dates(), date_level))
        .with(Field::Sex, equal(a.sex(), b.sex()))
        .with(Field::Address, best(a.places(), b.places(), place_level))
        .with(Field::Phone, best(a.numbers(Section::Phone), b.numbers(Section::Phone), phone_level))
        .with(Field::Email, best(a.pairs(Section::Email), b.pairs(Section::Email), email_level))
        .with(Field::Identifier, best(a.identifiers(), b.identifiers(), identifier_level))
        .with(
            Field::RecordNumber,
            best(a.pairs(Section::RecordNumber), b.pairs(Section::RecordNumber), number_level),
        )
        .with(Field::BirthOrder, birth_order(a, b))
        .with(Field::Mother, best(a.texts(Section::Mother), b.texts(Section::Mother), mother_level));
    Comparison {
        pattern,
        given: if given == EXACT { given_hash } else { 0 },
        family: if family == EXACT { family_hash } else { 0 },
        close: if given == given::CLOSE { close_names(a, b) } else { [0; 2] },
    }
}

/// Returns the strongest level over all pairs of values; missing when either side has none that can be compared.
fn best<T: Copy>(
    a: impl Iterator<Item = T>,
    b: impl Iterator<Item = T> + Clone,
    level: impl Fn(T, T) -> Level,
) -> Level {
    // As a number below 0, "missing" is the largest and gives way to any other.
    let mut best = MISSING.wrapping_sub(1);
    for x in a {
        for y in b.clone() {
            best = best.min(level(x, y).wrapping_sub(1));
        }
    }
    best.wrapping_add(1)
}

/// Returns the strongest level, and the smallest hash of a name that agrees exactly.
fn best_word(
    a: View<'_>,
    b: View<'_>,
    section: Section,
    level: impl Fn(Word<'_>, Word<'_>) -> Level,
) -> (Level, u32) {
    let same = |x: &Word<'_>| b.words(section).any(|y| x.hash == y.hash && x.text.bytes == y.text.bytes);
    match a.words(section).filter(same).map(|word| word.hash).min() {
        Some(hash) => (EXACT, hash),
        None => (best(a.words(section), b.words(section), level), 0),
    }
}

/// Returns the hashes of two given names that are close, the smaller first; of several pairs the smallest.
fn close_names(a: View<'_>, b: View<'_>) -> [u32; 2] {
    let pairs = a.words(Section::Given).flat_map(|x| b.words(Section::Given).map(move |y| (x, y)));
    let close = pairs.filter(|(x, y)| given_level(*x, *y) == given::CLOSE);
    close.map(|(x, y)| [x.hash.min(y.hash), x.hash.max(y.hash)]).min().unwrap_or_default()
}

fn equal(a: u8, b: u8) -> Level {
    match (a, b) {
        (0, _) | (_, 0) => MISSING,
        _ if a == b => EXACT,
        _ => DIFFERENT_OF_2,
    }
}

/// A second of his name may be called Junior.
fn suffix(a: u8, b: u8) -> Level {
    if a != b && [a, b].iter().all(|suffix| name::SECOND.contains(suffix)) { MISSING } else { equal(a, b) }
}

fn birth_order(a: View<'_>, b: View<'_>) -> Level {
    let unnamed_of_several = |view: View<'_>| view.flags().newborn && view.flags().multiple_birth;
    match equal(a.birth_order(), b.birth_order()) {
        MISSING if unnamed_of_several(a) || unnamed_of_several(b) => UNNAMED_OF_SEVERAL,
        level => level,
    }
}

fn given_level(a: Word<'_>, b: Word<'_>) -> Level {
    if nickname::related(a.nicknames, b.nicknames) {
        return given::NICKNAME;
    }
    let (short, long) = ordered(a.text.bytes, b.text.bytes);
    if short.len() == 1 {
        return if long.starts_with(short) { given::INITIAL } else { given::DIFFERENT };
    }
    let alike = a.text.similarity(b.text);
    // "Charles" and "Charlotte" are two names, however much alike they look.
    let two_names = a.nicknames != [0; 4] && b.nicknames != [0; 4];
    // Jaro-Winkler is hard on short names: "amy" and "any".
    let slip = || short.len() > 2 && short[0] == long[0] && a.text.one_edit(b.text);
    if !two_names && (alike.at_least(92) || slip()) {
        let one_name = a.sound == b.sound && same_vowels(a.text.bytes, b.text.bytes);
        return if one_name { given::SOUNDS_ALIKE } else { given::CLOSE };
    }
    if short.len() > 2 && short[0] == long[0] && long.starts_with(short) {
        return given::PREFIX;
    }
    if alike.at_least(80) { given::SIMILAR } else { given::DIFFERENT }
}

/// Returns the shorter of two texts first.
fn ordered<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if a.len() <= b.len() { (a, b) } else { (b, a) }
}

/// True when a given name of one is a middle name of the other.
fn middle_as_first(one: View<'_>, other: View<'_>) -> bool {
    let first = |name: Word<'_>, middle: Text<'_>| {
        name.text.letters == middle.letters && name.text.bytes.len() > 1 && name.text.bytes == middle.bytes
    };
    other.texts(Section::Middle).any(|middle| one.words(Section::Given).any(|name| first(name, middle)))
}

/// True when a given name of one is a family name of the other.
fn crosses(one: View<'_>, other: View<'_>) -> bool {
    let same = |x: Word<'_>, y: Word<'_>| {
        let related = nickname::related(x.nicknames, y.nicknames);
        let alike = || x.text.alike(y.text, 92) || (x.text.bytes.len() > 3 && x.text.one_edit(y.text));
        x.text.bytes.len() > 1 && (x.hash == y.hash || related || alike())
    };
    one.words(Section::Given).any(|x| other.words(Section::Family).any(|y| same(x, y)))
}

fn middles(a: View<'_>, b: View<'_>) -> Level {
    best(a.texts(Section::Middle), b.texts(Section::Middle), |a, b| {
        let (short, long) = ordered(a.bytes, b.bytes);
        match short.len() {
            1 if long.len() > 1 && long[0] == short[0] => middle::INITIAL,
            _ if a.letters == b.letters && a.bytes == b.bytes => EXACT,
            1 => middle::DIFFERENT,
            _ if a.alike(b, 85) => middle::SIMILAR,
            _ => middle::DIFFERENT,
        }
    })
}

fn family_level(a: Word<'_>, b: Word<'_>) -> Level {
    let (short, long) = ordered(a.text.bytes, b.text.bytes);
    let alike = a.text.similarity(b.text);
    if alike.at_least(92) || (short.len() > 3 && a.text.one_edit(b.text)) {
        family::CLOSE
    } else if short.len() > 3 && is_part(short, long) {
        family::SHARED_PART
    } else if alike.at_least(85) {
        family::SIMILAR
    } else {
        family::DIFFERENT
    }
}

/// True when a long name begins or ends as a short one.
fn is_part(short: &[u8], long: &[u8]) -> bool {
    (short.first() == long.first() && long.starts_with(short))
        || (short.last() == long.last() && long.ends_with(short))
}

/// True when one half of a double name agrees with the other's half or whole.
fn shares_token(a: View<'_>, b: View<'_>) -> bool {
    let (x, y) = (a.section(Section::FamilyToken), b.section(Section::FamilyToken));
    if x.is_empty() && y.is_empty() {
        return false;
    }
    let tokens = |view: View<'_>, token: u64| view.numbers(Section::FamilyToken).any(|other| other == token);
    let wholes =
        |view: View<'_>, token: u64| view.words(Section::Family).any(|word| word.hash == token as u32);
    let either = |view: View<'_>, token: u64| tokens(view, token) || wholes(view, token);
    a.numbers(Section::FamilyToken).any(|token| either(b, token))
        || b.numbers(Section::FamilyToken).any(|token| wholes(a, token))
}

/// Levels of two dates, each eight packed decimal digits.
fn date_level(a: u32, b: u32) -> Level {
    if a == b {
        return EXACT;
    }
    let (year_a, year_b) = (a >> 16, b >> 16);
    let (month, day) = (|x: u32| (x >> 8) & 0xff, |x: u32| x & 0xff);
    if year_a == year_b && day(a) == month(b) && month(a) == day(b) {
        return birth_date::SWAPPED;
    }
    let years = decimal(year_a).abs_diff(decimal(year_b));
    match digit_edits(a.into(), b.into()) {
        1 if !GENERATION_YEARS.contains(&years) => birth_date::ONE_EDIT,
        _ if a & 0xffff == b & 0xffff && !GENERATION_YEARS.contains(&years) => birth_date::SAME_DAY_AND_MONTH,
        2 if !GENERATION_YEARS.contains(&years) => birth_date::TWO_EDITS,
        _ if years == 0 => birth_date::SAME_YEAR,
        _ if years <= 3 => birth_date::WITHIN_3_YEARS,
        _ if years <= 10 => birth_date::WITHIN_10_YEARS,
        _ if GENERATION_YEARS.contains(&years) => birth_date::GENERATION,
        _ => birth_date::DIFFERENT,
    }
}

/// Unpacks four decimal digits.
fn decimal(packed: u32) -> u32 {
    (packed >> 12) * 1000 + ((packed >> 8) & 15) * 100 + ((packed >> 4) & 15) * 10 + (packed & 15)
}

/// The joint level of line and area.
fn place_level(a: Place<'_>, b: Place<'_>) -> Level {
    address::JOINT[line_level(a, b)][area_level(a, b)]
}

/// Returns 0 for the same area, 1 for one that is near, 2 for another, 3 when one side knows none.
fn area_level(a: Place<'_>, b: Place<'_>) -> usize {
    let (postcodes, cities) = (a.postcode != [0; 8] && b.postcode != [0; 8], a.city != 0 && b.city != 0);
    let one_city = cities && share_at_least(a.city.into(), b.city.into(), 60);
    // There is a Springfield in many states. "FLA" is another way of writing "FL".
    let (short, long) = ordered(trimmed(&a.state), trimmed(&b.state));
    let states_differ = !long.starts_with(short);
    match (postcodes, cities) {
        (false, false) => 3,
        (true, _) if a.postcode == b.postcode => usize::from(states_differ && !one_city),
        _ if states_differ => 2,
        _ if one_city => 1,
        (true, _) if one_edit(trimmed(&a.postcode), trimmed(&b.postcode)) => 1,
        _ => 2,
    }
}

fn trimmed(code: &[u8]) -> &[u8] {
    let end = code.iter().position(|byte| *byte == 0).unwrap_or(code.len());
    &code[..end]
}

/// Returns 0 for the same line, 1 for one that is close, 2 similar, 3 another house of the street, 4 another, 5 when one side
/// knows none.
fn line_level(a: Place<'_>, b: Place<'_>) -> usize {
    if a.street.is_empty() || b.street.is_empty() {
        return 5;
    }
    let numbers = a.number == b.number;
    let slip = numbers
        || a.number == 0
        || b.number == 0
        || digit_edits(a.number.into(), b.number.into()) == 1
        || a.number >> 4 == b.number
        || b.number >> 4 == a.number;
    let units = a.unit == 0 || b.unit == 0 || a.unit == b.unit;
    let share = |hundredths| share_at_least(a.signature, b.signature, hundredths);
    if a.signature == b.signature && a.street == b.street {
        return match (numbers, units, slip) {
            (true, true, _) => 0,
            (true, false, _) | (false, true, true) => 1,
            (false, false, true) => 2,
            _ => 3,
        };
    }
    // Words in another order share their pairs of letters; one that goes on where the other ends is alike, too.
    let alike = || share(40) && similarity(a.street, b.street).at_least(92);
    match () {
        () if numbers && (share(80) || alike()) => 1,
        () if slip && (share(60) || (!numbers && alike())) => 2,
        () if !slip && share(80) => 3,
        () => 4,
    }
}

fn phone_level(a: u64, b: u64) -> Level {
    match digit_edits(a, b) {
        0 => EXACT,
        1 => ONE_EDIT,
        _ => DIFFERENT_OF_3,
    }
}

fn email_level(a: (u64, u64), b: (u64, u64)) -> Level {
    match (a.0 == b.0, a.1 == b.1) {
        (true, _) => EXACT,
        (false, true) => 2,
        (false, false) => DIFFERENT_OF_3,
    }
}

/// Identifiers of different authorities say nothing of one another.
fn identifier_level(a: (u32, &[u8]), b: (u32, &[u8])) -> Level {
    match (a.0 == b.0, a.1 == b.1) {
        (false, _) => MISSING,
        (true, true) => EXACT,
        (true, false) if one_edit(a.1, b.1) => identifier::ONE_EDIT,
        (true, false) if two_slips(a.1, b.1) => identifier::TWO_EDITS,
        (true, false) => identifier::DIFFERENT,
    }
}

/// True when two long numbers differ by two slips: likelier than two numbers that are so alike.
fn two_slips(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = ordered(a, b);
    let front = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let back = short.iter().rev().zip(long.iter().rev()).take_while(|(x, y)| x == y).count();
    // Each slip touches two places at most: nearly all numbers are told apart here.
    let near = front + back + 4 >= short.len() || short.iter().zip(long).filter(|(x, y)| x != y).count() <= 4;
    short.len() >= 7 && near && within_edits(a, b, 2)
}

fn number_level(a: (u64, u64), b: (u64, u64)) -> Level {
    match (a.0 == b.0, a.1 == b.1) {
        (false, _) => MISSING,
        (true, true) => EXACT,
        (true, false) => DIFFERENT_OF_2,
    }
}

fn mother_level(a: Text<'_>, b: Text<'_>) -> Level {
    match a.bytes == b.bytes {
        true => EXACT,
        false if a.alike(b, 92) => 2,
        false => DIFFERENT_OF_3,
    }
}

#[cfg(test)]
mod tests;
