//! What contradicts itself stays, is linked, and is flagged.

use serde_json::{Value, json};
use signpost_summary::{ConflictKind, Request, Section, Subject, Summary, summarise};

use crate::build::{Made, allergy, ccda, conflicts, fhir, medication, request, resources, result, summary};

/// Requires that all of a kind are linked to each other, tagged, and annotated.
fn flagged(summary: &Summary, kind: &str, count: usize) {
    let found = resources(summary, kind);
    assert_eq!(found.len(), count);
    for resource in &found {
        assert_eq!(resource["meta"]["tag"][0]["code"], "conflict");
        let note = resource["note"].as_array().unwrap().last().unwrap();
        assert!(note["text"].as_str().unwrap().starts_with("Conflict: "));
        let links = resource["extension"].as_array().unwrap().iter();
        let links = links.filter(|extension| extension["url"] == "urn:signpost:summary:conflicts-with");
        let others: Vec<_> =
            links.map(|link| link["valueReference"]["reference"].as_str().unwrap()).collect();
        assert!(!others.is_empty());
        for other in others {
            assert!(summary.bundle["entry"].as_array().unwrap().iter().any(|e| e["fullUrl"] == other));
            assert!(!other.ends_with(resource["id"].as_str().unwrap()));
        }
    }
    let narrative = summary.bundle["entry"][0]["resource"]["section"].to_string();
    assert!(narrative.contains("<b>"), "the narrative marks it");
    assert!(narrative.contains("<p><b>Conflicts</b></p>"));
}

fn pair(one: Value, two: Value) -> Summary {
    let documents: [Made; 2] = [fhir("doc-1", &[one]), fhir("doc-2", &[two])];
    summary(&[&documents[0], &documents[1]])
}

#[test]
fn an_allergy_that_is_active_and_refuted() {
    let refuted = json!({ "verificationStatus": { "coding": [{ "code": "refuted" }] } });
    let summary = pair(allergy("1", "active", json!({})), allergy("1", "inactive", refuted));
    assert_eq!(conflicts(&summary), [ConflictKind::StatusDiffers]);
    assert_eq!(summary.report.conflicts[0].documents, ["doc-1", "doc-2"]);
    flagged(&summary, "AllergyIntolerance", 2);
}

#[test]
fn an_allergy_that_is_active_and_inactive() {
    let summary = pair(allergy("1", "active", json!({})), allergy("1", "inactive", json!({})));
    assert_eq!(conflicts(&summary), [ConflictKind::StatusDiffers]);
    flagged(&summary, "AllergyIntolerance", 2);
}

#[test]
fn a_medicine_that_is_active_and_stopped() {
    let summary = pair(medication("A", "active", json!({})), medication("A", "stopped", json!({})));
    assert_eq!(conflicts(&summary), [ConflictKind::StatusDiffers]);
    flagged(&summary, "MedicationStatement", 2);
}

#[test]
fn a_medicine_that_was_stopped_before_it_was_begun_again_is_no_conflict() {
    let before = json!({ "effectivePeriod": { "start": "2010", "end": "2011" } });
    let again = json!({ "effectivePeriod": { "start": "2015" } });
    let summary = pair(medication("A", "stopped", before), medication("A", "active", again));
    assert!(conflicts(&summary).is_empty());
    assert_eq!(resources(&summary, "MedicationStatement").len(), 2);
}

#[test]
fn a_medicine_in_two_doses() {
    let dose = |value: u32| json!({ "dosage": [{ "doseAndRate": [{ "doseQuantity": { "value": value, "unit": "mg" } }] }] });
    let summary = pair(medication("A", "active", dose(5)), medication("A", "active", dose(10)));
    assert_eq!(conflicts(&summary), [ConflictKind::DetailDiffers]);
    flagged(&summary, "MedicationStatement", 2);
}

