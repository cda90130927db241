use super::*;
use crate::{
    normalize::prepare,
    packed::Packed,
    record::{Address, Date, Identifier, Name, Record, Sex},
};

/// A record of Cambridge; an empty text is a value that is not known.
fn record(given: &str, family: &str, birth_date: &str, line: &str, phone: &str) -> Record {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let postcode = if line.is_empty() { "" } else { "02139" };
    let address = Address { line: line.into(), postcode: postcode.into(), ..Address::default() };
    Record {
        names: vec![name],
        birth_dates: Date::parse(birth_date).into_iter().collect(),
        addresses: vec![address],
        phones: vec![phone.into()],
        ..Record::default()
    }
}

fn of_sex(sex: Sex, record: Record) -> Record {
    Record { sex: Some(sex), ..record }
}

fn with_suffix(suffix: &str, mut record: Record) -> Record {
    record.names[0].suffix = suffix.into();
    record
}

fn with_number(value: &str, record: Record) -> Record {
    let identifier = Identifier { system: "ssn".into(), value: value.into() };
    Record { identifiers: vec![identifier], ..record }
}

fn packed(record: &Record) -> Packed {
    prepare(record, rlibphonenumber::Region::US)
}

fn decided(newcomer: &Record, known: &[(u8, Record)]) -> Decision<u8> {
    let newcomer = packed(newcomer);
    let known: Vec<_> = known.iter().map(|(person, record)| (*person, packed(record))).collect();
    let mut candidates: Vec<_> =
        known.iter().map(|(person, record)| Candidate { person: *person, record: record.view() }).collect();
    let decide =
        |candidates: &[_]| decide(Model::shipped(), Thresholds::default(), newcomer.view(), candidates);
    let forwards = decide(&candidates);
    for _ in 1..candidates.len() {
        candidates.rotate_left(1);
        assert_eq!(forwards, decide(&candidates), "the order of the candidates does not matter");
    }
    candidates.reverse();
    assert_eq!(forwards, decide(&candidates), "the order of the candidates does not matter");
    forwards
}

/// Says what was decided, for a message.
fn told(decision: &Decision<u8>) -> String {
    match decision {
        Decision::Link { person, score } => format!("link {person} at {:.1} bits, {score:?}", score.bits),
        Decision::Review { person, score, reason } => {
            format!("review {person} at {:.1} bits for {reason}, {score:?}", score.bits)
        }
        Decision::New => "new".into(),
    }
}

#[track_caller]
fn links(newcomer: &Record, known: &[(u8, Record)]) -> u8 {
    match decided(newcomer, known) {
        Decision::Link { person, .. } => person,
        other => panic!("{}", told(&other)),
    }
}

#[track_caller]
fn reviewed(newcomer: &Record, known: &[(u8, Record)]) -> &'static str {
    match decided(newcomer, known) {
        Decision::Review { reason, .. } => reason,
        other => panic!("{}", told(&other)),
    }
}

#[track_caller]
fn never_links(newcomer: &Record, known: &Record) {
    let decision = decided(newcomer, &[(1, known.clone())]);
    assert!(!matches!(decision, Decision::Link { .. }), "{}", told(&decision));
}

const MAIN: &str = "12 Main St";
const PHONE: &str = "617 555 0123";

#[test]
fn a_misspelt_name_and_an_old_address_still_link() {
    let jane = record("Jane", "Smith", "1980-03-04", MAIN, PHONE);
    for newcomer in [
        record("Jayne", "Smith", "1980-03-04", "77 Elm Rd", ""),
        record("Jane", "Smyth", "1980-03-04", MAIN, "212 555 0187"),
        record("JANE", "SMITH", "1980-03-04", MAIN, PHONE),
        record("Jane", "Brown", "1980-03-04", MAIN, PHONE),
        record("Jane", "Smith", "1980-03-05", MAIN, PHONE),
        record("Jane", "Smith", "1980-04-03", MAIN, ""),
        record("Smith", "Jane", "1980-03-04", MAIN, ""),
        record("J", "Smith", "1980-03-04", MAIN, PHONE),
    ] {
        assert_eq!(links(&newcomer, &[(1, jane.clone())]), 1);
    }
    let bob = record("Bob", "Anderson", "1961-07-28", MAIN, "");
    assert_eq!(links(&record("Robert", "Anderson", "1961-07-28", MAIN, ""), &[(1, bob)]), 1);
}

