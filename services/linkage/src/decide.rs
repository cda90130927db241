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
    /// Another family name, and nothing of the home agrees; or one name of two, in the other's place.
    FamilyNameConflict,
    /// A child that has no name yet.
    Newborn,
    /// Somebody whom nobody could identify.
    Unidentified,
    /// Two persons fit about equally well.
    TwoPersons,
    /// Somebody decided that they are two persons.
    KeptApart,
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
            Self::KeptApart => "KEPT_APART",
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

/// True when a child without a name is told by the day of birth and the home, or by the day and the family name of somebody
/// who has a name, and nothing says that it is one of several.
pub(crate) fn only_child(pattern: Pattern, a: View<'_>, b: View<'_>) -> bool {
    let nameless = a.flags().newborn && b.flags().newborn;
    (at_home(pattern) || (of_one_family(pattern) && !nameless))
        && pattern.level(Field::BirthDate) == EXACT
        && pattern.level(Field::Sex) != DIFFERENT_OF_2
        && !a.flags().multiple_birth
        && !b.flags().multiple_birth
}

/// Share of a component above which a pair may be of two persons, whatever else it may be.
const SHARE_MAX: f64 = 0.01;

/// Returns why two records must not be linked without a person's word.
pub fn stop(model: &Model, comparison: &Comparison, a: View<'_>, b: View<'_>) -> Option<Stop> {
    let known = comparison.pattern.level(Field::RecordNumber) == EXACT;
    let named = known || comparison.pattern.level(Field::Identifier) == EXACT;
    let (a, b) = (a.flags(), b.flags());
    // Children may be registered under the number of their mother: it tells which child only with the day of birth.
    let one_birth = named
        && comparison.pattern.level(Field::BirthDate) == EXACT
        && !(a.multiple_birth || b.multiple_birth);
    match () {
        () if !named && (a.unidentified || b.unidentified) => Some(Stop::Unidentified),
        () if !(known || one_birth) && (a.newborn || b.newborn) => Some(Stop::Newborn),
        () => conflict(model, comparison),
    }
}

/// Returns why the way in which two records agree says that they are of two persons.
///
/// What looks like twins, or like a parent and a child, is left to a person where the model gives that a chance; in a
/// population without families it is an error of writing.
pub fn conflict(model: &Model, comparison: &Comparison) -> Option<Stop> {
    let level = |field| comparison.pattern.level(field);
    match () {
        () if level(Field::Suffix) == DIFFERENT_OF_2 => Some(Stop::SuffixConflict),
        () if level(Field::BirthOrder) == DIFFERENT_OF_2 => Some(Stop::MultipleBirthConflict),
        () if identifiers_differ(model, comparison) => Some(Stop::IdentifierConflict),
        // Relatives may share an identifier that was copied; a source's own number they do not.
        () if !model.has_families() || level(Field::RecordNumber) == EXACT => None,
        () if may_be_twins(model, comparison) => Some(Stop::TwinPattern),
        () if may_be_generations(model, comparison) => Some(Stop::GenerationConflict),
        () if is_renamed(comparison.pattern) => Some(Stop::FamilyNameConflict),
        () => None,
    }
}

/// True when address or phone say that the two share a home.
fn at_home(pattern: Pattern) -> bool {
    (EXACT..=address::LINE_CLOSE_LAST).contains(&pattern.level(Field::Address))
        || pattern.level(Field::Phone) == EXACT
}

/// True when the family names are one, but for a misspelling.
fn of_one_family(pattern: Pattern) -> bool {
    (EXACT..=family::CLOSE).contains(&pattern.level(Field::Family))
}

/// True when one authority gave two numbers and not all else agrees. Nobody shares name, birth date and neighbourhood with
/// somebody else: then one of the numbers is wrong. Twins are given numbers that follow one another.
fn identifiers_differ(model: &Model, comparison: &Comparison) -> bool {
    let pattern = comparison.pattern;
    let same_day = pattern.level(Field::BirthDate) == EXACT;
    // "Kyla" may be misspelt, or the twin of "Kayla".
    let (most, areas) = if model.has_families() { (given::NICKNAME, 1) } else { (given::CLOSE, 2) };
    let near =
        address::JOINT.iter().any(|areas_of| areas_of[..areas].contains(&pattern.level(Field::Address)));
    let told = same_day
        && (at_home(pattern) || near)
        && (EXACT..=most).contains(&pattern.level(Field::Given))
        && of_one_family(pattern);
    match pattern.level(Field::Identifier) {
        identifier::DIFFERENT => !told,
        identifier::ONE_EDIT | identifier::TWO_EDITS => {
            model.has_families() && same_day && pattern.level(Field::Given) > given::NICKNAME
        }
        _ => false,
    }
}

/// True for records of one day, and of one home or family, with two given names.
fn may_be_twins(model: &Model, comparison: &Comparison) -> bool {
    let pattern = comparison.pattern;
    let other_name = match pattern.level(Field::Given) {
        // "Martin" may have a brother "Marvin", and "Eric" a sister "Erica".
        given::TWO_NAMES => true,
        given::SIMILAR | given::DIFFERENT => chance(model, comparison, &[Component::Twin]),
        // One is misspelt, most likely; but not when the sexes differ.
        given::SOUNDS_ALIKE | given::CLOSE => {
            let middle_differs = pattern.level(Field::Middle) == middle::DIFFERENT;
            pattern.level(Field::Sex) == DIFFERENT_OF_2
                || (middle_differs && chance(model, comparison, &[Component::Twin]))
        }
        _ => false,
    };
    other_name && pattern.level(Field::BirthDate) == EXACT && (at_home(pattern) || of_one_family(pattern))
}

