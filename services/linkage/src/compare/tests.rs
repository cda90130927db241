use std::collections::BTreeSet;

use super::*;
use crate::{
    normalize::prepare,
    packed::Packed,
    record::{Address, Date, Identifier, Name, Record, Sex},
};

fn packed(record: &Record) -> Packed {
    prepare(record, rlibphonenumber::Region::US)
}

fn name(given: &str, family: &str) -> Name {
    Name { given: vec![given.into()], family: family.into(), ..Name::default() }
}

fn named(given: &str, family: &str) -> Record {
    Record { names: vec![name(given, family)], ..Record::default() }
}

fn born(date: &str) -> Record {
    Record { birth_dates: Date::parse(date).into_iter().collect(), ..Record::default() }
}

fn living(line: &str, city: &str, postcode: &str) -> Record {
    let address =
        Address { line: line.into(), city: city.into(), postcode: postcode.into(), ..Address::default() };
    Record { addresses: vec![address], ..Record::default() }
}

fn numbered(system: &str, value: &str) -> Vec<Identifier> {
    vec![Identifier { system: system.into(), value: value.into() }]
}

fn pattern(a: &Record, b: &Record) -> Pattern {
    let (a, b) = (packed(a), packed(b));
    let comparison = compare(a.view(), b.view());
    assert_eq!(comparison, compare(b.view(), a.view()), "the order does not matter");
    comparison.pattern
}

/// Checks the level of each example, and that the examples reach every level of the field.
fn every_level(field: Field, examples: &[(Record, Record, &str)]) {
    for (number, (a, b, expected)) in examples.iter().enumerate() {
        let level = pattern(a, b).level(field);
        assert_eq!(field.levels()[usize::from(level)], *expected, "example {number}");
    }
    let reached: BTreeSet<_> = examples.iter().map(|(_, _, level)| *level).collect();
    // What is usual only a model knows.
    let levels = field.levels().iter().copied().filter(|level| *level != "close, two names");
    assert_eq!(reached, levels.collect(), "every level has an example");
}

#[test]
fn levels_of_given_names() {
    let pair = |a: &str, b: &str, level| (named(a, "Lee"), named(b, "Lee"), level);
    let lone = |a: &str, b: &str, level| (named(a, ""), named(b, ""), level);
    every_level(
        Field::Given,
        &[
            pair("Jane", "", "missing"),
            pair("", "", "missing"),
            pair("Jane", "JANE", "exact"),
            pair("Anne-Marie", "Annemarie", "exact"),
            pair("Bob", "Robert", "nickname"),
            pair("Bill", "Will", "nickname"),
            pair("Marcus", "Markus", "sounds alike"),
            pair("Kevin", "Kevinn", "sounds alike"),
            pair("Jonathon", "Jonathan", "close"),
            pair("Amy", "Any", "close"),
            pair("Mary Louise", "Louise", "middle used as first"),
            pair("Louise", "Mary Louise", "middle used as first"),
            (named("Wei", "Chen"), named("Chen", "Wei"), "swapped with family"),
            (named("Robert", "Miller"), named("Miller", "Bob"), "swapped with family"),
            pair("J", "Jane", "initial"),
            pair("Maximo", "Max", "prefix"),
            (named("Blake", "Green"), named("Gloufssis", "Blake"), "one swapped with family"),
            pair("Marla", "Marta", "close"),
            lone("Charles", "Charlotte", "similar"),
            pair("Daniela", "Danica", "similar"),
            pair("Jane", "Robert", "different"),
            pair("J", "Robert", "different"),
            pair("J", "K", "different"),
        ],
    );
}

#[test]
fn levels_of_middle_names() {
    let pair = |a: &str, b: &str, level| {
        (named(&format!("Jane {a}"), "Lee"), named(&format!("Jane {b}"), "Lee"), level)
    };
    every_level(
        Field::Middle,
        &[
            pair("Ann", "", "missing"),
            pair("Ann", "ANN", "exact"),
            pair("Ann Louise", "Louise", "exact"),
            pair("A", "Ann", "initial"),
            pair("Elizabeth", "Elisabeth", "similar"),
            pair("Ann", "Louise", "different"),
            pair("B", "Ann", "different"),
            (named("Mary Louise", "Lee"), named("Louise Ann", "Lee"), "missing"),
        ],
    );
}

