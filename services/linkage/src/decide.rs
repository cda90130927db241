//! Decisions: whose record it is, and when not to say.
//!
//! Fields that are shared at home can outvote a given name or a birth date and would join twins, or a father with his
//! son. Such a pair is never linked without a person's word, whatever its score.

use std::fmt;

use crate::{
    compare::Comparison,
    model::{Component, Model, Score, bits},
    packed::View,
    pattern::{
        DIFFERENT_OF_2, EXACT, Field, Pattern, address, birth_date, family, given, identifier, middle,
    },
};

/// Thresholds of a decision, in bits of the calibrated weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// At least this: the same person.
    pub link_bits: f64,
    /// At least this: a steward should look.
    pub review_bits: f64,
    /// The best person must lead the next by this.
    pub margin_bits: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { link_bits: bits(0.9), review_bits: bits(0.5), margin_bits: 5.0 }
    }
}

/// Why a pair must not be linked without a person's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    /// One is Junior, the other Senior.
    SuffixConflict,
    /// One is the first born, the other the second.
    MultipleBirthConflict,
    /// One authority gave two identifiers.
    IdentifierConflict,
    /// Born on one day, of one home or family, with two given names.
    TwinPattern,
    /// Born a generation apart.
    GenerationConflict,
    /// Another family name, and nothing of the home agrees.
    FamilyNameConflict,
    /// A child that has no name yet.
    Newborn,
    /// Somebody whom nobody could identify.
    Unidentified,
    /// Two persons fit about equally well.
    TwoPersons,
}

impl Stop {
    /// Returns the stable code, upper snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::SuffixConflict => "SUFFIX_CONFLICT",
            Self::MultipleBirthConflict => "MULTIPLE_BIRTH_CONFLICT",
            Self::IdentifierConflict => "IDENTIFIER_CONFLICT",
            Self::TwinPattern => "TWIN_PATTERN",
            Self::GenerationConflict => "GENERATION_CONFLICT",
            Self::FamilyNameConflict => "FAMILY_NAME_CONFLICT",
            Self::Newborn => "NEWBORN",
            Self::Unidentified => "UNIDENTIFIED",
            Self::TwoPersons => "TWO_PERSONS",
        }
    }

    /// True when it says that the two are two persons, not only that nobody can tell.
    pub fn is_conflict(self) -> bool {
        !matches!(self, Self::Newborn | Self::Unidentified | Self::TwoPersons)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// True when a child without a name is told by everything but its name: the day of birth, the home and the family, and
/// nothing says that it is one of several.
pub fn only_child(pattern: Pattern, a: View<'_>, b: View<'_>) -> bool {
    let level = |field| pattern.level(field);
    let home =
        (EXACT..=address::LINE_EXACT_LAST).contains(&level(Field::Address)) || level(Field::Phone) == EXACT;
    (home || (EXACT..=family::CLOSE).contains(&level(Field::Family)))
        && level(Field::BirthDate) == EXACT
        && level(Field::Sex) != DIFFERENT_OF_2
        && !a.flags().multiple_birth
        && !b.flags().multiple_birth
}

/// Share of a component above which a pair may be of two persons, whatever else it may be.
const SHARE_MAX: f64 = 0.01;

/// Returns why two records must not be linked without a person's word.
pub fn stop(model: &Model, comparison: &Comparison, a: View<'_>, b: View<'_>) -> Option<Stop> {
    let pattern = comparison.pattern;
    let known = pattern.level(Field::Identifier) == EXACT || pattern.level(Field::RecordNumber) == EXACT;
    let (a, b) = (a.flags(), b.flags());
    match () {
        () if !known && (a.unidentified || b.unidentified) => Some(Stop::Unidentified),
        () if !known && (a.newborn || b.newborn) => Some(Stop::Newborn),
        () => conflict(model, comparison),
    }
}

/// Returns why the way in which two records agree says that they are of two persons.
///
/// What looks like twins, or like a parent and a child, is left to a person where the model gives that a chance; in a
/// population without families it is an error of writing.
pub fn conflict(model: &Model, comparison: &Comparison) -> Option<Stop> {
    let level = |field| comparison.pattern.level(field);
    let known = level(Field::Identifier) == EXACT || level(Field::RecordNumber) == EXACT;
    let home =
        (EXACT..=address::LINE_CLOSE_LAST).contains(&level(Field::Address)) || level(Field::Phone) == EXACT;
    let kin = home || (EXACT..=family::CLOSE).contains(&level(Field::Family));
    let other_name = match level(Field::Given) {
        given::SIMILAR | given::DIFFERENT => true,
        // "Jayden" may be misspelt, or have a brother "Hayden".
        given::CLOSE => level(Field::Middle) == middle::DIFFERENT || level(Field::Sex) == DIFFERENT_OF_2,
        _ => false,
    };
    let families = model.has_families();
    let may_be = |components: &[Component]| {
        let posterior = model.posterior(comparison);
        families && components.iter().map(|component| posterior[*component as usize]).sum::<f64>() > SHARE_MAX
    };
    // Nobody shares name, birth date and neighbourhood with somebody else: one of the identifiers is wrong.
    let near = matches!(level(Field::Address), EXACT..=address::AREA_EXACT | address::LINE_DIFFERENT);
    let told = (home || near)
        && (EXACT..=given::CLOSE).contains(&level(Field::Given))
        && (EXACT..=family::CLOSE).contains(&level(Field::Family))
        && level(Field::BirthDate) == EXACT;
    let twins = !known && level(Field::BirthDate) == EXACT && kin && other_name;
    let generations = !known && level(Field::BirthDate) == birth_date::GENERATION;
    // A man who has another family name is another man, unless he is at home.
    let renamed = families
        && !known
        && !home
        && level(Field::Email) != EXACT
        && level(Field::Family) == family::DIFFERENT;
    match () {
        () if level(Field::Suffix) == DIFFERENT_OF_2 => Some(Stop::SuffixConflict),
        () if level(Field::BirthOrder) == DIFFERENT_OF_2 => Some(Stop::MultipleBirthConflict),
        () if level(Field::Identifier) == identifier::DIFFERENT && !told => Some(Stop::IdentifierConflict),
        () if twins && may_be(&[Component::Twin]) => Some(Stop::TwinPattern),
        () if generations && may_be(&[Component::Namesake, Component::Household]) => {
            Some(Stop::GenerationConflict)
        }
        () if renamed => Some(Stop::FamilyNameConflict),
        () => None,
    }
}

/// A person and one of its records, found by blocking.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a, P> {
    /// The person.
    pub person: P,
    /// The record.
    pub record: View<'a>,
}