#[test]
fn an_identifier_tells_who_it_is() {
    let jane = with_number("219-09-9998", record("Jane", "Smith", "1980-03-04", MAIN, PHONE));
    let newcomer = with_number("219099998", record("Jane", "Brown", "1980-03-04", "77 Elm Rd", ""));
    assert_eq!(links(&newcomer, &[(1, jane)]), 1);
}

#[test]
fn a_stranger_is_new() {
    let jane = record("Jane", "Smith", "1980-03-04", MAIN, PHONE);
    let stranger = record("Robert", "Brown", "1955-10-21", "9 Oak Ave", "212 555 0187");
    assert_eq!(decided(&stranger, &[(1, jane.clone())]), Decision::New);
    assert_eq!(decided(&stranger, &[]), Decision::New);
    assert_eq!(decided(&Record::default(), &[(1, jane.clone())]), Decision::New);
    let namesake = record("Jane", "Smith", "1955-10-21", "9 Oak Ave", "212 555 0187");
    assert_eq!(decided(&namesake, &[(1, jane)]), Decision::New);
}

#[test]
fn twins_are_not_linked() {
    for (a, b) in [
        ("Ann", "Robert"),
        ("Jane", "Joan"),
        ("Jayden", "Hayden"),
        ("Olivia", "Sophia"),
        ("Marcus", "Martin"),
        ("Eric", "Erica"),
        ("Daniel", "Danielle"),
        ("Maria", "Marie"),
        ("Julia", "Julie"),
        ("John", "Joan"),
        ("Anna", "Anne"),
        ("Emma", "Ella"),
        ("Christopher", "Christian"),
    ] {
        for (line, phone) in [(MAIN, PHONE), (MAIN, ""), ("", PHONE), ("", "")] {
            for sexes in [[Sex::Female, Sex::Female], [Sex::Female, Sex::Male]] {
                let first = of_sex(sexes[0], record(a, "Smith", "2015-03-04", line, phone));
                let second = of_sex(sexes[1], record(b, "Smith", "2015-03-04", line, phone));
                let decision = decided(&second, &[(1, first)]);
                let at = format!("{a} {b} {line:?} {phone:?} {sexes:?}");
                assert!(!matches!(decision, Decision::Link { .. }), "{at}: {}", told(&decision));
            }
        }
    }
    let maria = of_sex(Sex::Female, record("Maria", "Smith", "2015-03-04", MAIN, PHONE));
    never_links(&of_sex(Sex::Male, record("Mario", "Smith", "2015-03-04", MAIN, PHONE)), &maria);
    let taylor = of_sex(Sex::Male, record("Taylor", "Green", "2015-03-04", MAIN, PHONE));
    never_links(&of_sex(Sex::Male, record("James", "Taylor", "2015-03-04", MAIN, PHONE)), &taylor);
    let close = |a, b| {
        let [a, b] = [a, b].map(|given| packed(&record(given, "Smith", "2015-03-04", MAIN, PHONE)));
        let comparison = Model::shipped().compare(a.view(), b.view());
        Field::Given.levels()[usize::from(comparison.pattern.level(Field::Given))]
    };
    assert_eq!(close("Martin", "Marvin"), "close, two names");
    assert_eq!(close("Martin", "Martxn"), "close", "nobody is called that");
    let ann = record("Ann", "Smith", "2015-03-04", MAIN, PHONE);
    assert_eq!(reviewed(&record("Robert", "Smith", "2015-03-04", MAIN, PHONE), &[(1, ann)]), "TWIN_PATTERN");
}