/// True for records of one name whose birth dates are a generation apart.
fn may_be_generations(model: &Model, comparison: &Comparison) -> bool {
    comparison.pattern.level(Field::BirthDate) == birth_date::GENERATION
        && chance(model, comparison, &[Component::Namesake, Component::Household])
}

/// True for a man who has another family name and is not at home: he is another man. Women change theirs at marriage. And for
/// somebody whose one name is a relative's, in the other place, while the other is not.
fn is_renamed(pattern: Pattern) -> bool {
    let known = pattern.level(Field::Identifier) == EXACT || pattern.level(Field::Email) == EXACT;
    let renamed = pattern.level(Field::Family) == family::DIFFERENT && !at_home(pattern);
    !known && (renamed || pattern.level(Field::Given) == given::ONE_SWAPPED)
}

/// True when the model gives the components together more than one in a hundred.
fn chance(model: &Model, comparison: &Comparison, components: &[Component]) -> bool {
    let posterior = model.posterior(comparison);
    components.iter().map(|component| posterior[*component as usize]).sum::<f64>() > SHARE_MAX
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

/// Who may be a twin, or was stopped otherwise, is shown to a steward from a tenth on, in bits: that two relatives differ in
/// little more than a name is what makes them unlikely to be one, and is what somebody should see.
const STOPPED_BITS: f64 = -3.17;

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
        let stop = stop(model, &score.comparison, record, candidate.record);
        match persons.iter_mut().find(|person| person.id == candidate.person) {
            Some(person) => person.add(score, stop),
            None => persons.push(Considered::new(candidate.person, score, stop)),
        }
    }
    persons.sort_by(|a, b| b.best.bits.total_cmp(&a.best.bits).then_with(|| a.id.cmp(&b.id)));
    let mut persons = persons.into_iter();
    let Some(first) = persons.next() else { return Decision::New };
    let stop = first.conflict(model).or(first.stop);
    let least =
        if stop.is_some() { thresholds.review_bits.min(STOPPED_BITS) } else { thresholds.review_bits };
    if first.best.bits < least {
        return Decision::New;
    }
    let (person, score) = (first.id, first.best);
    let rival = persons.next().is_some_and(|second| {
        second.best.bits >= thresholds.review_bits
            && second.conflict(model).is_none()
            && score.bits - second.best.bits < thresholds.margin_bits
    });
    let review = |reason| Decision::Review { person, score, reason };
    match stop {
        Some(stop) => review(stop.code()),
        None if rival => review(Stop::TwoPersons.code()),
        None if first.sum_bits <= 0.0 => review("PERSON_DISAGREES"),
        None if score.bits < thresholds.link_bits => review("UNCERTAIN"),
        None => Decision::Link { person, score },
    }
}

/// Most that one record counts for or against a person, in bits.
pub const CLIP_BITS: f64 = 12.0;

/// A person with what its records say of the newcomer.
struct Considered<P> {
    id: P,
    /// Score of the record that is most alike.
    best: Score,
    /// Why that record cannot decide, though it does not conflict.
    stop: Option<Stop>,
    /// The best level of each field over all records: a misspelling in one does not count against the others.
    agreement: Pattern,
    /// Weights of all records, each within bounds: one bridging record does not outweigh the others.
    sum_bits: f64,
    records: usize,
    /// The records that conflict, and why the first does.
    conflicts: usize,
    why: Option<Stop>,
}

impl<P> Considered<P> {
    fn new(id: P, score: Score, stop: Option<Stop>) -> Self {
        let agreement = score.comparison.pattern;
        let mut considered = Self {
            id,
            best: score,
            stop: None,
            agreement,
            sum_bits: 0.0,
            records: 0,
            conflicts: 0,
            why: None,
        };
        considered.add(score, stop);
        considered
    }

    fn add(&mut self, score: Score, stop: Option<Stop>) {
        // Whether a number conflicts, the records say together: one of them may have the newcomer's.
        let conflict = stop.filter(|stop| stop.is_conflict() && *stop != Stop::IdentifierConflict);
        let stop = stop.filter(|stop| !stop.is_conflict());
        self.agreement = self.agreement.best(score.comparison.pattern);
        if score.bits > self.best.bits {
            (self.best, self.stop) = (score, stop);
        } else if score.bits == self.best.bits {
            self.stop = self.stop.or(stop);
        }
        let bits = if conflict.is_some() { -CLIP_BITS } else { score.bits.clamp(-CLIP_BITS, CLIP_BITS) };
        self.sum_bits += bits;
        self.records += 1;
        self.conflicts += usize::from(conflict.is_some());
        self.why = [self.why, conflict].into_iter().flatten().min();
    }

    /// Returns why the newcomer is somebody else: what all records together say, or what half of them do.
    fn conflict(&self, model: &Model) -> Option<Stop> {
        let together = conflict(model, &Comparison { pattern: self.agreement, ..Comparison::default() });
        together.or(self.why.filter(|_| 2 * self.conflicts >= self.records))
    }
}

#[cfg(test)]
mod tests;