#[test]
fn levels_of_family_names() {
    let pair = |a: &str, b: &str, level| (named("Jane", a), named("Jane", b), level);
    let of = |sex, family| Record { sex: Some(sex), ..named("Jane", family) };
    every_level(
        Field::Family,
        &[
            pair("Smith", "", "missing"),
            pair("Smith", "SMITH", "exact"),
            pair("O'Neil", "ONEIL", "exact"),
            pair("Smith-Jones", "Smith Jones", "exact"),
            pair("Smith-Jones", "Jones", "shared part"),
            pair("Smith-Jones", "Brown-Smith", "shared part"),
            pair("García López", "López Hernández", "shared part"),
            pair("Berg", "Vandenberg", "shared part"),
            pair("Smith", "Smyth", "close"),
            pair("Thompson", "Thomson", "close"),
            pair("Anderson", "Andersen", "close"),
            pair("Martinez", "Martinson", "similar"),
            pair("Smith", "Brown", "different"),
            pair("de la Cruz", "de la Vega", "different"),
            (of(Sex::Female, "Smith"), of(Sex::Female, "Brown"), "different, of women"),
            (of(Sex::Female, "Smith"), of(Sex::Male, "Brown"), "different"),
            (of(Sex::Female, "Smith"), of(Sex::Female, "Smyth"), "close"),
            (of(Sex::Female, "Smith"), named("Jane", "Brown"), "different"),
            (named("Wei", "Chen"), named("Chen", "Wei"), "missing"),
        ],
    );
}

#[test]
fn levels_of_suffixes() {
    let with = |suffix: &str| Record {
        names: vec![Name { suffix: suffix.into(), ..name("John", "Smith") }],
        ..Record::default()
    };
    every_level(
        Field::Suffix,
        &[
            (with("Jr"), with(""), "missing"),
            (with("Jr"), with("Junior"), "exact"),
            (with("Jr"), with("II"), "missing"),
            (with("Jr"), with("Sr"), "different"),
            (with("Jr"), with("III"), "different"),
            (with("Sr"), with("II"), "different"),
        ],
    );
}

#[test]
fn levels_of_birth_dates() {
    let pair = |a: &str, b: &str, level| (born(a), born(b), level);
    every_level(
        Field::BirthDate,
        &[
            pair("1980-03-04", "", "missing"),
            pair("1980-03-04", "1900-01-01", "missing"),
            pair("1980-03-04", "1980-03-04", "exact"),
            pair("1980-03-04", "1980-04-03", "day and month swapped"),
            pair("1980-12-25", "1980-25-12", "day and month swapped"),
            pair("1980-03-04", "1980-03-05", "one edit"),
            pair("1980-03-14", "1980-03-41", "one edit"),
            pair("1980-03-04", "1990-03-04", "one edit"),
            pair("1989-03-04", "1998-03-04", "one edit"),
            pair("1980-03-04", "1991-03-04", "same day and month"),
            pair("1980-03-04", "1980-07-08", "two edits"),
            pair("1980-03-04", "1981-03-05", "two edits"),
            pair("1980-03-04", "1980-11-25", "same year"),
            pair("1980-03-04", "1982-11-25", "within 3 years"),
            pair("1980-03-04", "1973-11-25", "within 10 years"),
            pair("1950-03-04", "1982-11-25", "a generation apart"),
            pair("1950-03-04", "1982-03-04", "a generation apart"),
            pair("1980-03-04", "1992-11-25", "different"),
            pair("1910-03-04", "1992-11-25", "different"),
        ],
    );
}

#[test]
fn levels_of_sexes() {
    let of = |sex| Record { sex, ..Record::default() };
    every_level(
        Field::Sex,
        &[
            (of(Some(Sex::Female)), of(None), "missing"),
            (of(Some(Sex::Female)), of(Some(Sex::Female)), "exact"),
            (of(Some(Sex::Female)), of(Some(Sex::Male)), "different"),
        ],
    );
}

