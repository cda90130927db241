//! Agreement patterns: one level of agreement for each compared field, in one machine word.
//!
//! Level 0 is always "missing": one side knows nothing, which is no evidence. Level 1 is the strongest agreement, and
//! the weaker follow in order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A field that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// First given names.
    Given,
    /// Further given names.
    Middle,
    /// Family names, current and prior.
    Family,
    /// Generational suffix.
    Suffix,
    /// Birth date.
    BirthDate,
    /// Sex.
    Sex,
    /// Street line together with postcode and city: they depend on one another.
    Address,
    /// Phone numbers.
    Phone,
    /// E-mail addresses.
    Email,
    /// Identifiers of one authority.
    Identifier,
    /// Numbers under which one source keeps the person.
    RecordNumber,
    /// Position in a multiple birth.
    BirthOrder,
    /// The mother's name.
    Mother,
}

/// Number of fields.
pub const FIELDS: usize = 13;

/// Most levels of a field, with "missing".
pub const LEVELS_MAX: usize = 24;

/// A field's place in the word: first bit and mask.
const PLACES: [(u32, u64); FIELDS] = [
    (0, 15),
    (4, 7),
    (7, 7),
    (10, 3),
    (12, 15),
    (16, 3),
    (18, 31),
    (23, 3),
    (25, 3),
    (27, 7),
    (30, 3),
    (32, 3),
    (34, 3),
];

const GIVEN: &[&str] = &[
    "missing",
    "exact",
    "nickname",
    "sounds alike",
    "close",
    "middle used as first",
    "swapped with family",
    "initial",
    "prefix",
    "one swapped with family",
    "close, two names",
    "similar",
    "different",
];
const MIDDLE: &[&str] = &["missing", "exact", "initial", "similar", "different"];
const FAMILY: &[&str] =
    &["missing", "exact", "shared part", "close", "similar", "different, of women", "different"];
const SUFFIX: &[&str] = &["missing", "exact", "different"];
const BIRTH_DATE: &[&str] = &[
    "missing",
    "exact",
    "day and month swapped",
    "one edit",
    "same day and month",
    "two edits",
    "same year",
    "within 3 years",
    "within 10 years",
    "a generation apart",
    "different",
];
const SEX: &[&str] = &["missing", "exact", "different"];
const ADDRESS: &[&str] = &[
    "missing",
    "line exact, area exact",
    "line exact, area near",
    "line exact, area different",
    "line exact",
    "line close, area exact",
    "line close, area near",
    "line close, area different",
    "line close",
    "line similar, area exact",
    "line similar, area near",
    "line similar",
    "street alike, area exact",
    "street alike, area near",
    "street alike",
    "area exact",
    "area near",
    "line different, area exact",
    "line different, area near",
    "line similar, area different",
    "street alike, area different",
    "line different, area different",
    "line different",
    "area different",
];
const PHONE: &[&str] = &["missing", "exact", "one edit", "different"];
const EMAIL: &[&str] = &["missing", "exact", "same local part", "different"];
const IDENTIFIER: &[&str] = &["missing", "exact", "one edit", "two edits", "different"];
const RECORD_NUMBER: &[&str] = &["missing", "exact", "different"];
const BIRTH_ORDER: &[&str] = &["missing", "exact", "different", "unnamed of several"];
const MOTHER: &[&str] = &["missing", "exact", "close", "different"];

/// A level: its place in the field's list of levels.
pub type Level = u8;

/// The level at which one side knows nothing.
pub const MISSING: Level = 0;

/// The strongest agreement of any field.
pub const EXACT: Level = 1;

