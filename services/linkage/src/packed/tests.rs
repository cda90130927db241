use proptest::prelude::*;

use super::*;
use crate::{
    block,
    compare::{Comparison, compare},
    model::{Model, Placeholders},
    normalize::prepare,
    record::{Address, Date, Identifier, Name, Record, Sex},
};

fn full() -> Record {
    let number = |system: &str, value: &str| Identifier { system: system.into(), value: value.into() };
    let name = |given: &str, family: &str| Name {
        given: vec![given.into()],
        family: family.into(),
        ..Name::default()
    };
    let address = Address {
        line: "12 Mulberry St Apt 4".into(),
        city: "Boston".into(),
        state: "MA".into(),
        postcode: "02139".into(),
        recorded_on: None,
    };
    Record {
        names: vec![name("Quentin Aloysius", "Featherstone Jr"), name("Quentin", "Van Houten")],
        birth_dates: vec![Date { year: 1980, month: 3, day: 4 }, Date { year: 1980, month: 2, day: 31 }],
        sex: Some(Sex::Male),
        addresses: vec![address.clone(), Address { line: "77 Elm Rd".into(), ..address }],
        phones: vec!["617 555 0123".into()],
        emails: vec!["quentin@example.com".into()],
        identifiers: vec![number("ssn", "078-05-1120")],
        record_numbers: vec![number("general", "4711"), number("county", "0815")],
        multiple_birth_order: Some(2),
        mother: Some(name("Eleanor", "Featherstone")),
    }
}

fn packed() -> Packed {
    prepare(&full(), rlibphonenumber::Region::US)
}

/// Everything that is done with a record that was stored.
fn use_all(record: &Packed) {
    let view = record.view();
    let other = packed();
    let there = compare(view, other.view());
    assert_eq!(there, compare(other.view(), view));
    assert!(Model::shipped().judge(there).bits.is_finite());
    compare(view, view);
    assert!(block::keys(view).len() <= block::KEYS_MAX);
    block::refinements(view);
    let mut placeholders = Placeholders::default();
    crate::model::placeholder::values(view).for_each(|(kind, value)| placeholders.insert(kind, value));
    if let Some(stripped) = placeholders.strip(view) {
        assert_eq!(Packed::parse(stripped.as_bytes()).unwrap(), stripped);
    }
}

#[test]
fn what_is_stored_is_read_again() {
    for record in [packed(), prepare(&Record::default(), rlibphonenumber::Region::US)] {
        assert_eq!(Packed::parse(record.as_bytes()).unwrap(), record);
        assert_eq!(record.view().as_bytes(), record.as_bytes());
        use_all(&record);
    }
}

#[test]
fn every_field_is_found_again() {
    let record = packed();
    let view = record.view();
    assert_eq!((view.sex(), view.suffix(), view.birth_order()), (2, 1, 2));
    let flags = Flags { impossible_date: true, multiple_birth: true, ..Flags::default() };
    assert_eq!(view.flags(), flags);
    let known =
        [view.has_given(), view.has_family(), view.has_birth_date(), view.has_street(), view.has_postcode()];
    assert_eq!(known, [true; 5]);
    assert!(view.has_phone() && view.has_identifier());
    assert_eq!(view.words(Section::Given).count(), 1);
    assert_eq!(view.texts(Section::Middle).map(|text| text.bytes).collect::<Vec<_>>(), [b"aloysius"]);
    assert_eq!(view.words(Section::Family).count(), 2);
    assert_eq!(view.numbers(Section::FamilyToken).count(), 1);
    assert_eq!(view.birth_dates().collect::<Vec<_>>(), [0x1980_0304, 0x1980_0231]);
    assert_eq!(view.places().map(|place| place.number).collect::<Vec<_>>(), [0x12, 0x77]);
    assert_eq!(view.numbers(Section::Phone).collect::<Vec<_>>(), [0x0161_7555_0123]);
    assert_eq!((view.pairs(Section::Email).count(), view.pairs(Section::RecordNumber).count()), (1, 2));
    assert_eq!(view.identifiers().map(|(_, value)| value).collect::<Vec<_>>(), [b"078051120"]);
    assert_eq!(
        view.texts(Section::Mother).map(|text| text.bytes).collect::<Vec<_>>(),
        [b"eleanorfeatherstone"]
    );
    let nothing = prepare(&Record::default(), rlibphonenumber::Region::US);
    let view = nothing.view();
    assert!(!view.has_given() && !view.has_family() && !view.has_birth_date() && !view.has_street());
    assert!(!view.has_postcode() && !view.has_phone() && !view.has_identifier());
    assert_eq!(nothing.as_bytes().len(), HEAD);
}