/// What to do with a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<P> {
    /// It is this person's.
    Link {
        /// The person.
        person: P,
        /// How sure.
        score: Score,
    },
    /// It may be this person's.
    Review {
        /// The person.
        person: P,
        /// How sure.
        score: Score,
        /// Why it was not decided: stable, upper snake case.
        reason: &'static str,
    },
    /// It is nobody's that is known.
    New,
}

/// Decides whose record it is. The order of the candidates does not matter.
pub fn decide<P: Copy + Ord>(
    model: &Model,
    thresholds: Thresholds,
    record: View<'_>,
    candidates: &[Candidate<'_, P>],
) -> Decision<P> {
    let mut persons: Vec<Considered<P>> = vec![];
    for candidate in candidates {
        let score = model.score(record, candidate.record);
        let stop =
            stop(model, &score.comparison, record, candidate.record).filter(|stop| !stop.is_conflict());
        match persons.iter_mut().find(|person| person.id == candidate.person) {
            Some(person) => person.add(score, stop),
            None => persons.push(Considered {
                id: candidate.person,
                agreement: score.comparison.pattern,
                best: score,
                stop,
            }),
        }
    }
    persons.sort_by(|a, b| b.best.bits.total_cmp(&a.best.bits).then_with(|| a.id.cmp(&b.id)));
    let mut persons = persons.into_iter().filter(|person| person.best.bits >= thresholds.review_bits);
    let Some(Considered { id: person, best: score, agreement, stop }) = persons.next() else {
        return Decision::New;
    };
    let judged = |pattern| conflict(model, &Comparison { pattern, ..Comparison::default() });
    let stop = judged(agreement).or(stop);
    let rival = persons.next().is_some_and(|second| {
        judged(second.agreement).is_none() && score.bits - second.best.bits < thresholds.margin_bits
    });
    let review = |reason| Decision::Review { person, score, reason };
    match stop {
        Some(stop) => review(stop.code()),
        None if rival => review(Stop::TwoPersons.code()),
        None if score.bits < thresholds.link_bits => review("UNCERTAIN"),
        None => Decision::Link { person, score },
    }
}

/// A person with what its records say of the newcomer.
struct Considered<P> {
    id: P,
    /// Score of the record that is most alike.
    best: Score,
    /// The best level of each field over all records: a misspelling in one does not count against the others, and
    /// a record that knows nothing hides no conflict.
    agreement: Pattern,
    /// Why the record that is most alike cannot decide.
    stop: Option<Stop>,
}

impl<P> Considered<P> {
    fn add(&mut self, score: Score, stop: Option<Stop>) {
        self.agreement = self.agreement.best(score.comparison.pattern);
        if score.bits > self.best.bits {
            (self.best, self.stop) = (score, stop);
        } else if score.bits == self.best.bits {
            self.stop = self.stop.or(stop);
        }
    }
}

#[cfg(test)]
mod tests;
