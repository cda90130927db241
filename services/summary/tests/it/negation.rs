//! What did not happen, is not so, or was a mistake.

use serde_json::{Value, json};
use signpost_summary::{Reason, Section};

use crate::build::{allergy, ccda, fhir, medication, resources, result, skipped, summary};

/// An entry that says that no allergy is known.
pub(crate) const NO_KNOWN_ALLERGIES: &str = r#"<entry><act classCode="ACT" moodCode="EVN">
  <templateId root="2.16.840.1.113883.10.20.22.4.30"/><statusCode code="active"/>
  <entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN" negationInd="true">
    <templateId root="2.16.840.1.113883.10.20.22.4.7"/><statusCode code="completed"/>
    <value xsi:type="CD" code="419199007" codeSystem="2.16.840.1.113883.6.96"/>
    <participant typeCode="CSM"><participantRole><playingEntity>
      <code nullFlavor="NA"/></playingEntity></participantRole></participant>
  </observation></entryRelationship></act></entry>"#;

/// Returns the code of the only resource of a type.
fn only_code(summary: &signpost_summary::Summary, kind: &str, field: &str) -> String {
    let found = resources(summary, kind);
    assert_eq!(found.len(), 1);
    found[0][field]["coding"][0]["code"].as_str().unwrap().to_owned()
}

#[test]
fn no_known_allergies_is_a_code_and_no_allergy() {
    let stated = summary(&[&ccda("doc-1", "48765-2", NO_KNOWN_ALLERGIES)]);
    assert_eq!(only_code(&stated, "AllergyIntolerance", "code"), "no-known-allergies");
    let to_drugs = NO_KNOWN_ALLERGIES.replace("419199007", "416098002");
    let stated = summary(&[&ccda("doc-1", "48765-2", &to_drugs)]);
    assert_eq!(only_code(&stated, "AllergyIntolerance", "code"), "no-known-medication-allergies");
}

