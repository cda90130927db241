//! Comparing two records: one level of agreement for each field.
//!
//! Levels are ordered from the strongest agreement to plain difference; [`Level::Missing`] says that one side knows
//! nothing, and is no evidence.

use strsim::{jaro_winkler, osa_distance};

use crate::{
    nickname,
    normalize::{Place, Prepared},
    record::Date,
};

/// A field that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Given names.
    Given,
    /// Family names, current and prior.
    Family,
    /// Generational suffix.
    Suffix,
    /// Birth date.
    BirthDate,
    /// Sex.
    Sex,
    /// Address, city and postcode together: they depend on one another.
    Address,
    /// Phone numbers.
    Phone,
    /// E-mail addresses.
    Email,
    /// Identifiers of one authority.
    Identifier,
    /// Position in a multiple birth.
    BirthOrder,
}

/// Every field, in the order in which it is explained.
pub const FIELDS: [Field; 10] = [
    Field::Given,
    Field::Family,
    Field::Suffix,
    Field::BirthDate,
    Field::Sex,
    Field::Address,
    Field::Phone,
    Field::Email,
    Field::Identifier,
    Field::BirthOrder,
];

impl Field {
    /// Returns the field's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Family => "family",
            Self::Suffix => "suffix",
            Self::BirthDate => "birth_date",
            Self::Sex => "sex",
            Self::Address => "address",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Identifier => "identifier",
            Self::BirthOrder => "multiple_birth_order",
        }
    }
}

/// How far the values of a field agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One side knows nothing.
    Missing,
    /// The same value.
    Exact,
    /// Given and family name changed places.
    Swapped,
    /// One is a usual short form of the other.
    Nickname,
    /// Jaro-Winkler at least 0.92, or one edit; one edit or day and month swapped in a date; same street line in an address.
    Close,
    /// Shared part: an initial, a middle name used as first, one half of a double name, same postcode.
    Partial,
    /// Jaro-Winkler at least 0.8; two edits or the same year in a date; same city.
    Weak,
    /// Different.
    Different,
}

impl Level {
    /// Returns the level's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Exact => "exact",
            Self::Swapped => "swapped",
            Self::Nickname => "nickname",
            Self::Close => "close",
            Self::Partial => "partial",
            Self::Weak => "weak",
            Self::Different => "different",
        }
    }
}

/// The levels of all fields, in the order of [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels(pub [Level; FIELDS.len()]);

impl Levels {
    /// Returns the level of one field.
    pub fn of(&self, field: Field) -> Level {
        self.0[field as usize]
    }

    /// Returns the better level of each field; a missing one gives way to any other.
    #[must_use]
    pub fn best(&self, other: &Self) -> Self {
        let better =
            |a: Level, b: Level| if a == Level::Missing || b == Level::Missing { a.max(b) } else { a.min(b) };
        Self(std::array::from_fn(|i| better(self.0[i], other.0[i])))
    }
}

/// Compares two records. The order of the two does not matter.
pub fn compare(a: &Prepared, b: &Prepared) -> Levels {
    let mut given = best(&a.given, &b.given, given_level);
    let mut family = best(&a.family, &b.family, family_level);
    if swapped(a, b) && given > Level::Swapped && family > Level::Swapped {
        // One joint level: the family name then adds nothing of its own.
        (given, family) = (Level::Swapped, Level::Missing);
    }
    let middle_first = |x: &Prepared, y: &Prepared| x.given.iter().any(|name| y.middle.contains(name));
    if given > Level::Partial && (middle_first(a, b) || middle_first(b, a)) {
        given = Level::Partial;
    }
    Levels([
        given,
        family,
        equal(some(&a.suffix), some(&b.suffix)),
        date_level(a.birth_date, b.birth_date),
        equal(a.sex, b.sex),
        best(&a.places, &b.places, place_level),
        shared(&a.phones, &b.phones),
        shared(&a.emails, &b.emails),
        identifiers(a, b),
        equal(a.multiple_birth_order, b.multiple_birth_order),
    ])
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn equal<T: PartialEq>(a: Option<T>, b: Option<T>) -> Level {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Level::Exact,
        (Some(_), Some(_)) => Level::Different,
        _ => Level::Missing,
    }
}

/// The best level over all pairs of values; missing when either side has none.
fn best<T>(a: &[T], b: &[T], level: fn(&T, &T) -> Level) -> Level {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| level(x, y)));
    pairs.filter(|level| *level != Level::Missing).min().unwrap_or(Level::Missing)
}

fn shared(a: &[String], b: &[String]) -> Level {
    best(a, b, |x, y| if x == y { Level::Exact } else { Level::Different })
}