#[test]
fn no_known_allergies_next_to_an_allergy() {
    let none = ccda("doc-1", "48765-2", crate::negation::NO_KNOWN_ALLERGIES);
    let one = fhir("doc-2", &[allergy("1", "active", json!({}))]);
    let summary = summary(&[&none, &one]);
    assert_eq!(conflicts(&summary), [ConflictKind::NoneKnownButListed]);
    flagged(&summary, "AllergyIntolerance", 2);
}

#[test]
fn no_known_food_allergies_does_not_contradict_an_allergy_to_a_medicine() {
    let absent = json!({ "code": { "coding": [{
        "system": "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips", "code": "no-known-food-allergies",
    }] } });
    let none = || allergy("1", "active", absent.clone());
    let other = |category: &str| allergy("1", "active", json!({ "category": [category] }));
    assert!(conflicts(&pair(none(), other("medication"))).is_empty());
    assert_eq!(conflicts(&pair(none(), other("food"))), [ConflictKind::NoneKnownButListed]);
}

#[test]
fn a_refuted_allergy_does_not_contradict_no_known_allergies() {
    let none = ccda("doc-1", "48765-2", crate::negation::NO_KNOWN_ALLERGIES);
    let refuted = json!({ "verificationStatus": { "coding": [{ "code": "refuted" }] } });
    let one = fhir("doc-2", &[allergy("1", "inactive", refuted)]);
    assert!(conflicts(&summary(&[&none, &one])).is_empty());
}

#[test]
fn a_result_with_two_values_at_one_time() {
    let at = "2020-01-01T08:00:00Z";
    let summary = pair(result("2339-0", at, 5.0), result("2339-0", at, 50.0));
    assert_eq!(conflicts(&summary), [ConflictKind::ValueDiffers]);
    flagged(&summary, "Observation", 2);
}

#[test]
fn a_vaccination_that_was_given_and_not_given() {
    let dose = |status: &str| {
        json!({
            "resourceType": "Immunization", "status": status, "occurrenceDateTime": "2020-10-01",
            "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "88" }] },
        })
    };
    let summary = pair(dose("completed"), dose("not-done"));
    assert_eq!(conflicts(&summary), [ConflictKind::StatusDiffers]);
    flagged(&summary, "Immunization", 2);
}

#[test]
fn two_episodes_of_one_problem_are_no_conflict() {
    let episode = |clinical: &str, more: Value| {
        let mut stated = json!({
            "resourceType": "Condition",
            "clinicalStatus": { "coding": [{ "code": clinical }] },
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "233604007" }] },
        });
        for (name, value) in more.as_object().unwrap() {
            stated[name] = value.clone();
        }
        stated
    };
    let over = episode("resolved", json!({ "onsetDateTime": "1998-03", "abatementDateTime": "1998-04" }));
    let now = episode("active", json!({ "onsetDateTime": "2020-01" }));
    assert!(conflicts(&pair(over, now.clone())).is_empty());
    let without_dates = episode("resolved", json!({}));
    assert_eq!(conflicts(&pair(without_dates, now)), [ConflictKind::StatusDiffers]);
}

#[test]
fn documents_about_people_with_other_birth_dates_are_reported() {
    let one = ccda("doc-1", "48765-2", "");
    let born = |date: &str| Subject {
        family: "B".into(),
        birth_date: Some(date.parse().unwrap()),
        ..Subject::default()
    };
    let asked = |date: &str| {
        let request = Request { subject: Some(born(date)), ..request() };
        summarise(&request, &[one.document()])
    };
    assert!(conflicts(&asked("1975-05-01")).is_empty());
    let summary = asked("1980-01-01");
    assert_eq!(conflicts(&summary), [ConflictKind::SubjectDiffers]);
    assert_eq!(resources(&summary, "Patient")[0]["birthDate"], "1980-01-01", "the caller's word counts");
    assert_eq!(summary.report.conflicts[0].section, None::<Section>);
}