#[test]
fn a_twin_links_to_itself_where_both_are_known() {
    let known = [
        (1, record("Ann", "Smith", "2015-03-04", MAIN, PHONE)),
        (2, record("Robert", "Smith", "2015-03-04", MAIN, PHONE)),
    ];
    assert_eq!(links(&record("Robert", "Smith", "2015-03-04", MAIN, PHONE), &known), 2);
    assert_eq!(links(&record("Ann", "Smith", "2015-03-04", MAIN, PHONE), &known), 1);
}

#[test]
fn parent_and_child_of_one_name_are_not_linked() {
    let father = record("John", "Smith", "1950-03-04", MAIN, PHONE);
    never_links(&record("John", "Smith", "1982-11-23", MAIN, PHONE), &father);
    never_links(&with_suffix("Jr", record("John", "Smith", "1982-11-23", MAIN, PHONE)), &father);
    never_links(&record("John", "Smith", "1982-03-04", MAIN, PHONE), &father);
    let mother = record("Mary", "Gonler", "1947-11-04", "9 Elm St", PHONE);
    never_links(&record("Mary", "Gonler", "1973-11-04", "9 Elm St", PHONE), &mother);
}

#[test]
fn members_of_a_household_are_not_linked() {
    let jane = of_sex(Sex::Female, record("Jane", "Smith", "1980-03-04", MAIN, PHONE));
    for other in [
        of_sex(Sex::Male, record("Robert", "Smith", "1978-11-23", MAIN, PHONE)),
        of_sex(Sex::Female, record("Ann", "Smith", "2012-06-17", MAIN, PHONE)),
        of_sex(Sex::Female, record("Janet", "Smith", "1983-09-21", MAIN, PHONE)),
        of_sex(Sex::Female, record("", "Smith", "2012-06-17", MAIN, PHONE)),
    ] {
        never_links(&other, &jane);
    }
}

#[test]
fn neighbours_of_one_birth_date_are_not_linked() {
    let linda = record("Linda", "Garre", "1960-05-06", "12 Elm St", "");
    never_links(&record("Lena", "Garre", "1960-05-06", "77 Elm St", ""), &linda);
    let one = record("John", "Lopson", "1943-01-15", "808 Elm St", "");
    never_links(&record("John", "Milcia", "1943-01-15", "180 Elm St", ""), &one);
}

#[test]
fn suffixes_that_differ_are_a_conflict() {
    let senior = with_suffix("Sr", record("John", "Smith", "1950-03-04", MAIN, PHONE));
    let junior = with_suffix("Jr", record("John", "Smith", "1950-03-04", MAIN, PHONE));
    assert_eq!(reviewed(&junior, &[(1, senior.clone())]), "SUFFIX_CONFLICT");
    let typed = record("John", "Smith Jr.", "1950-03-04", MAIN, PHONE);
    assert_eq!(reviewed(&typed, &[(1, senior.clone())]), "SUFFIX_CONFLICT");
    let silent = record("John", "Smith", "1950-03-04", MAIN, PHONE);
    assert_eq!(links(&silent, &[(1, senior)]), 1, "a suffix that is missing is no conflict");
    let second = with_suffix("II", record("John", "Smith", "1950-03-04", MAIN, PHONE));
    assert_eq!(links(&second, &[(1, junior)]), 1, "a second may be called junior");
}

#[test]
fn identifiers_that_differ_are_a_conflict_unless_name_birth_and_home_agree() {
    let one = with_number("219-09-9998", record("Jane", "Smith", "1980-03-04", MAIN, PHONE));
    let mut far = with_number("457-55-5462", record("Jane", "Smith", "1980-03-04", "77 Elm Rd", ""));
    far.addresses[0].postcode = "90210".into();
    assert_eq!(reviewed(&far, &[(1, one.clone())]), "IDENTIFIER_CONFLICT");
    let slip = with_number("219-09-9989", far.clone());
    assert_eq!(links(&slip, &[(1, one.clone())]), 1, "a slip is no conflict");
    let wrong = with_number("457-55-5462", record("Jane", "Smith", "1980-03-04", MAIN, PHONE));
    assert_eq!(links(&wrong, &[(1, one)]), 1, "one of the identifiers is wrong");
}