#[test]
fn levels_of_addresses() {
    let pair = |a: (&str, &str, &str), b: (&str, &str, &str), level| {
        (living(a.0, a.1, a.2), living(b.0, b.1, b.2), level)
    };
    let main = ("12 Main St", "Boston", "02139");
    every_level(
        Field::Address,
        &[
            pair(main, ("", "", ""), "missing"),
            pair(("12 Main St", "", ""), ("", "Boston", "02139"), "missing"),
            pair(main, ("12 MAIN STREET", "boston", "02139-4307"), "line exact, area exact"),
            pair(main, ("12 Main St Apt 4", "Boston", "02139"), "line exact, area exact"),
            pair(main, ("12 Main St", "Boston", "90210"), "line exact, area near"),
            pair(main, ("12 Main St", "Cambridge", "02138"), "line exact, area near"),
            pair(main, ("12 Main St", "Springfield", "90210"), "line exact, area different"),
            pair(main, ("12 Main St", "", ""), "line exact"),
            pair(main, ("13 Main St", "Boston", "02139"), "line close, area exact"),
            pair(main, ("Main St", "Boston", "02139"), "line close, area exact"),
            pair(main, ("21 Main St", "Boston", "02139"), "line close, area exact"),
            pair(main, ("123 Main St", "Boston", "02139"), "line close, area exact"),
            pair(main, ("12 Mian St", "Boston", "02139"), "line close, area exact"),
            pair(
                ("12 Main St Apt 4", "Boston", "02139"),
                ("12 Main St Apt 5", "Boston", "02139"),
                "line close, area exact",
            ),
            pair(main, ("13 Main St", "Boston", "90210"), "line close, area near"),
            pair(main, ("13 Main St", "Springfield", "90210"), "line close, area different"),
            pair(main, ("13 Main St", "", ""), "line close"),
            pair(main, ("12 Main Orchard St", "Boston", "02139"), "line similar, area exact"),
            pair(main, ("12 Main Orchard St", "Boston", "90210"), "line similar, area near"),
            pair(main, ("12 Main Orchard St", "Springfield", "90210"), "line similar, area different"),
            pair(main, ("12 Main Orchard St", "", ""), "line similar"),
            pair(main, ("97 Main St", "Boston", "02139"), "street alike, area exact"),
            pair(main, ("97 Main Street", "Bosston", "90210"), "street alike, area near"),
            pair(main, ("97 Main St", "Springfield", "90210"), "street alike, area different"),
            pair(main, ("97 Main St", "", ""), "street alike"),
            pair(main, ("", "Boston", "02139"), "area exact"),
            pair(main, ("", "Boston", "90210"), "area near"),
            pair(main, ("", "Springfield", "90210"), "area different"),
            pair(main, ("12 Willow Rd", "Boston", "02139"), "line different, area exact"),
            pair(main, ("77 Elm Rd", "Boston", "90210"), "line different, area near"),
            pair(main, ("77 Elm Rd", "Springfield", "90210"), "line different, area different"),
            pair(main, ("77 Elm Rd", "", ""), "line different"),
        ],
    );
}

#[test]
fn one_city_in_two_states_is_two() {
    let of = |city: &str, state: &str, postcode: &str| {
        let mut record = living("", city, postcode);
        record.addresses[0].state = state.into();
        record
    };
    let level =
        |a: Record, b: Record| Field::Address.levels()[usize::from(pattern(&a, &b).level(Field::Address))];
    let illinois = || of("Springfield", "IL", "62701");
    assert_eq!(level(illinois(), of("Springfield", "MA", "01103")), "area different");
    assert_eq!(level(illinois(), of("Springfeild", "IL", "62703")), "area near");
    assert_eq!(level(illinois(), of("Springfield", "Illinois", "62705")), "area near", "one is spelt out");
    assert_eq!(level(illinois(), of("Springfield", "MA", "62701")), "area exact", "the state is wrong");
    assert_eq!(level(illinois(), of("Boston", "MA", "62701")), "area near");
    assert_eq!(level(of("Miami", "FL", ""), of("Miami", "FLA", "")), "area near");
    assert_eq!(level(illinois(), of("Chicago", "IL", "62703")), "area near", "a slip in the postcode");
}

#[test]
fn levels_of_contacts() {
    let phone = |text: &str| Record { phones: vec![text.into()], ..Record::default() };
    every_level(
        Field::Phone,
        &[
            (phone("617 555 0123"), phone("none"), "missing"),
            (phone("617 555 0123"), phone("+1 (617) 555-0123"), "exact"),
            (phone("617 555 0123"), phone("617 555 0124"), "one edit"),
            (phone("617 555 0123"), phone("617 555 0132"), "one edit"),
            (phone("617 555 0123"), phone("212 555 0187"), "different"),
        ],
    );
    let email = |text: &str| Record { emails: vec![text.into()], ..Record::default() };
    every_level(
        Field::Email,
        &[
            (email("jane@a.com"), email(""), "missing"),
            (email("jane@a.com"), email("JANE@A.COM"), "exact"),
            (email("jane@a.com"), email("jane@b.org"), "same local part"),
            (email("jane@a.com"), email("joan@a.com"), "different"),
        ],
    );
}

#[test]
fn levels_of_numbers() {
    let id = |system, value| Record { identifiers: numbered(system, value), ..Record::default() };
    every_level(
        Field::Identifier,
        &[
            (id("ssn", "078-05-1120"), id("passport", "078-05-1120"), "missing"),
            (id("ssn", "078-05-1120"), id("ssn", "999-99-9999"), "missing"),
            (id("ssn", "078-05-1120"), id("SSN", "078051120"), "exact"),
            (id("ssn", "078-05-1120"), id("ssn", "078-05-1121"), "one edit"),
            (id("ssn", "078-05-1120"), id("ssn", "087-05-1121"), "two edits"),
            (id("ssn", "078-05-1120"), id("ssn", "219-09-9999"), "different"),
            (id("mrn", "123-4"), id("mrn", "143-5"), "different"),
        ],
    );
    let number = |system, value| Record { record_numbers: numbered(system, value), ..Record::default() };
    every_level(
        Field::RecordNumber,
        &[
            (number("general", "17"), number("county", "17"), "missing"),
            (number("general", "17"), number("general", "17"), "exact"),
            (number("general", "17"), number("general", "18"), "different"),
        ],
    );
}

