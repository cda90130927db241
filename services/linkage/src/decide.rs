//! Decisions over candidates: which person a record belongs to, and when not to say.
//!
//! Fields that are shared at home (phone, address, family name) can outvote a given name or a birth date and would
//! join twins, or a father with his son. Such a pair is never linked without a person's word, whatever its score.

use crate::{
    compare::{Field, Level, Levels},
    model::{Model, Score},
    normalize::Prepared,
};

/// Thresholds of a decision, in bits of the final weight.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// At least this: the same person (probability 0.998 at 9 bits).
    pub link_bits: f64,
    /// At least this: a steward should look (probability 0.8 at 2 bits).
    pub review_bits: f64,
    /// The best person must lead the next by this.
    pub margin_bits: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { link_bits: 9.0, review_bits: 2.0, margin_bits: 5.0 }
    }
}

/// A person and one of its records, found by blocking.
#[derive(Debug, Clone)]
pub struct Candidate<P> {
    /// The person.
    pub person: P,
    /// The record, normalised.
    pub record: Prepared,
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
pub fn decide<P: Clone + Ord>(
    model: &Model,
    thresholds: Thresholds,
    record: &Prepared,
    candidates: &[Candidate<P>],
) -> Decision<P> {
    let mut persons: Vec<Considered<P>> = vec![];
    for candidate in candidates {
        let score = model.score(record, &candidate.record);
        match persons.iter_mut().find(|person| person.id == candidate.person) {
            Some(person) => person.add(score),
            None => persons.push(Considered {
                id: candidate.person.clone(),
                agreement: score.levels,
                best: score,
            }),
        }
    }
    persons.sort_by(|a, b| b.best.bits.total_cmp(&a.best.bits).then_with(|| a.id.cmp(&b.id)));
    let mut persons = persons.into_iter().filter(|person| person.best.bits >= thresholds.review_bits);
    let Some(Considered { id: person, best: score, agreement }) = persons.next() else {
        return Decision::New;
    };
    let stop = conflict(&agreement);
    let rival = persons.next().is_some_and(|second| {
        conflict(&second.agreement).is_none() && score.bits - second.best.bits < thresholds.margin_bits
    });
    match stop {
        Some(reason) => Decision::Review { person, score, reason },
        None if rival => Decision::Review { person, score, reason: "TWO_PERSONS" },
        None if score.bits < thresholds.link_bits => Decision::Review { person, score, reason: "UNCERTAIN" },
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
    agreement: Levels,
}

impl<P> Considered<P> {
    fn add(&mut self, score: Score) {
        self.agreement = self.agreement.best(&score.levels);
        if score.bits > self.best.bits {
            self.best = score;
        }
    }
}

/// Returns why a pair must not be linked without a person's word.
pub fn conflict(levels: &Levels) -> Option<&'static str> {
    let level = |field| levels.of(field);
    let known = level(Field::Identifier) == Level::Exact;
    // Parents like names that sound alike.
    let twins = level(Field::Given) == Level::Weak
        && level(Field::Family) == Level::Exact
        && level(Field::BirthDate) == Level::Exact;
    // Another family name is a marriage only where something else of the household agrees.
    let at_home = level(Field::Address) == Level::Exact
        || level(Field::Phone) == Level::Exact
        || level(Field::Email) == Level::Exact;
    if level(Field::Suffix) == Level::Different {
        Some("SUFFIX_CONFLICT")
    } else if level(Field::BirthOrder) == Level::Different {
        Some("MULTIPLE_BIRTH_CONFLICT")
    } else if level(Field::Identifier) == Level::Different
        && (level(Field::Given) > Level::Close || level(Field::BirthDate) != Level::Exact)
    {
        Some("IDENTIFIER_CONFLICT")
    } else if !known && (level(Field::Given) == Level::Different || twins) {
        Some("GIVEN_NAME_CONFLICT")
    } else if !known && level(Field::Family) == Level::Different && !at_home {
        Some("FAMILY_NAME_CONFLICT")
    } else if level(Field::BirthDate) == Level::Different && !known {
        Some("BIRTH_DATE_CONFLICT")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        normalize::prepare,
        record::{Address, Date, Name, Record},
    };

    fn person(given: &str, family: &str, birth_date: &str, line: &str, phone: &str) -> Prepared {
        let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
        let address = Address { line: line.into(), postcode: "02139".into(), ..Address::default() };
        prepare(&Record {
            names: vec![name],
            birth_date: Date::parse(birth_date),
            addresses: vec![address],
            phones: vec![phone.into()],
            ..Record::default()
        })
    }

    fn decided(record: &Prepared, known: &[(u8, Prepared)]) -> Decision<u8> {
        let known: Vec<_> = known
            .iter()
            .map(|(person, record)| Candidate { person: *person, record: record.clone() })
            .collect();
        let forwards = decide(&Model::default(), Thresholds::default(), record, &known);
        let backwards: Vec<_> = known.into_iter().rev().collect();
        assert_eq!(forwards, decide(&Model::default(), Thresholds::default(), record, &backwards));
        forwards
    }

    #[test]
    fn a_misspelt_name_and_an_old_address_still_link() {
        let jane = person("Jane", "Smith", "1980-03-04", "1 Main St", "617 555 0101");
        let query = person("Jayne", "Smith", "1980-03-04", "77 Elm Rd", "");
        assert!(matches!(decided(&query, &[(1, jane)]), Decision::Link { person: 1, .. }));
    }

    #[test]
    fn twins_are_not_joined() {
        let ann = person("Ann", "Smith", "2015-03-04", "1 Main St", "617 555 0101");
        let ben = person("Robert", "Smith", "2015-03-04", "1 Main St", "617 555 0101");
        let decision = decided(&ben, &[(1, ann)]);
        assert!(matches!(decision, Decision::Review { reason: "GIVEN_NAME_CONFLICT", .. }), "{decision:?}");
    }

    #[test]
    fn father_and_son_are_not_joined() {
        let father = person("John", "Smith", "1950-03-04", "1 Main St", "617 555 0101");
        let son = person("John", "Smith", "1982-11-23", "1 Main St", "617 555 0101");
        assert!(!matches!(decided(&son, &[(1, father)]), Decision::Link { .. }));
    }

    #[test]
    fn neighbours_of_one_birth_date_are_not_joined() {
        let one = person("John", "Lopson", "1943-01-15", "808 Elm St", "");
        let two = person("John", "Milcia", "1943-01-15", "180 Elm St", "");
        assert!(!matches!(decided(&one, &[(1, two)]), Decision::Link { .. }));
        let linda = person("Linda", "Garre", "1960-05-06", "12 Elm St", "");
        let lena = person("Lena", "Garre", "1960-05-06", "77 Elm St", "");
        assert!(!matches!(decided(&linda, &[(1, lena)]), Decision::Link { .. }));
        let mother = person("Mary", "Gonler", "1947-11-04", "9 Elm St", "617 555 0101");
        let daughter = person("Mary", "Gonler", "1973-11-04", "9 Elm St", "617 555 0101");
        assert!(!matches!(decided(&daughter, &[(1, mother)]), Decision::Link { .. }));
    }

    #[test]
    fn two_that_fit_alike_are_left_to_a_steward() {
        let one = person("John", "Smith", "1950-03-04", "1 Main St", "617 555 0101");
        let two = person("John", "Smith", "1950-03-04", "9 Oak Ave", "617 555 0199");
        let query = person("John", "Smith", "1950-03-04", "", "");
        assert!(matches!(
            decided(&query, &[(1, one), (2, two)]),
            Decision::Review { reason: "TWO_PERSONS", .. }
        ));
    }

    #[test]
    fn a_stranger_is_new() {
        let jane = person("Jane", "Smith", "1980-03-04", "1 Main St", "617 555 0101");
        let other = person("Robert", "Brown", "1955-10-21", "9 Oak Ave", "212 555 0123");
        assert_eq!(decided(&other, &[(1, jane)]), Decision::New);
        assert_eq!(decided(&other, &[]), Decision::New);
    }
}