#[test]
fn twins_of_similar_names_with_identifiers_of_their_own_are_not_linked() {
    for (a, b) in [("Jayden", "Hayden"), ("Kayla", "Kyla"), ("Marcus", "Markus"), ("Jane", "Jayne")] {
        let one = with_number("219-09-9998", record(a, "Smith", "2015-03-04", MAIN, PHONE));
        never_links(&with_number("457-55-5462", record(b, "Smith", "2015-03-04", MAIN, PHONE)), &one);
    }
}

#[test]
fn a_record_that_knows_less_hides_no_conflict() {
    let known = [
        (1, with_number("219-09-9998", record("Jane", "Smith", "1980-03-04", "", ""))),
        (1, record("Jane", "Smith", "1980-03-04", MAIN, "")),
    ];
    let newcomer = with_number("457-55-5462", record("Jane", "Smith", "1980-03-04", "", ""));
    assert_eq!(reviewed(&newcomer, &known), "IDENTIFIER_CONFLICT");
}

#[test]
fn a_misspelling_in_one_record_does_not_count_against_the_others() {
    let known = [
        (1, record("Robrt", "Smith", "1980-03-04", MAIN, PHONE)),
        (1, record("Robert", "Smith", "1980-03-04", MAIN, PHONE)),
    ];
    assert_eq!(links(&record("Robert", "Smith", "1980-03-04", MAIN, PHONE), &known), 1);
    let wrong = [
        (1, with_number("457-55-5462", record("Jane", "Smith", "1980-03-04", MAIN, PHONE))),
        (1, with_number("219-09-9998", record("Jane", "Smith", "1980-03-04", MAIN, PHONE))),
    ];
    let newcomer = with_number("219-09-9998", record("Jane", "Smith", "1980-03-04", MAIN, PHONE));
    assert_eq!(links(&newcomer, &wrong), 1);
}

#[test]
fn two_that_fit_alike_are_left_to_a_steward() {
    let known = [
        (1, record("John", "Smith", "1950-03-04", MAIN, PHONE)),
        (2, record("John", "Smith", "1950-03-04", "9 Oak Ave", "617 555 0199")),
    ];
    assert_eq!(reviewed(&record("John", "Smith", "1950-03-04", "", ""), &known), "TWO_PERSONS");
    let same = [known[0].clone(), (2, known[0].1.clone())];
    assert_eq!(reviewed(&record("John", "Smith", "1950-03-04", MAIN, PHONE), &same), "TWO_PERSONS");
}

#[test]
fn the_better_of_two_is_taken_where_it_leads() {
    let known = [
        (1, record("John", "Smith", "1950-03-04", MAIN, PHONE)),
        (2, record("John", "Smith", "1982-11-23", MAIN, PHONE)),
    ];
    assert_eq!(links(&record("John", "Smith", "1950-03-04", MAIN, PHONE), &known), 1);
    assert_eq!(links(&record("John", "Smith", "1982-11-23", MAIN, PHONE), &known), 2);
}

#[test]
fn several_records_of_one_person_are_no_rivals() {
    let known = [
        (1, record("John", "Smith", "1950-03-04", MAIN, PHONE)),
        (1, record("John", "Smith", "1950-03-04", "9 Oak Ave", "617 555 0199")),
        (1, record("Jon", "Smith", "1950-03-04", "", "")),
    ];
    assert_eq!(links(&record("John", "Smith", "1950-03-04", MAIN, ""), &known), 1);
}

#[test]
fn a_newborn_is_left_to_a_steward() {
    let mother = record("Ann", "Smith", "1990-11-23", MAIN, PHONE);
    let baby = record("Baby Girl", "Smith", "2024-03-04", MAIN, PHONE);
    never_links(&baby, &mother);
    let named = record("Emma", "Smith", "2024-03-04", MAIN, PHONE);
    assert_eq!(reviewed(&baby, &[(1, named.clone())]), "NEWBORN");
    assert_eq!(reviewed(&named, &[(1, baby.clone())]), "NEWBORN");
    assert_eq!(reviewed(&baby, &[(1, baby.clone())]), "NEWBORN");
    let numbered = with_number("219-09-9998", baby);
    assert_eq!(links(&with_number("219-09-9998", named), &[(1, numbered)]), 1, "an identifier tells");
}

