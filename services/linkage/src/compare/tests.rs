use proptest::prelude::*;

use super::*;
use crate::{
    normalize::prepare,
    record::{Address, Name, Record},
};

fn person(given: &str, family: &str, birth_date: &str, line: &str, postcode: &str) -> Prepared {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let address = Address { line: line.into(), postcode: postcode.into(), ..Address::default() };
    let birth_date = Date::parse(birth_date);
    prepare(&Record { names: vec![name], birth_date, addresses: vec![address], ..Record::default() })
}

#[test]
fn levels_say_what_they_mean() {
    let jane = person("Jane", "Smith", "1980-03-04", "1 Main St", "02139");
    let level = |other: &Prepared, field| compare(&jane, other).of(field);
    let other = person("Jayne", "Smith-Jones", "1980-04-03", "1 Main Street", "02140");
    assert_eq!(level(&other, Field::Given), Level::Close);
    assert_eq!(level(&other, Field::Family), Level::Partial);
    assert_eq!(level(&other, Field::BirthDate), Level::Close);
    assert_eq!(level(&other, Field::Address), Level::Close);
    assert_eq!(level(&other, Field::Sex), Level::Missing);
    let swapped = person("Smith", "Jane", "1980-03-05", "", "02139");
    assert_eq!(level(&swapped, Field::Given), Level::Swapped);
    assert_eq!(level(&swapped, Field::Family), Level::Missing);
    assert_eq!(level(&swapped, Field::Address), Level::Partial);
    let stranger = person("Robert", "Brown", "1955-10-21", "9 Oak Rd", "90210");
    assert_eq!(level(&stranger, Field::Given), Level::Different);
    assert_eq!(level(&stranger, Field::BirthDate), Level::Different);
}

#[test]
fn missing_is_not_different() {
    let jane = person("Jane", "Smith", "", "", "");
    let levels = compare(&jane, &person("", "", "1980-01-02", "", ""));
    assert!(levels.0.iter().all(|level| *level == Level::Missing));
}

proptest! {
    #[test]
    fn comparing_is_symmetric(
        a in "[a-z]{0,8}", b in "[a-z]{0,8}", c in "[a-e ]{0,9}", d in "[a-e ]{0,9}",
        day in 1u8..28, month in 1u8..13,
    ) {
        let x = person(&a, &b, &format!("1980-{month:02}-{day:02}"), &c, "1234");
        let y = person(&c, &d, &format!("1980-{:02}-{month:02}", day.min(12)), &a, "1235");
        prop_assert_eq!(compare(&x, &y), compare(&y, &x));
        let same = compare(&x, &x);
        prop_assert!(same.0.iter().all(|level| *level != Level::Different));
    }
}
