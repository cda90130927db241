//! What holds for any two records: symmetry, and that a record agrees with itself.

use proptest::{collection::vec, option, prelude::*, sample::select};
use signpost_linkage::{
    Address, Date, Identifier, Model, Name, Packed, Record, Region, Sex, block::keys, compare::compare,
    decide, pattern::Field, prepare,
};

fn word() -> impl Strategy<Value = String> {
    let common = vec![
        "",
        "John",
        "Jon",
        "J",
        "Jane",
        "Jayne",
        "Mary Ann",
        "Mary-Ann",
        "Bob",
        "Robert",
        "Smith",
        "Smyth",
        "Smith-Jones",
        "Jones",
        "de la Cruz",
        "O'Neil",
        "García López",
        "Baby Boy",
        "Twin A",
        "UNKNOWN",
        "Smith Jr",
        "Doe",
        "Test",
        "李",
        "Na",
    ];
    prop_oneof![4 => select(common).prop_map(str::to_owned), 2 => "[a-c]{0,6}", 1 => "\\PC{0,8}"]
}

/// Given names, family name, the mother's family name, suffix.
type NameText = (Vec<String>, String, String, &'static str);
/// Line, city and postcode.
type PlaceText = (String, (&'static str, &'static str));

fn name() -> impl Strategy<Value = NameText> {
    (vec(word(), 0..3), word(), word(), select(vec!["", "", "Jr", "Sr", "II", "III"]))
}

fn date() -> impl Strategy<Value = (u16, u8, u8)> {
    let plain = (select(vec![1900u16, 1955, 1980, 1981, 1989, 1998, 2015]), 1u8..14, 1u8..33);
    prop_oneof![4 => plain, 1 => any::<(u16, u8, u8)>()]
}

fn address() -> impl Strategy<Value = PlaceText> {
    let line = prop_oneof![
        4 => (0u32..130, select(vec!["Main St", "Mian Street", "Main Rd", "Elm Ave", "5th Ave Apt 4", "Q"]))
            .prop_map(|(number, street)| format!("{number} {street}")),
        1 => word(),
    ];
    let places = vec![("Boston", "02139"), ("Boston", ""), ("", "02138"), ("Springfield", "90210"), ("", "")];
    (line, select(places))
}

fn identifier() -> impl Strategy<Value = (&'static str, String)> {
    let common = select(vec!["219099998", "219099989", "457555462"]).prop_map(str::to_owned);
    (select(vec!["ssn", "passport"]), prop_oneof!["[0-2]{7,8}", common])
}

fn phone() -> impl Strategy<Value = String> {
    select(vec!["617 555 0123", "617 555 0124", "6175550132", "212 555 0187", "", "999-999-9999"])
        .prop_map(str::to_owned)
}

fn email() -> impl Strategy<Value = String> {
    select(vec!["jane@a.com", "jane@b.org", "bob@a.com", "none@none.com"]).prop_map(str::to_owned)
}

fn name_of((given, family, maternal, suffix): NameText) -> Name {
    Name { given, family, maternal, suffix: suffix.into(), recorded_on: None }
}

fn date_of((year, month, day): (u16, u8, u8)) -> Date {
    Date { year, month, day }
}

fn address_of((line, (city, postcode)): PlaceText) -> Address {
    Address { line, city: city.into(), state: "MA".into(), postcode: postcode.into(), recorded_on: None }
}

fn identifiers_of(list: Vec<(&str, String)>) -> Vec<Identifier> {
    list.into_iter().map(|(system, value)| Identifier { system: system.into(), value }).collect()
}

/// What a record is made of: unlike a record it can be shown.
#[derive(Debug, Clone)]
struct Made {
    names: Vec<NameText>,
    birth_dates: Vec<(u16, u8, u8)>,
    sex: Option<Sex>,
    addresses: Vec<PlaceText>,
    phones: Vec<String>,
    emails: Vec<String>,
    identifiers: Vec<(&'static str, String)>,
    record_numbers: Vec<(&'static str, String)>,
    multiple_birth_order: Option<u8>,
    mother: Option<NameText>,
}

impl Made {
    fn record(&self) -> Record {
        let made = self.clone();
        Record {
            names: made.names.into_iter().map(name_of).collect(),
            birth_dates: made.birth_dates.into_iter().map(date_of).collect(),
            sex: made.sex,
            addresses: made.addresses.into_iter().map(address_of).collect(),
            phones: made.phones,
            emails: made.emails,
            identifiers: identifiers_of(made.identifiers),
            record_numbers: identifiers_of(made.record_numbers),
            multiple_birth_order: made.multiple_birth_order,
            mother: made.mother.map(name_of),
        }
    }
}

prop_compose! {
    fn made()(
        names in vec(name(), 0..4),
        birth_dates in vec(date(), 0..3),
        sex in option::of(select(vec![Sex::Female, Sex::Male])),
        addresses in vec(address(), 0..3),
        (phones, emails) in (vec(phone(), 0..3), vec(email(), 0..3)),
        (identifiers, record_numbers) in (vec(identifier(), 0..3), vec(identifier(), 0..3)),
        multiple_birth_order in option::weighted(0.3, 0u8..4),
        mother in option::of(name()),
    ) -> Made {
        Made {
            names, birth_dates, sex, addresses, phones, emails, identifiers, record_numbers, multiple_birth_order, mother,
        }
    }
}

fn packed(made: &Made) -> Packed {
    prepare(&made.record(), Region::US)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_order_of_two_records_does_not_matter(a in made(), b in made()) {
        let (a, b) = (packed(&a), packed(&b));
        let (a, b) = (a.view(), b.view());
        prop_assert_eq!(compare(a, b), compare(b, a));
        let model = Model::shipped();
        let score = model.score(a, b);
        prop_assert_eq!(score, model.score(b, a));
        prop_assert!(score.bits.is_finite() && (0.0..=1.0).contains(&score.probability()));
        let posterior = model.posterior(&score.comparison);
        prop_assert!((posterior.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let stop = |x, y| decide::stop(model, &score.comparison, x, y);
        prop_assert_eq!(stop(a, b), stop(b, a));
    }

    #[test]
    fn a_record_is_like_itself(a in made()) {
        let a = packed(&a);
        let pattern = compare(a.view(), a.view()).pattern;
        for field in Field::ALL {
            let level = field.levels()[usize::from(pattern.level(field))];
            prop_assert!(!level.contains("different"), "{field:?} {level}");
        }
        let exact = |field, known: bool| (pattern.level(field) == 1) == known;
        prop_assert!(exact(Field::Given, a.view().has_given()));
        prop_assert!(exact(Field::Family, a.view().has_family()));
        prop_assert!(exact(Field::BirthDate, a.view().has_birth_date()));
        prop_assert!(exact(Field::Phone, a.view().has_phone()));
        prop_assert!(exact(Field::Identifier, a.view().has_identifier()));
    }

    #[test]
    fn the_order_of_values_does_not_matter(a in made(), b in made(), turn in 0usize..3) {
        fn turned<T: Clone>(list: &[T], by: usize) -> Vec<T> {
            let mut list = list.to_vec();
            if !list.is_empty() {
                let by = by % list.len();
                list.rotate_left(by);
            }
            list
        }
        let other = Made {
            names: turned(&a.names, turn),
            birth_dates: turned(&a.birth_dates, turn),
            addresses: turned(&a.addresses, turn),
            phones: turned(&a.phones, turn),
            emails: turned(&a.emails, turn),
            identifiers: turned(&a.identifiers, turn),
            record_numbers: turned(&a.record_numbers, turn),
            ..a.clone()
        };
        let (a, other, b) = (packed(&a), packed(&other), packed(&b));
        prop_assert_eq!(keys(a.view()), keys(other.view()));
        // Of several suffixes the current name's counts, of several birth orders the first.
        let with = |x: &Packed| {
            let pattern = compare(x.view(), b.view()).pattern;
            pattern.with(Field::Suffix, 0).with(Field::BirthOrder, 0)
        };
        prop_assert_eq!(with(&a), with(&other));
    }

    #[test]
    fn a_further_value_never_weakens_an_agreement(a in made(), b in made(), phone in phone(), address in address(), date in date()) {
        let (mut more, b) = (a.clone(), packed(&b));
        more.phones.push(phone);
        more.addresses.push(address);
        more.birth_dates.push(date);
        let (less, more) = (packed(&a), packed(&more));
        let (less, more) = (compare(less.view(), b.view()).pattern, compare(more.view(), b.view()).pattern);
        for field in [Field::Phone, Field::Address, Field::BirthDate] {
            let (less, more) = (less.level(field), more.level(field));
            prop_assert!(less == 0 || more != 0 && more <= less, "{field:?} {less} {more}");
        }
    }

    #[test]
    fn records_that_agree_on_both_names_and_the_birth_date_meet(a in made(), b in made()) {
        let (a, b) = (packed(&a), packed(&b));
        let pattern = compare(a.view(), b.view()).pattern;
        let all = [Field::Given, Field::Family, Field::BirthDate].iter().all(|field| pattern.level(*field) == 1);
        let (a, b) = (keys(a.view()), keys(b.view()));
        prop_assert!(!all || a.iter().any(|key| b.contains(key)));
    }
}