/// Levels of given names.
#[expect(missing_docs, reason = "the names are those of the list of levels")]
pub mod given {
    use super::Level;
    pub const NICKNAME: Level = 2;
    /// Close, and one in sound: "Amy" and "Amie".
    pub const SOUNDS_ALIKE: Level = 3;
    pub const CLOSE: Level = 4;
    pub const MIDDLE_AS_FIRST: Level = 5;
    pub const SWAPPED: Level = 6;
    pub const INITIAL: Level = 7;
    pub const PREFIX: Level = 8;
    pub const ONE_SWAPPED: Level = 9;
    /// Each is usual in the population: "Martin" and "Marvin". Only a model can tell.
    pub const TWO_NAMES: Level = 10;
    pub const SIMILAR: Level = 11;
    pub const DIFFERENT: Level = 12;
}

/// Levels of middle names.
#[expect(missing_docs, reason = "the names are those of the list of levels")]
pub mod middle {
    use super::Level;
    pub const INITIAL: Level = 2;
    pub const SIMILAR: Level = 3;
    pub const DIFFERENT: Level = 4;
}

/// Levels of family names.
#[expect(missing_docs, reason = "the names are those of the list of levels")]
pub mod family {
    use super::Level;
    pub const SHARED_PART: Level = 2;
    pub const CLOSE: Level = 3;
    pub const SIMILAR: Level = 4;
    /// Women take another name more often than men.
    pub const DIFFERENT_OF_WOMEN: Level = 5;
    pub const DIFFERENT: Level = 6;
}

/// Levels of birth dates.
#[expect(missing_docs, reason = "the names are those of the list of levels")]
pub mod birth_date {
    use super::Level;
    pub const SWAPPED: Level = 2;
    pub const ONE_EDIT: Level = 3;
    pub const SAME_DAY_AND_MONTH: Level = 4;
    pub const TWO_EDITS: Level = 5;
    pub const SAME_YEAR: Level = 6;
    pub const WITHIN_3_YEARS: Level = 7;
    pub const WITHIN_10_YEARS: Level = 8;
    pub const GENERATION: Level = 9;
    pub const DIFFERENT: Level = 10;
}

/// Levels of identifiers.
#[expect(missing_docs, reason = "the names are those of the list of levels")]
pub mod identifier {
    use super::Level;
    pub const ONE_EDIT: Level = 2;
    pub const TWO_EDITS: Level = 3;
    pub const DIFFERENT: Level = 4;
}

/// Levels of addresses.
pub mod address {
    use super::Level;
    /// The line agrees exactly up to here.
    pub const LINE_EXACT_LAST: Level = 4;
    /// The line agrees closely up to here.
    pub const LINE_CLOSE_LAST: Level = 8;
    /// By line (exact, close, similar, another house of the street, different, unknown) and by area (exact, near, different,
    /// unknown).
    pub const JOINT: [[Level; 4]; 6] =
        [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 19, 11], [12, 13, 20, 14], [17, 18, 21, 22], [15, 16, 23, 0]];
}

/// Level of one digit that differs, of phones.
pub const ONE_EDIT: Level = 2;

/// Level of the birth order at which one record is of a child of a multiple birth that has no name yet, and nothing says
/// which of the children the other is.
pub const UNNAMED_OF_SEVERAL: Level = 3;

/// Level of plain difference of fields with three levels.
pub const DIFFERENT_OF_3: Level = 3;

/// Level of plain difference of fields with two levels.
pub const DIFFERENT_OF_2: Level = 2;

impl Field {
    /// Every field, in the order in which it is explained.
    pub const ALL: [Self; FIELDS] = [
        Self::Given,
        Self::Middle,
        Self::Family,
        Self::Suffix,
        Self::BirthDate,
        Self::Sex,
        Self::Address,
        Self::Phone,
        Self::Email,
        Self::Identifier,
        Self::RecordNumber,
        Self::BirthOrder,
        Self::Mother,
    ];