/// True when given and family name changed places, misspelt or not.
fn swapped(a: &Prepared, b: &Prepared) -> bool {
    let crosses =
        |x: &[String], y: &[String]| x.iter().any(|n| y.iter().any(|m| n == m || similarity(n, m) >= 0.92));
    crosses(&a.given, &b.family) && crosses(&a.family, &b.given)
}

fn given_level(a: &String, b: &String) -> Level {
    let initial = |x: &str, y: &str| x.len() == 1 && y.starts_with(x);
    if a == b {
        return Level::Exact;
    }
    if nickname::related(a, b) {
        return Level::Nickname;
    }
    if initial(a, b) || initial(b, a) {
        return Level::Partial;
    }
    match similarity(a, b) {
        0.92.. => Level::Close,
        // Jaro-Winkler is hard on short names: "amy" and "any".
        _ if a.len().min(b.len()) >= 3 && osa_distance(a, b) == 1 => Level::Close,
        0.8.. => Level::Weak,
        _ => Level::Different,
    }
}

fn family_level(a: &String, b: &String) -> Level {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    match similarity(a, b) {
        _ if a == b => Level::Exact,
        0.92.. => Level::Close,
        // One half of a double name.
        _ if short.len() > 3 && (long.starts_with(short.as_str()) || long.ends_with(short.as_str())) => {
            Level::Partial
        }
        0.85.. => Level::Weak,
        _ => Level::Different,
    }
}

/// Jaro-Winkler; `strsim` is not symmetric in the last bit, so the texts are put in order first.
fn similarity(a: &str, b: &str) -> f64 {
    if a <= b { jaro_winkler(a, b) } else { jaro_winkler(b, a) }
}

/// Years from which on two people of one name may be parent and child.
const GENERATION_YEARS: u16 = 12;

fn date_level(a: Option<Date>, b: Option<Date>) -> Level {
    let (Some(a), Some(b)) = (a, b) else { return Level::Missing };
    if a == b {
        return Level::Exact;
    }
    if a.year == b.year && a.day == b.month && a.month == b.day {
        return Level::Close;
    }
    let digits = |d: Date| format!("{:04}{:02}{:02}", d.year, d.month, d.day);
    // A whole generation is no slip of the pen: the same day in another year is how a son is named after his father.
    let generation = a.year.abs_diff(b.year) > GENERATION_YEARS;
    match osa_distance(&digits(a), &digits(b)) {
        1 => Level::Close,
        _ if generation => Level::Different,
        _ if a.day == b.day && a.month == b.month => Level::Partial,
        2 => Level::Weak,
        _ => Level::Different,
    }
}

fn place_level(a: &Place, b: &Place) -> Level {
    let both = |x: &str, y: &str| !x.is_empty() && !y.is_empty();
    // Neighbours share a street: with another house number two lines are close at best, and only when it may be a slip.
    let numbered = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let number = |line: &str| line.split(' ').find(numbered).unwrap_or_default().to_owned();
    let (m, n) = (number(&a.line), number(&b.line));
    let line = both(&a.line, &b.line).then(|| match a.line == b.line {
        true => 1.0,
        false if m == n || osa_distance(&m, &n) == 1 => similarity(&a.line, &b.line),
        false => 0.0,
    });
    let postcode = both(&a.postcode, &b.postcode).then_some(a.postcode == b.postcode);
    let city = both(&a.city, &b.city).then_some(a.city == b.city);
    match (line, postcode, city) {
        (None, None, None) => Level::Missing,
        (Some(0.92..), Some(true), _) if m == n => Level::Exact,
        (Some(0.92..), _, _) => Level::Close,
        (_, Some(true), _) => Level::Partial,
        (_, _, Some(true)) => Level::Weak,
        _ => Level::Different,
    }
}

/// Agreement counts over all authorities; difference only where one authority gave two values.
fn identifiers(a: &Prepared, b: &Prepared) -> Level {
    if a.identifiers.iter().any(|id| b.identifiers.contains(id)) {
        return Level::Exact;
    }
    let one_authority = a.identifiers.iter().any(|x| b.identifiers.iter().any(|y| x.system == y.system));
    if !one_authority {
        return Level::Missing;
    }
    let near = |x: &str, y: &str| osa_distance(x, y) <= 1;
    let typo = a
        .identifiers
        .iter()
        .any(|x| b.identifiers.iter().any(|y| x.system == y.system && near(&x.value, &y.value)));
    if typo { Level::Close } else { Level::Different }
}

#[cfg(test)]
mod tests;