#[test]
fn children_of_a_multiple_birth_are_kept_apart() {
    let twin = |given| record(given, "Smith", "2024-03-04", MAIN, PHONE);
    let ordered = |given, order| Record { multiple_birth_order: Some(order), ..twin(given) };
    assert_eq!(reviewed(&twin("Twin B"), &[(1, twin("Twin A"))]), "MULTIPLE_BIRTH_CONFLICT");
    assert_eq!(reviewed(&ordered("Emma", 2), &[(1, ordered("Emma", 1))]), "MULTIPLE_BIRTH_CONFLICT");
}

#[test]
fn a_child_of_one_birth_is_known_by_its_home() {
    let child = |given| packed(&record(given, "Smith", "2024-03-04", MAIN, PHONE));
    let alone = |a: &Packed, b: &Packed| {
        let pattern = crate::compare::compare(a.view(), b.view()).pattern;
        only_child(pattern, a.view(), b.view())
    };
    assert!(alone(&child("Baby Girl"), &child("Emma")));
    assert!(!alone(&child("Twin A"), &child("Emma")));
    let boy = packed(&of_sex(Sex::Male, record("Baby Boy", "Smith", "2024-03-04", MAIN, PHONE)));
    let girl = packed(&of_sex(Sex::Female, record("Emma", "Smith", "2024-03-04", MAIN, PHONE)));
    assert!(!alone(&boy, &girl));
    let elsewhere = packed(&record("Emma", "Brown", "2024-03-04", "77 Elm Rd", ""));
    assert!(!alone(&child("Baby Girl"), &elsewhere));
    assert!(!alone(&child("Baby Girl"), &packed(&record("Emma", "Smith", "2024-03-05", MAIN, PHONE))));
}

#[test]
fn somebody_unidentified_is_left_to_a_steward() {
    let doe = record("John", "Doe", "", MAIN, PHONE);
    never_links(&doe, &doe);
    let numbered = with_number("219-09-9998", doe.clone());
    let decision = decided(&numbered, &[(1, numbered.clone())]);
    assert!(!matches!(decision, Decision::Review { reason: "UNIDENTIFIED", .. }), "{}", told(&decision));
    never_links(
        &record("TEST", "PATIENT", "1980-03-04", MAIN, PHONE),
        &record("TEST", "PATIENT", "1980-03-04", MAIN, PHONE),
    );
}

#[test]
fn records_that_tie_decide_alike_in_any_order() {
    let known = [
        (1, record("Baby Boy", "Smith", "2024-03-04", MAIN, PHONE)),
        (1, record("", "Smith", "2024-03-04", MAIN, PHONE)),
    ];
    decided(&record("John", "Smith", "2024-03-04", MAIN, PHONE), &known);
}

#[test]
fn codes_are_stable() {
    let stops = [
        (Stop::SuffixConflict, "SUFFIX_CONFLICT", true),
        (Stop::MultipleBirthConflict, "MULTIPLE_BIRTH_CONFLICT", true),
        (Stop::IdentifierConflict, "IDENTIFIER_CONFLICT", true),
        (Stop::TwinPattern, "TWIN_PATTERN", true),
        (Stop::GenerationConflict, "GENERATION_CONFLICT", true),
        (Stop::FamilyNameConflict, "FAMILY_NAME_CONFLICT", true),
        (Stop::Newborn, "NEWBORN", false),
        (Stop::Unidentified, "UNIDENTIFIED", false),
        (Stop::TwoPersons, "TWO_PERSONS", false),
    ];
    for (stop, code, conflict) in stops {
        assert_eq!((stop.code(), stop.to_string().as_str(), stop.is_conflict()), (code, code, conflict));
    }
}
