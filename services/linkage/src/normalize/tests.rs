use proptest::prelude::*;

use super::*;
use crate::{
    compare::compare,
    packed::View,
    pattern::{EXACT, Field, address},
    record::{Address, Name},
};

fn a_name(given: &str, family: &str) -> Name {
    Name { given: vec![given.into()], family: family.into(), ..Name::default() }
}

fn with_names(names: &[(&str, &str)], birth_date: &str) -> Packed {
    let names = names.iter().map(|(given, family)| a_name(given, family)).collect();
    let birth_dates = Date::parse(birth_date).into_iter().collect();
    prepare(&Record { names, birth_dates, ..Record::default() }, Region::US)
}

fn named(given: &str, family: &str) -> Packed {
    with_names(&[(given, family)], "")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn givens(record: &Packed) -> Vec<String> {
    record.view().words(Section::Given).map(|word| text(word.text.bytes)).collect()
}

fn middles(record: &Packed) -> Vec<String> {
    record.view().texts(Section::Middle).map(|middle| text(middle.bytes)).collect()
}

fn families(record: &Packed) -> Vec<String> {
    record.view().words(Section::Family).map(|word| text(word.text.bytes)).collect()
}

fn is_nobody(record: &Packed) -> bool {
    let view: View<'_> = record.view();
    view.flags().unidentified && !view.has_given() && !view.has_family()
}

mod spelling {
    use super::*;

    #[test]
    fn case_marks_and_spaces_do_not_matter() {
        assert_eq!(named("JOSÉ ", " Müller-Lüdenscheidt"), named("jose", "MULLER LUDENSCHEIDT"));
        assert_eq!(named("Zoë", "Ångström"), named("ZOE", "Angstrom"));
        assert_eq!(named("Zoe\u{308}", "A\u{30a}ngstro\u{308}m"), named("Zoë", "Ångström"), "decomposed");
        assert_eq!(named("Ｊａｎｅ", "Smith"), named("Jane", "Smith"), "full width");
        assert_eq!(words("Straße Œuvre Łódź Ðorđe"), ["strasse", "oeuvre", "lodz", "dorde"]);
        assert_eq!(words(" \t\r\n--, "), Vec::<String>::new());
    }

    #[test]
    fn other_scripts_are_transliterated() {
        assert_eq!(givens(&named("Анна", "Попов")), ["anna"]);
        assert_eq!(families(&named("Анна", "Попов")), ["popov"]);
        assert_eq!(families(&named("Γιώργος", "Παπαδόπουλος")), ["papadopoulos"]);
        assert_eq!(families(&named("娜", "张")), ["zhang"]);
        assert_eq!(families(&named("민준", "김")), ["gim"]);
    }

    #[test]
    fn vowel_signs_are_letters_where_a_script_needs_them() {
        assert_eq!(words("सीता"), ["siitaa"]);
        assert_eq!(words("がとう"), ["gatou"], "not kato");
        assert_eq!(words("مُحَمَّد"), words("محمد"), "points that a reader may leave out");
    }

    #[test]
    fn an_apostrophe_stands_inside_a_name_and_a_hyphen_between_two() {
        for written in ["O'Brien", "O’Brien", "O`Brien", "O´Brien", "Oʻbrien", "O′Brien", "OBRIEN"] {
            assert_eq!(words(written), ["obrien"], "{written}");
        }
        for written in ["Smith-Jones", "Smith–Jones", "Smith Jones", "Smith/Jones", "Smith  ,Jones"] {
            assert_eq!(words(written), ["smith", "jones"], "{written}");
        }
    }

    #[test]
    fn invisible_characters_do_not_part_a_name() {
        assert_eq!(words("\u{feff}Mc\u{ad}Do\u{200b}nald"), ["mcdonald"]);
    }
}

mod names {
    use super::*;

    #[test]
    fn further_given_names_are_in_the_middle() {
        let record = named("Ann Marie Louise", "Lee");
        assert_eq!(
            (givens(&record), middles(&record)),
            (vec!["ann".into()], vec!["marie".into(), "louise".into()])
        );
        let apart = Name { given: vec!["Ann".into(), "Marie".into(), "Louise".into()], ..a_name("", "Lee") };
        assert_eq!(record, prepare(&Record { names: vec![apart], ..Record::default() }, Region::US));
    }

    #[test]
    fn a_double_given_name_is_also_one_word() {
        assert_eq!(givens(&named("Anne-Marie", "Lee")), ["anne", "annemarie"]);
        assert_eq!(middles(&named("Anne-Marie", "Lee")), ["marie"]);
        let level =
            |a, b| compare(named(a, "Lee").view(), named(b, "Lee").view()).pattern.level(Field::Given);
        assert_eq!(level("Anne-Marie", "Annemarie"), EXACT);
        assert_eq!(level("Anne-Marie", "Anne Marie"), EXACT);
        assert_eq!(level("Anne-Marie", "Anne"), EXACT);
    }

    #[test]
    fn a_suffix_is_found_in_its_field_and_at_the_end_of_the_family_name() {
        for (written, number) in [
            ("Smith Jr.", 1),
            ("Smith, Jr", 1),
            ("SMITH JUNIOR", 1),
            ("Smith Sr", 2),
            ("Smith II", 3),
            ("Smith 2nd", 3),
            ("Smith III", 4),
            ("Smith IV", 5),
        ] {
            let record = named("John", written);
            assert_eq!(
                (families(&record), record.view().suffix()),
                (vec!["smith".into()], number),
                "{written}"
            );
        }
        let field = Name { suffix: "Jr.".into(), ..a_name("John", "Smith") };
        let record = prepare(&Record { names: vec![field], ..Record::default() }, Region::US);
        assert_eq!(record, named("John", "Smith Jr"));
        let both = Name { suffix: "Sr".into(), ..a_name("John", "Smith Jr") };
        let record = prepare(&Record { names: vec![both], ..Record::default() }, Region::US);
        assert_eq!(record.view().suffix(), 2, "the field of its own counts");
    }

    #[test]
    fn a_family_name_that_is_only_a_suffix_stays() {
        let record = named("Maria", "Junior");
        assert_eq!((families(&record), record.view().suffix()), (vec!["junior".into()], 0));
    }

    #[test]
    fn a_compound_surname_is_one_word_with_its_halves() {
        let record = named("Ana", "García López");
        assert_eq!(families(&record), ["garcialopez"]);
        let tokens: Vec<_> = record.view().numbers(Section::FamilyToken).collect();
        assert_eq!(tokens, [text::hash(b"garcia"), text::hash(b"lopez")]);
        let maternal = Name { maternal: "López".into(), ..a_name("Ana", "García") };
        let record = prepare(&Record { names: vec![maternal], ..Record::default() }, Region::US);
        assert_eq!(record, named("Ana", "García López"));
    }

    #[test]
    fn a_particle_tells_no_family_apart() {
        for family in ["van den Berg", "de la Cruz", "San Martin", "Al Hassan"] {
            let record = named("Ana", family);
            assert_eq!(record.view().numbers(Section::FamilyToken).count(), 1, "{family}");
        }
        assert_eq!(named("Ana", "VanDenBerg").view().numbers(Section::FamilyToken).count(), 0);
        assert_eq!(families(&named("Ana", "Van Den Berg")), families(&named("Ana", "VanDenBerg")));
    }

    #[test]
    fn nicknames_share_a_row() {
        let rows = |name: &str| named(name, "Lee").view().words(Section::Given).next().unwrap().nicknames;
        assert!(nickname::related(rows("Bob"), rows("Robert")));
        assert!(nickname::related(rows("Liz"), rows("Elizabeth")));
        assert!(!nickname::related(rows("Bob"), rows("William")));
    }

    #[test]
    fn names_that_sound_alike_have_one_sound() {
        let sound = |name: &str| named(name, "Lee").view().words(Section::Given).next().unwrap().sound;
        for (a, b) in
            [("Catherine", "Kathryn"), ("Stephen", "Steven"), ("Jane", "Jayne"), ("Philip", "Fillip")]
        {
            assert_eq!(sound(a), sound(b), "{a} {b}");
        }
        assert_ne!(sound("Jane"), sound("Robert"));
        assert_eq!(sound("42"), 0);
    }

    #[test]
    fn names_of_several_times_are_all_kept_once() {
        let record = with_names(&[("Jane", "Brown"), ("Jane", "Smith"), ("JANE", "BROWN")], "");
        assert_eq!((givens(&record).len(), families(&record)), (1, vec!["brown".into(), "smith".into()]));
    }

    #[test]
    fn what_is_too_much_is_cut() {
        let names = (0..100).map(|i| a_name(&format!("Jane{i} {}", "x".repeat(i)), &format!("Smith{i}")));
        let names: Vec<_> = names.chain([a_name(&"a".repeat(5000), &"b ".repeat(5000))]).rev().collect();
        let record = prepare(&Record { names, ..Record::default() }, Region::US);
        assert_eq!((givens(&record).len(), families(&record).len()), (VALUES_MAX, VALUES_MAX));
        assert!(givens(&record).iter().chain(&families(&record)).all(|name| name.len() <= TEXT_MAX));
        assert!(Packed::parse(record.as_bytes()).is_ok());
    }

    #[test]
    fn the_mother_is_one_text() {
        let mother = |given, family| {
            let record = Record { mother: Some(a_name(given, family)), ..Record::default() };
            prepare(&record, Region::US)
        };
        assert_eq!(mother("Ánn", "O'Neil"), mother("ANN", "ONEIL"));
        assert_eq!(mother("Unknown", "Unknown"), prepare(&Record::default(), Region::US));
    }
}

mod placeholders {
    use super::*;

    #[test]
    fn unknown_words_are_missing() {
        for word in ["UNKNOWN", "Unk", "FNU", "none", "(unknown)", "Unidentified", "xxx", "TRAUMA"] {
            assert!(is_nobody(&named(word, word)), "{word}");
            let family = named(word, "Smith");
            assert!(!family.view().has_given() && families(&family) == ["smith"], "{word}");
            assert!(!family.view().flags().unidentified, "{word}: half a name is a name");
        }
        let nothing = named("", "");
        assert!(!nothing.view().flags().unidentified && !nothing.view().has_given(), "no name is not a word");
    }

    #[test]
    fn tests_are_nobody() {
        for (given, family) in
            [("TEST", "PATIENT"), ("Test", "Smith"), ("John", "Zztest"), ("Patient", "Test")]
        {
            assert!(is_nobody(&with_names(&[(given, family)], "1980-03-04")), "{given} {family}");
        }
        assert_eq!(givens(&named("Esther", "Testa")), ["esther"]);
    }

    #[test]
    fn john_doe_is_nobody_unless_he_has_a_birth_date() {
        for birth_date in ["", "1900-01-01", "1970-01-01", "1980-01-01"] {
            assert!(is_nobody(&with_names(&[("John", "Doe")], birth_date)), "{birth_date}");
            assert!(is_nobody(&with_names(&[("JANE", "DOE")], birth_date)), "{birth_date}");
        }
        let jane = with_names(&[("Jane", "Doe")], "1980-03-04");
        assert_eq!((givens(&jane), families(&jane)), (vec!["jane".into()], vec!["doe".into()]));
        assert!(!jane.view().flags().unidentified);
        assert_eq!(families(&named("Michael", "Doe")), ["doe"]);
    }

    #[test]
    fn short_and_rare_names_are_names() {
        for (given, family) in [("Na", "Zhang"), ("An", "Nguyen"), ("Bo", "Xu"), ("Le", "O"), ("Jo", "No")] {
            let record = named(given, family);
            let expected = (vec![given.to_lowercase()], vec![family.to_lowercase()]);
            assert_eq!((givens(&record), families(&record)), expected);
            assert_eq!(record.view().flags(), Flags::default());
        }
    }

    #[test]
    fn a_child_without_a_name_is_a_newborn() {
        for given in
            ["BABY BOY", "Baby Girl", "Baby-Boy", "BabyGirl", "Newborn", "Infant Male", "BB", "Girl", "Boy"]
        {
            let record = named(given, "Smith");
            assert!(record.view().flags().newborn, "{given}");
            assert!(!record.view().flags().multiple_birth, "{given}");
            assert_eq!((givens(&record), families(&record)), (vec![], vec!["smith".into()]), "{given}");
        }
        assert!(named("", "Baby Boy Smith").view().flags().newborn);
        assert_eq!(families(&named("", "Baby Boy Smith")), ["smith"]);
        assert!(named("Unknown Baby", "Smith").view().flags().newborn);
        assert!(!named("Unknown Baby", "Smith").view().has_given());
        let lone = named("UNKNOWN", "Baby-Boy");
        assert!(lone.view().flags().newborn && !lone.view().has_family());
        assert!(!named("Barbara", "Boy").view().flags().newborn, "a family name");
        assert!(!named("Mary Baby", "Smith").view().flags().newborn);
    }

    #[test]
    fn a_newborn_of_several_says_which_it_is() {
        for (given, order) in [
            ("Twin A", 1),
            ("TWIN B", 2),
            ("TwinA", 1),
            ("Baby Boy A", 1),
            ("BabyB", 2),
            ("Baby Girl 2", 2),
            ("Triplet C", 3),
            ("Boy 1", 1),
            ("Twin", 0),
        ] {
            let record = named(given, "Smith");
            let flags = record.view().flags();
            assert_eq!(
                (flags.newborn, flags.multiple_birth, record.view().birth_order()),
                (true, true, order),
                "{given}"
            );
        }
        let record = Record {
            names: vec![a_name("Twin A", "Smith")],
            multiple_birth_order: Some(2),
            ..Record::default()
        };
        assert_eq!(prepare(&record, Region::US).view().birth_order(), 2, "the field of its own counts");
    }

    #[test]
    fn who_has_got_a_name_is_no_newborn_and_not_unidentified() {
        let child = with_names(&[("John", "Smith"), ("Baby Boy", "Smith")], "2024-03-04");
        assert_eq!(child.view().flags(), Flags::default());
        let found = with_names(&[("Robert", "Brown"), ("Unknown", "Unknown"), ("John", "Doe")], "");
        assert!(!found.view().flags().unidentified);
        assert_eq!(families(&found), ["brown"]);
    }

    #[test]
    fn numbers_of_nobody_are_missing() {
        let identified = |value: &str| {
            let identifier = Identifier { system: "ssn".into(), value: value.into() };
            prepare(&Record { identifiers: vec![identifier], ..Record::default() }, Region::US)
                .view()
                .has_identifier()
        };
        for nobody in
            ["999-99-9999", "000-00-0000", "123-45-6789", "", "----", "1111111", "999-99-9998", "N/A", "XXX"]
        {
            assert!(!identified(nobody), "{nobody}");
        }
        for somebody in ["078-05-1120", "A-17", "111"] {
            assert!(identified(somebody), "{somebody}");
        }
    }

    #[test]
    fn dates_of_nobody_are_missing() {
        for date in [
            "1800-01-01",
            "1900-01-01",
            "1901-01-01",
            "1970-01-01",
            "1911-11-11",
            "0001-01-01",
            "1879-12-31",
            "9999-12-31",
        ] {
            assert!(!with_names(&[], date).view().has_birth_date(), "{date}");
        }
        for date in ["1900-01-02", "1980-01-01", "1970-01-02", "1902-01-01"] {
            assert!(with_names(&[], date).view().has_birth_date(), "{date}");
        }
    }
}

#[test]
fn a_date_that_never_was_is_kept_and_marked() {
    for date in ["2023-02-29", "1980-13-01", "1980-04-31"] {
        let record = with_names(&[], date);
        assert!(record.view().has_birth_date() && record.view().flags().impossible_date, "{date}");
    }
    assert!(!with_names(&[], "1980-00-00").view().has_birth_date(), "a year is no date");
    let record = with_names(&[], "1980-03-04");
    assert_eq!(record.view().birth_dates().collect::<Vec<_>>(), [0x1980_0304]);
    assert!(!record.view().flags().impossible_date);
    let placeholder = with_names(&[], "0000-00-00");
    assert!(!placeholder.view().flags().impossible_date && !placeholder.view().has_birth_date());
}

mod contact {
    use super::*;

    fn phones(texts: &[&str], region: Region) -> Vec<u64> {
        let phones = texts.iter().map(|text| (*text).to_owned()).collect();
        let record = prepare(&Record { phones, ..Record::default() }, region);
        record.view().numbers(Section::Phone).collect()
    }

    #[test]
    fn a_phone_number_is_one_in_every_notation() {
        for written in [
            "617-555-0123",
            "(617) 555 0123",
            "6175550123",
            "1 617 555 0123",
            "+1 617.555.0123",
            "+16175550123",
            "tel:+1-617-555-0123",
            "617-555-0123 ext. 45",
            "617-555-0123 x45",
            "011 1 617 555 0123",
        ] {
            assert_eq!(phones(&[written], Region::US), [0x0161_7555_0123], "{written}");
        }
        for written in ["02 9374 4000", "(02) 9374 4000", "+61 2 9374 4000", "0293744000"] {
            assert_eq!(phones(&[written], Region::AU), [0x0612_9374_4000], "{written}");
        }
        assert_eq!(phones(&["+61 2 9374 4000"], Region::US), [0x0612_9374_4000]);
    }

    #[test]
    fn what_is_no_phone_number_is_missing() {
        for written in [
            "",
            "none",
            "12345",
            "999-999-9999",
            "(000) 000-0000",
            "123-456-7890",
            "+1 999 999 9999",
            "555-5555",
        ] {
            assert!(phones(&[written], Region::US).is_empty(), "{written}");
        }
    }

    #[test]
    fn an_email_address_has_no_case() {
        let emails = |text: &str| {
            let record = prepare(&Record { emails: vec![text.into()], ..Record::default() }, Region::US);
            record.view().pairs(Section::Email).collect::<Vec<_>>()
        };
        assert_eq!(emails(" Jane.Smith@Example.COM "), emails("jane.smith@example.com"));
        assert_eq!(emails("jane@a.com")[0].1, emails("jane@b.org")[0].1, "same local part");
        assert_ne!(emails("jane@a.com")[0].0, emails("jane@b.org")[0].0);
        for nobody in
            ["", "none@none.com", "unknown@example.com", "NA@na.com", "jane", "@example.com", "jane@home"]
        {
            assert!(emails(nobody).is_empty(), "{nobody}");
        }
    }
}

mod addresses {
    use super::*;

    fn at(line: &str, city: &str, postcode: &str) -> Packed {
        let address =
            Address { line: line.into(), city: city.into(), postcode: postcode.into(), ..Address::default() };
        prepare(&Record { addresses: vec![address], ..Record::default() }, Region::US)
    }

    fn parts(line: &str) -> (u32, String, String) {
        let place = place::place(&Address { line: line.into(), ..Address::default() });
        (place.number, place.street, place.unit)
    }

    fn known(number: u32, street: &str, unit: &str) -> (u32, String, String) {
        (number, street.into(), unit.into())
    }

    #[test]
    fn abbreviations_are_spelt_out() {
        assert_eq!(at("12 N. Main St.", "", ""), at("12 north main STREET", "", ""));
        assert_eq!(at("12 Oak Ave", "", ""), at("12 OAK AV.", "", ""));
        assert_eq!(at("12 Lake Blvd SW", "", ""), at("12 Lake Boulevard Southwest", "", ""));
        assert!(place::STREET_WORDS.is_sorted(), "they are looked up by halves");
    }

    #[test]
    fn number_street_and_unit_are_told_apart() {
        assert_eq!(parts("12 N. Main St, Apt 4B"), known(0x12, "north main street", "4b"));
        assert_eq!(parts("12 Main Street #4"), known(0x12, "main street", "4"));
        assert_eq!(parts("Unit 7, 120 Main Street"), known(0x120, "main street", "7"));
        assert_eq!(parts("Suite 300 120 Main St"), known(0x120, "main street", "300"));
        assert_eq!(parts("12b Main St"), known(0x12, "main street", ""));
        assert_eq!(parts("P.O. Box 123"), known(0x123, "po box", ""));
        assert_eq!(parts("Main Street"), known(0, "main street", ""));
        assert_eq!(parts("12"), known(0x12, "", ""));
        assert_eq!(parts(""), known(0, "", ""));
        assert_eq!(parts("Main St Apt"), known(0, "main street apt", ""), "nothing follows");
    }

    #[test]
    fn an_ordinal_is_the_name_of_a_street() {
        assert_eq!(parts("350 5th Ave"), known(0x350, "5th avenue", ""));
        assert_eq!(parts("1 E 42nd St"), known(1, "east 42nd street", ""));
        assert_eq!(parts("12 West 3rd"), known(0x12, "west 3rd", ""));
    }

    #[test]
    fn a_postcode_is_cut_to_what_everybody_writes() {
        assert_eq!(at("", "", "02139-1234"), at("", "", "02139"));
        assert_eq!(at("", "", "021391234"), at("", "", "02139"));
        assert_eq!(at("", "", "sw1a 1aa"), at("", "", "SW1A1AA"));
        for nowhere in ["00000", "99999", "99999-9999", "-"] {
            assert!(!at("", "", nowhere).view().has_postcode(), "{nowhere}");
        }
        assert_eq!(at("", "", "00000"), prepare(&Record::default(), Region::US));
    }

    #[test]
    fn a_city_has_no_spaces() {
        assert_eq!(at("", "St. Louis", ""), at("", "ST LOUIS", ""));
        let (a, b) = (at("", "San José", ""), at("", "san jose", ""));
        assert_eq!(compare(a.view(), b.view()).pattern.level(Field::Address), address::JOINT[5][1]);
    }
}

/// The words of a name as somebody would type them again.
fn typed_again(names: &name::Names) -> Name {
    let mut given = vec![names.given.clone()];
    given.extend(names.middle.iter().cloned());
    Name { given, family: names.family.join(" "), ..Name::default() }
}

fn hard_words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-zA-Z]{1,8}",
        "\\PC{0,6}",
        prop::sample::select(name_words()).prop_map(str::to_owned),
    ];
    prop::collection::vec((word, prop::sample::select(vec![" ", "-", "'", ", ", ""])), 0..5)
        .prop_map(|words| words.into_iter().flat_map(|(word, mark)| [word, mark.to_owned()]).collect())
}