    /// Returns the field's stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Middle => "middle",
            Self::Family => "family",
            Self::Suffix => "suffix",
            Self::BirthDate => "birth_date",
            Self::Sex => "sex",
            Self::Address => "address",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Identifier => "identifier",
            Self::RecordNumber => "record_number",
            Self::BirthOrder => "birth_order",
            Self::Mother => "mother",
        }
    }

    /// Returns the names of the field's levels, from level 0.
    pub fn levels(self) -> &'static [&'static str] {
        match self {
            Self::Given => GIVEN,
            Self::Middle => MIDDLE,
            Self::Family => FAMILY,
            Self::Suffix => SUFFIX,
            Self::BirthDate => BIRTH_DATE,
            Self::Sex => SEX,
            Self::Address => ADDRESS,
            Self::Phone => PHONE,
            Self::Email => EMAIL,
            Self::Identifier => IDENTIFIER,
            Self::RecordNumber => RECORD_NUMBER,
            Self::BirthOrder => BIRTH_ORDER,
            Self::Mother => MOTHER,
        }
    }
}

/// One level for each field.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(u64);

impl Pattern {
    /// Returns the level of a field.
    pub fn level(self, field: Field) -> Level {
        let (bit, mask) = PLACES[field as usize];
        ((self.0 >> bit) & mask) as Level
    }

    /// Sets the level of a field that was missing.
    #[must_use]
    pub fn with(self, field: Field, level: Level) -> Self {
        let (bit, mask) = PLACES[field as usize];
        Self(self.0 & !(mask << bit) | u64::from(level) << bit)
    }

    /// Returns the levels of all fields, in the order of [`Field::ALL`].
    pub fn levels(self) -> [Level; FIELDS] {
        Field::ALL.map(|field| self.level(field))
    }

    /// Returns the stronger level of each field; a missing one gives way to any other.
    #[must_use]
    pub fn best(self, other: Self) -> Self {
        Field::ALL.into_iter().fold(Self::default(), |best, field| {
            let (a, b) = (self.level(field), other.level(field));
            best.with(field, if a == MISSING || b == MISSING { a.max(b) } else { a.min(b) })
        })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Field::ALL.into_iter().filter(|field| self.level(*field) != MISSING);
        f.debug_map()
            .entries(known.map(|field| (field.name(), field.levels()[usize::from(self.level(field))])))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_room() {
        for field in Field::ALL {
            let (bit, mask) = PLACES[field as usize];
            assert!(
                field.levels().len() <= LEVELS_MAX && field.levels().len() as u64 <= mask + 1,
                "{field:?}"
            );
            let others = Field::ALL.into_iter().filter(|other| *other != field);
            assert!(others.map(|other| PLACES[other as usize]).all(|(b, m)| (m << b) & (mask << bit) == 0));
            let last = field.levels().len() as Level - 1;
            assert_eq!(Pattern::default().with(field, last).level(field), last);
        }
    }

    #[test]
    fn line_and_area_of_an_address_have_their_levels() {
        let lines = ["line exact", "line close", "line similar", "street alike", "line different", ""];
        let areas = ["area exact", "area near", "area different", ""];
        for (row, line) in address::JOINT.iter().zip(lines) {
            for (level, area) in row.iter().zip(areas) {
                let parts: Vec<_> = [line, area].into_iter().filter(|part| !part.is_empty()).collect();
                let name = if parts.is_empty() { "missing".to_owned() } else { parts.join(", ") };
                assert_eq!(Field::Address.levels()[usize::from(*level)], name);
            }
        }
    }

    #[test]
    fn the_best_of_two_patterns_forgets_nothing_that_is_known() {
        let a = Pattern::default().with(Field::Given, given::CLOSE).with(Field::Sex, EXACT);
        let b = Pattern::default().with(Field::Given, EXACT).with(Field::Phone, DIFFERENT_OF_3);
        let best = a.best(b);
        assert_eq!(best, b.best(a));
        assert_eq!(best.level(Field::Given), EXACT);
        assert_eq!(best.level(Field::Phone), DIFFERENT_OF_3);
        assert_eq!(best.level(Field::Sex), EXACT);
    }
}
