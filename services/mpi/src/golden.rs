//! The golden view of a person: of each field the best value that its records state, and all others with their sources.
//!
//! A birth date or a sex that most records state outweighs a later one, which may be a slip; what people change (names,
//! addresses, numbers) counts as it was stated last.

use std::collections::BTreeSet;

use prost::Message;
use signpost_common::clock;
use signpost_proto::{
    common::v1::{Demographics, RecordReference},
    mpi::v1::KnownValue,
};

/// What one record says.
pub(crate) struct Said {
    pub(crate) source: RecordReference,
    pub(crate) updated_us: i64,
    pub(crate) demographics: Demographics,
}

/// A field: its name, its values in a record, and whether what most records say is the best.
struct Field {
    name: &'static str,
    values: fn(&Demographics) -> Vec<Demographics>,
    by_majority: bool,
}

/// Values of a field that has many, each alone.
macro_rules! each {
    ($field:ident) => {
        |all| {
            let alone = |value| Demographics { $field: vec![value], ..Demographics::default() };
            all.$field.iter().cloned().map(alone).collect()
        }
    };
}

/// The value of a field that has one, unless it is not known.
macro_rules! one {
    ($field:ident) => {
        |all| {
            let alone = Demographics { $field: all.$field.clone(), ..Demographics::default() };
            if alone == Demographics::default() { vec![] } else { vec![alone] }
        }
    };
}

const FIELDS: [Field; 9] = [
    Field { name: "names", values: each!(names), by_majority: false },
    Field { name: "birth_date", values: one!(birth_date), by_majority: true },
    Field { name: "sex", values: one!(sex), by_majority: true },
    Field { name: "addresses", values: each!(addresses), by_majority: false },
    Field { name: "phones", values: each!(phones), by_majority: false },
    Field { name: "emails", values: each!(emails), by_majority: false },
    Field { name: "identifiers", values: each!(identifiers), by_majority: false },
    Field { name: "multiple_birth_order", values: one!(multiple_birth_order), by_majority: true },
    Field { name: "mother", values: one!(mother), by_majority: false },
];

/// Returns the best value of each field, and every value that is known: of each field the best first, then the later.
pub(crate) fn view(mut records: Vec<Said>) -> (Demographics, Vec<KnownValue>) {
    records.sort_by_key(|said| std::cmp::Reverse(said.updated_us));
    let (mut best, mut known) = (Demographics::default(), vec![]);
    for Field { name, values, by_majority } in FIELDS {
        let mut found: Vec<(Demographics, &Said, usize)> = vec![];
        for said in &records {
            for value in values(&said.demographics) {
                match found.iter_mut().find(|(other, ..)| *other == value) {
                    Some((.., times)) => *times += 1,
                    None => found.push((value, said, 1)),
                }
            }
        }
        if by_majority {
            // Stable: of values that are stated equally often the later stays first.
            found.sort_by_key(|(.., times)| std::cmp::Reverse(*times));
        }
        let mut systems = BTreeSet::new();
        for (value, said, _) in found {
            // Identifiers of two authorities do not compete.
            let is_best = systems.insert(value.identifiers.first().map(|id| id.system.clone()));
            if is_best {
                // Merging messages sets what one of them has and adds to lists.
                let merged = best.merge(&value.encode_to_vec()[..]);
                merged.expect("invariant: what was encoded can be read");
            }
            known.push(KnownValue {
                field: name.to_owned(),
                value: Some(value),
                source: Some(said.source.clone()),
                stated_at: Some(clock::micros_to_proto(said.updated_us)),
                best: is_best,
            });
        }
    }
    (best, known)
}

#[cfg(test)]
mod tests {
    use signpost_proto::common::v1::{AdministrativeSex, HumanName};

    use super::*;

    fn said(local_id: &str, updated_us: i64, family: &str, birth_date: &str, phones: &[&str]) -> Said {
        let name = HumanName { family: family.into(), ..HumanName::default() };
        Said {
            source: RecordReference { member_id: "north".into(), local_id: local_id.into() },
            updated_us,
            demographics: Demographics {
                names: vec![name],
                birth_date: birth_date.into(),
                sex: AdministrativeSex::Female.into(),
                phones: phones.iter().map(|phone| (*phone).to_owned()).collect(),
                ..Demographics::default()
            },
        }
    }

    #[test]
    fn what_changes_is_as_it_was_stated_last_and_what_does_not_as_most_state_it() {
        let (best, known) = view(vec![
            said("1", 1, "Smith", "1980-03-04", &["617 555 0101"]),
            said("2", 2, "Smith", "1980-03-04", &["617 555 0101", "212 555 0187"]),
            said("3", 3, "Brown", "1980-04-03", &[]),
        ]);
        assert_eq!(best.names[0].family, "Brown");
        assert_eq!(best.birth_date, "1980-03-04");
        assert_eq!(best.phones, ["617 555 0101"]);
        assert_eq!(best.sex(), AdministrativeSex::Female);
        let of = |field: &str| -> Vec<(String, bool)> {
            let of = known.iter().filter(|value| value.field == field);
            of.map(|value| (value.source.clone().unwrap().local_id, value.best)).collect()
        };
        assert_eq!(of("names"), [("3".into(), true), ("2".into(), false)]);
        assert_eq!(of("birth_date"), [("2".into(), true), ("3".into(), false)]);
        assert_eq!(of("phones"), [("2".into(), true), ("2".into(), false)]);
        assert_eq!(of("emails"), []);
    }

    #[test]
    fn nobody_says_nothing() {
        assert_eq!(view(vec![]), (Demographics::default(), vec![]));
    }
}