#[test]
fn what_was_cut_short_or_is_of_another_version_is_refused() {
    let record = packed();
    let bytes = record.as_bytes();
    for end in 0..bytes.len() {
        assert!(Packed::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(Packed::parse(&[bytes, &[0]].concat()).is_err(), "too long");
    let mut other = bytes.to_vec();
    other[0] = VERSION + 1;
    assert!(Packed::parse(&other).is_err());
}

#[test]
fn more_or_longer_values_than_normalisation_makes_are_refused() {
    let with = |section, count: usize, text: &str| {
        let mut packer = Packer::default();
        for _ in 0..count {
            packer.sections[section as usize].extend([0; WORD_HEAD]);
            packer.sections[section as usize].push(text.len() as u8);
            packer.sections[section as usize].extend(text.as_bytes());
        }
        Packed::parse(packer.finish(Flags::default(), 0, 0, 0).as_bytes()).is_ok()
    };
    assert!(with(Section::Given, VALUES_MAX, "jane") && !with(Section::Given, VALUES_MAX + 1, "jane"));
    assert!(
        with(Section::Family, 1, &"x".repeat(TEXT_MAX))
            && !with(Section::Family, 1, &"x".repeat(TEXT_MAX + 1))
    );
    let phones = |count: usize| {
        let mut packer = Packer::default();
        (0..count).for_each(|_| packer.number(Section::Phone, 1));
        Packed::parse(packer.finish(Flags::default(), 0, 0, 0).as_bytes()).is_ok()
    };
    assert!(phones(VALUES_MAX) && !phones(VALUES_MAX + 1));
}

#[test]
fn placeholders_are_taken_out_and_nothing_else() {
    let record = packed();
    assert_eq!(Placeholders::default().strip(record.view()), None);
    let mut placeholders = Placeholders::default();
    crate::model::placeholder::values(record.view())
        .for_each(|(kind, value)| placeholders.insert(kind, value));
    let stripped = placeholders.strip(record.view()).unwrap();
    let expected = Record {
        birth_dates: vec![],
        phones: vec![],
        emails: vec![],
        identifiers: vec![],
        addresses: full()
            .addresses
            .into_iter()
            .map(|address| Address { line: String::new(), ..address })
            .collect(),
        ..full()
    };
    let expected = prepare(&expected, rlibphonenumber::Region::US);
    for section in
        [Section::Given, Section::Middle, Section::Family, Section::FamilyToken, Section::RecordNumber]
    {
        assert_eq!(stripped.view().section(section), expected.view().section(section), "{section:?}");
    }
    let view = stripped.view();
    assert!(!view.has_birth_date() && !view.has_phone() && !view.has_identifier() && !view.has_street());
    assert!(view.has_postcode(), "the area says something still");
    assert_eq!(view.section(Section::Place), expected.view().section(Section::Place));
}

#[test]
fn debug_shows_no_value() {
    let (record, packed) = (full(), packed());
    let score = Model::shipped().score(packed.view(), packed.view());
    let comparison: Comparison = score.comparison;
    let keys = block::keys(packed.view());
    let shown = format!(
        "{record:?} {:?} {packed:?} {:?} {comparison:?} {score:?} {keys:?} {:?}",
        record.birth_dates,
        packed.view(),
        Model::shipped().frequencies,
    );
    let secret = |text: &str| shown.to_lowercase().contains(text);
    for value in
        ["quentin", "aloysius", "featherstone", "houten", "1980", "mulberry", "boston", "02139", "eleanor"]
    {
        assert!(!secret(value), "{value}");
    }
    for number in ["6175550123", "078051120", "4711"] {
        assert!(!secret(number), "{number}");
    }
    for key in &keys {
        let shown = format!("{key:?}");
        assert!(key.parts.iter().all(|part| *part < 1000 || !shown.contains(&part.to_string())), "{shown}");
    }
    for hash in [comparison.given, comparison.family] {
        assert!(hash != 0 && !secret(&hash.to_string()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(record) = Packed::parse(&bytes) {
            use_all(&record);
        }
    }

    #[test]
    fn sound_bytes_of_any_content_never_panic(
        head in any::<[u8; 3]>(),
        values in prop::collection::vec((0..SECTIONS, any::<[u8; PLACE_HEAD]>(), prop::collection::vec(any::<u8>(), 0..9)), 0..20),
    ) {
        let mut packer = Packer::default();
        for (section, front, text) in values {
            let bytes = &mut packer.sections[section];
            match SHAPES[section] {
                Shape::Fixed(size, _) => bytes.extend(&front[..size]),
                Shape::Texts(size, _) => {
                    bytes.extend(&front[..size]);
                    bytes.push(text.len() as u8);
                    bytes.extend(text);
                }
            }
        }
        let mut bytes = packer.finish(Flags::default(), 0, 0, 0).as_bytes().to_vec();
        bytes[1..4].copy_from_slice(&head);
        match Packed::parse(&bytes) {
            Ok(record) => use_all(&record),
            Err(Error) => prop_assert!(View(&bytes).texts(Section::Mother).count() > 1),
        }
    }

    #[test]
    fn mutated_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = packed().as_bytes().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(record) = Packed::parse(&bytes) {
            use_all(&record);
        }
    }
}