fn name_words() -> Vec<&'static str> {
    vec![
        "Baby", "Boy", "Girl", "Twin", "A", "B", "2", "Unknown", "Test", "Patient", "Jr", "Sr.", "III",
        "John", "Doe", "van", "de", "Newborn", "none", "XXX", "O'Neil", "李", "Müller", "FNU",
    ]
}

proptest! {
    #[test]
    fn folding_twice_changes_nothing(text in any::<String>()) {
        let once = words(&text);
        prop_assert!(once.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())));
        prop_assert_eq!(words(&once.join(" ")), once);
    }

    #[test]
    fn normalising_a_name_twice_changes_nothing(given in hard_words(), family in hard_words()) {
        let once = name::name(&a_name(&given, &family));
        let twice = name::name(&typed_again(&once));
        prop_assert_eq!(&once.given, &twice.given);
        prop_assert_eq!(&once.middle, &twice.middle);
        prop_assert_eq!(&once.family, &twice.family);
    }

    #[test]
    fn normalising_a_postcode_twice_changes_nothing(postcode in "[a-zA-Z0-9 -]{0,11}") {
        let once = place::place(&Address { postcode, ..Address::default() }).postcode;
        let twice = place::place(&Address { postcode: once.clone(), ..Address::default() }).postcode;
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn any_text_can_be_prepared(a in any::<String>(), b in any::<String>(), date in any::<(u16, u8, u8)>()) {
        let address = Address { line: a.clone(), city: b.clone(), state: a.clone(), postcode: b.clone(), recorded_on: None };
        let identifier = Identifier { system: b.clone(), value: a.clone() };
        let record = Record {
            names: vec![Name { suffix: b.clone(), ..a_name(&a, &b) }, a_name(&b, &a)],
            birth_dates: vec![Date { year: date.0, month: date.1, day: date.2 }],
            addresses: vec![address],
            phones: vec![a.clone()],
            emails: vec![b.clone(), format!("{a}@{b}.com")],
            identifiers: vec![identifier.clone()],
            record_numbers: vec![identifier],
            mother: Some(a_name(&b, &a)),
            ..Record::default()
        };
        let packed = prepare(&record, Region::US);
        prop_assert_eq!(Packed::parse(packed.as_bytes()).unwrap(), packed);
    }
}