#[test]
fn levels_of_births() {
    let child = |given: &str, order| Record {
        names: vec![name(given, "Smith")],
        multiple_birth_order: order,
        ..Record::default()
    };
    every_level(
        Field::BirthOrder,
        &[
            (child("Ann", Some(1)), child("Ann", None), "missing"),
            (child("Ann", Some(1)), child("Twin A", None), "exact"),
            (child("Ann", Some(1)), child("Twin B", None), "different"),
            (child("Ann", None), child("Twin B", None), "unnamed of several"),
            (child("Ann", None), child("Twin", None), "unnamed of several"),
            (child("Ann", None), child("Baby Girl", None), "missing"),
        ],
    );
    let mother = |given, family| Record { mother: Some(name(given, family)), ..Record::default() };
    every_level(
        Field::Mother,
        &[
            (mother("Ann", "Smith"), Record::default(), "missing"),
            (mother("Ann", "Smith"), mother("ANN", "SMITH"), "exact"),
            (mother("Ann", "Smith"), mother("Ann", "Smyth"), "close"),
            (mother("Ann", "Smith"), mother("Rosa", "Brown"), "different"),
        ],
    );
}

#[test]
fn missing_is_not_different() {
    let full = Record { sex: Some(Sex::Female), ..named("Jane", "Smith") };
    assert_eq!(pattern(&full, &born("1980-03-04")), Pattern::default());
    assert_eq!(pattern(&Record::default(), &Record::default()), Pattern::default());
}

#[test]
fn the_strongest_of_several_values_counts() {
    let married = Record { names: vec![name("Jane", "Brown"), name("Jane", "Smith")], ..Record::default() };
    assert_eq!(pattern(&married, &named("Jane", "Smith")).level(Field::Family), EXACT);
    let moved = Record {
        addresses: [living("77 Elm Rd", "", "90210").addresses, living("12 Main St", "", "02139").addresses]
            .concat(),
        phones: vec!["212 555 0187".into(), "617 555 0123".into()],
        birth_dates: [born("1980-03-04").birth_dates, born("1981-11-25").birth_dates].concat(),
        ..Record::default()
    };
    let other = Record {
        phones: vec!["617 555 0123".into()],
        birth_dates: born("1981-11-25").birth_dates,
        ..living("12 Main Street", "", "02139")
    };
    let pattern = pattern(&moved, &other);
    for field in [Field::Address, Field::Phone, Field::BirthDate] {
        assert_eq!(pattern.level(field), EXACT, "{field:?}");
    }
}

#[test]
fn identifiers_of_one_authority_count_among_those_of_others() {
    let both = Record {
        identifiers: [numbered("passport", "X1"), numbered("ssn", "078051120")].concat(),
        ..Record::default()
    };
    let differs = Record { identifiers: numbered("ssn", "219099999"), ..Record::default() };
    assert_eq!(pattern(&both, &differs).level(Field::Identifier), identifier::DIFFERENT);
}

#[test]
fn the_name_that_agrees_is_told_by_its_hash() {
    let (a, b) = (packed(&named("Jane", "Smith")), packed(&named("JANE", "Brown")));
    let comparison = compare(a.view(), b.view());
    assert_eq!(comparison.given, crate::text::hash(b"jane") as u32);
    assert_eq!(comparison.family, 0);
    let swapped = packed(&named("Smith", "Jane"));
    let comparison = compare(a.view(), swapped.view());
    assert_eq!((comparison.given, comparison.family), (0, 0));
}

#[test]
fn swapped_names_need_both() {
    let level =
        |a: (&str, &str), b: (&str, &str)| pattern(&named(a.0, a.1), &named(b.0, b.1)).level(Field::Given);
    assert_eq!(level(("Wei", "Chen"), ("Chen", "Wei")), given::SWAPPED);
    assert_eq!(level(("Wei", "Chen"), ("Chen", "Li")), given::ONE_SWAPPED);
    assert_eq!(level(("Wei", "Chen"), ("Bo", "Li")), given::DIFFERENT);
    assert_ne!(level(("Thomas", "Thomas"), ("Thomas", "Thomas")), given::SWAPPED, "a name that is both");
}

#[test]
fn streets_of_one_letter_are_told_apart() {
    let level = pattern(&living("12 Q", "", "02139"), &living("12 Z", "", "02139")).level(Field::Address);
    assert_eq!(Field::Address.levels()[usize::from(level)], "line different, area exact");
}