#[test]
fn a_negated_allergy_to_a_substance_is_refuted() {
    let code = r#"<code code="70618" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin"/>"#;
    let entry = NO_KNOWN_ALLERGIES.replace(r#"<code nullFlavor="NA"/>"#, code);
    let stated = summary(&[&ccda("doc-1", "48765-2", &entry)]);
    assert_eq!(only_code(&stated, "AllergyIntolerance", "verificationStatus"), "refuted");
    assert_eq!(only_code(&stated, "AllergyIntolerance", "code"), "70618");
}

#[test]
fn the_code_of_snomed_for_none_known_is_understood() {
    let stated = allergy("716186003", "active", json!({}));
    assert_eq!(
        only_code(&summary(&[&fhir("doc-1", &[stated])]), "AllergyIntolerance", "code"),
        "no-known-allergies"
    );
}

#[test]
fn a_negated_problem_medicine_or_vaccine_is_not_stated_as_one() {
    let problem = |value: &str| {
        format!(
            r#"<entry><act classCode="ACT" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.3"/>
            <entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN" negationInd="true">
            <templateId root="2.16.840.1.113883.10.20.22.4.4"/>{value}</observation></entryRelationship></act></entry>"#
        )
    };
    let any = problem(r#"<value xsi:type="CD" code="55607006" codeSystem="2.16.840.1.113883.6.96"/>"#);
    let stated = summary(&[&ccda("doc-1", "11450-4", &any)]);
    assert_eq!(only_code(&stated, "Condition", "code"), "no-known-problems");
    let one = problem(r#"<value xsi:type="CD" code="73211009" codeSystem="2.16.840.1.113883.6.96"/>"#);
    let stated = summary(&[&ccda("doc-1", "11450-4", &one)]);
    assert_eq!(only_code(&stated, "Condition", "verificationStatus"), "refuted");

    let given = |code: &str| {
        format!(
            r#"<entry><substanceAdministration classCode="SBADM" moodCode="EVN" negationInd="true">
            <statusCode code="completed"/><consumable><manufacturedProduct><manufacturedMaterial>{code}
            </manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry>"#
        )
    };
    let stated = summary(&[&ccda("doc-1", "10160-0", &given(r#"<code nullFlavor="NA"/>"#))]);
    assert_eq!(
        only_code(&stated, "MedicationStatement", "medicationCodeableConcept"),
        "no-known-medications"
    );
    let code = given(r#"<code code="88" codeSystem="2.16.840.1.113883.12.292"/>"#);
    let stated = summary(&[&ccda("doc-1", "10160-0", &code)]);
    assert_eq!(resources(&stated, "MedicationStatement")[0]["status"], "not-taken");
    let stated = summary(&[&ccda("doc-1", "11369-6", &code)]);
    assert_eq!(resources(&stated, "Immunization")[0]["status"], "not-done");
}

#[test]
fn what_was_entered_in_error_is_left_out_and_counted() {
    let wrong = json!({ "verificationStatus": { "coding": [{ "code": "entered-in-error" }] } });
    let mut observed = result("2339-0", "2020", 5.0);
    observed["status"] = "entered-in-error".into();
    let made = fhir(
        "doc-1",
        &[allergy("1", "active", wrong), medication("A", "entered-in-error", json!({})), observed],
    );
    let summary = summary(&[&made]);
    let expected = [Section::Medications, Section::Allergies, Section::Results]
        .map(|section| (Some(section), Reason::EnteredInError, 1));
    let mut found = skipped(&summary);
    found.sort();
    assert_eq!(found, expected);
    assert!(resources(&summary, "Observation").is_empty());
    assert_eq!(only_code(&summary, "AllergyIntolerance", "code"), "no-allergy-info");
}

#[test]
fn a_medicine_that_was_entered_in_error_taints_what_refers_to_it() {
    let medicine = json!({
        "resourceType": "Medication", "id": "m", "status": "entered-in-error", "code": { "text": "X" },
    });
    let taken = medication("A", "active", json!({ "medicationReference": { "reference": "Medication/m" } }));
    let summary = summary(&[&fhir("doc-1", &[medicine, taken])]);
    assert_eq!(skipped(&summary), [(Some(Section::Medications), Reason::EnteredInError, 1)]);
}

#[test]
fn nullified_planned_and_null_entries_are_listed() {
    let entry = |attributes: &str, status: &str| {
        format!(
            r#"<entry><procedure classCode="PROC" {attributes}>
            <templateId root="2.16.840.1.113883.10.20.22.4.14"/><code code="1" codeSystem="2.16.840.1.113883.6.96"/>
            <statusCode code="{status}"/></procedure></entry>"#
        )
    };
    let cases = [
        (entry(r#"moodCode="EVN""#, "nullified"), Reason::EnteredInError),
        (entry(r#"moodCode="INT""#, "active"), Reason::Planned),
        (entry(r#"moodCode="EVN" nullFlavor="NI""#, "completed"), Reason::NoInformation),
    ];
    for (entry, reason) in cases {
        let summary = summary(&[&ccda("doc-1", "47519-4", &entry)]);
        assert_eq!(skipped(&summary), [(Some(Section::Procedures), reason, 1)]);
        assert!(resources(&summary, "Procedure").is_empty());
    }
}

#[test]
fn what_cannot_be_understood_safely_is_refused() {
    let with = |name: &str, value: Value| {
        let mut stated = allergy("1", "active", json!({}));
        stated[name] = value;
        stated
    };
    let cases = [
        (with("modifierExtension", json!([{ "url": "urn:x" }])), Reason::ModifierUnknown),
        (with("implicitRules", json!("urn:x")), Reason::ModifierUnknown),
        (with("verificationStatus", json!({ "coding": [{ "code": "refutd" }] })), Reason::StatusUnknown),
        (with("patient", json!({ "reference": "Group/1" })), Reason::NotAboutPatient),
        (with("code", json!({})), Reason::NoCode),
    ];
    for (stated, reason) in cases {
        let summary = summary(&[&fhir("doc-1", &[stated])]);
        assert_eq!(skipped(&summary), [(Some(Section::Allergies), reason, 1)]);
    }
}

#[test]
fn a_bundle_about_two_patients_is_refused() {
    let mut other = allergy("1", "active", json!({}));
    other["patient"] = json!({ "reference": "Patient/q" });
    let summary = summary(&[&fhir("doc-1", &[allergy("2", "active", json!({})), other])]);
    assert_eq!(skipped(&summary), [(None, Reason::SeveralPatients, 1)]);
}

#[test]
fn no_information_gives_way_to_what_is_known_and_is_listed() {
    let system = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips";
    let unknown = json!({ "code": { "coding": [{ "system": system, "code": "no-allergy-info" }] } });
    let one = fhir("doc-1", &[allergy("1", "active", unknown)]);
    let two = fhir("doc-2", &[allergy("1", "active", json!({}))]);
    let both = summary(&[&one, &two]);
    assert_eq!(resources(&both, "AllergyIntolerance").len(), 1);
    assert_eq!(skipped(&both), [(Some(Section::Allergies), Reason::NoInformation, 1)]);
    let alone = summary(&[&one]);
    assert_eq!(only_code(&alone, "AllergyIntolerance", "code"), "no-allergy-info");
    assert!(skipped(&alone).is_empty());
}

#[test]
fn a_section_that_is_empty_because_none_is_known_says_so() {
    let composition = json!({
        "resourceType": "Composition",
        "section": [{
            "code": { "coding": [{ "system": "http://loinc.org", "code": "48765-2" }] },
            "emptyReason": { "coding": [{ "code": "nilknown" }] },
        }],
    });
    let summary = summary(&[&fhir("doc-1", &[composition])]);
    assert_eq!(only_code(&summary, "AllergyIntolerance", "code"), "no-known-allergies");
}
