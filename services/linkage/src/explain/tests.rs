use super::*;
use crate::{
    normalize::prepare,
    packed::Packed,
    record::{Address, Date, Name, Record},
};

fn person(given: &str, family: &str, birth_date: &str, line: &str) -> Packed {
    let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
    let address = Address { line: line.into(), postcode: "02139".into(), ..Address::default() };
    let birth_dates = Date::parse(birth_date).into_iter().collect();
    let record = Record { names: vec![name], birth_dates, addresses: vec![address], ..Record::default() };
    prepare(&record, rlibphonenumber::Region::US)
}

fn explained(a: &Packed, b: &Packed) -> Explanation {
    explain(&Model::default(), Thresholds::default(), a.view(), b.view())
}

#[test]
fn the_parts_add_up_to_the_weight() {
    let jane = person("Jane", "Smith", "1980-03-04", "1 Main St");
    for other in [
        person("Janne", "Smith", "1980-03-04", "77 Elm Rd"),
        person("Robert", "Smith", "1950-11-12", "1 Main St"),
    ] {
        let explanation = explained(&jane, &other);
        let parts: f64 = explanation.fields.iter().map(|part| part.bits + part.frequency_bits).sum();
        let sum = explanation.prior_bits + parts + explanation.calibration_bits;
        assert!((sum - explanation.bits).abs() < 1e-9, "{sum} {}", explanation.bits);
        assert!((explanation.same + explanation.household + explanation.unrelated - 1.0).abs() < 1e-9);
        let turned = explained(&other, &jane);
        assert_eq!(explanation, turned, "the order of the two does not matter");
    }
}

#[test]
fn an_explanation_names_levels_and_never_values() {
    let explanation = explained(
        &person("Jane", "Smith", "1980-03-04", "1 Main St"),
        &person("Janne", "Smith", "1980-03-04", "77 Elm Rd"),
    );
    let text = explanation.text();
    assert!(text.contains("given") && text.contains("sounds alike") && text.contains("decided by"), "{text}");
    for rendered in [text, explanation.json(), explanation.svg()] {
        for value in ["jane", "Janne", "smith", "Smith", "1980", "Main", "02139"] {
            assert!(!rendered.contains(value), "{value} in {rendered}");
        }
    }
    assert!(explanation.svg().starts_with("<svg") && explanation.svg().ends_with("</svg>"));
}

#[test]
fn what_stops_a_link_is_the_rule_that_decided() {
    let twins = explained(
        &person("Ann", "Smith", "2015-03-04", "1 Main St"),
        &person("Robert", "Smith", "2015-03-04", "1 Main St"),
    );
    assert_eq!(twins.rule, "TWIN_PATTERN", "{}", twins.text());
    let same = explained(
        &person("Ann", "Smith", "2015-03-04", "1 Main St"),
        &person("Ann", "Smith", "2015-03-04", "1 Main St"),
    );
    assert_eq!(same.rule, "LINK", "{}", same.text());
}
