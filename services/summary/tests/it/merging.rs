//! What is stated more than once becomes one entry that names all who state it.

use serde_json::{Value, json};
use signpost_summary::Section;

use crate::build::{
    allergy, ccda, conflicts, fhir, medication, request, resources, result, skipped, summary,
};

#[test]
fn the_same_allergy_from_two_documents_is_one_entry_of_both() {
    let one = fhir("doc-1", &[allergy("91936005", "active", json!({ "criticality": "high" }))]);
    let more = json!({ "onsetDateTime": "2010", "reaction": [{ "manifestation": [{ "text": "Rash" }] }] });
    let two = fhir("doc-2", &[allergy("91936005", "active", more)]);
    let summary = summary(&[&one, &two]);
    let found = resources(&summary, "AllergyIntolerance");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["criticality"], "high", "what one source adds is kept");
    assert_eq!(found[0]["onsetDateTime"], "2010");
    let entry = summary.report.entries.iter().find(|e| e.section == Section::Allergies).unwrap();
    assert_eq!((entry.statements, entry.documents.as_slice()), (2, &["doc-1".into(), "doc-2".into()][..]));
    assert!(conflicts(&summary).is_empty());
    let sources = found[0]["extension"].as_array().unwrap();
    let documents = resources(&summary, "DocumentReference");
    for source in sources {
        let reference = source["valueReference"]["reference"].as_str().unwrap();
        assert!(documents.iter().any(|document| reference.ends_with(document["id"].as_str().unwrap())));
    }
    assert_eq!(sources.len(), 2);
}

#[test]
fn ccda_and_fhir_that_say_the_same_meet() {
    let entry = r#"<entry><substanceAdministration classCode="SBADM" moodCode="EVN">
        <templateId root="2.16.840.1.113883.10.20.22.4.16"/><statusCode code="active"/>
        <effectiveTime xsi:type="IVL_TS"><low value="20200115"/></effectiveTime>
        <consumable><manufacturedProduct><manufacturedMaterial>
          <code code="197361" codeSystem="2.16.840.1.113883.6.88" displayName="Amlodipine 5 MG"/>
        </manufacturedMaterial></manufacturedProduct></consumable>
        </substanceAdministration></entry>"#;
    let one = ccda("doc-1", "10160-0", entry);
    let rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm";
    let stated = json!({
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "medicationCodeableConcept": { "coding": [{ "system": rxnorm, "code": "197361" }] },
    });
    let summary = summary(&[&one, &fhir("doc-2", &[stated])]);
    let found = resources(&summary, "MedicationStatement");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["effectivePeriod"]["start"], "2020-01-15");
}

#[test]
fn a_date_with_less_precision_agrees() {
    let one = fhir("doc-1", &[allergy("91936005", "active", json!({ "onsetDateTime": "2010" }))]);
    let two = fhir("doc-2", &[allergy("91936005", "active", json!({ "onsetDateTime": "2010-05-01" }))]);
    let summary = summary(&[&one, &two]);
    let found = resources(&summary, "AllergyIntolerance");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["onsetDateTime"], "2010-05-01");
}

#[test]
fn uncoded_items_merge_by_their_words() {
    let stated = |text: &str| {
        let status = json!({ "coding": [{ "code": "active" }] });
        json!({ "resourceType": "Condition", "clinicalStatus": status, "code": { "text": text } })
    };
    let one = fhir("doc-1", &[stated("Back  Pain"), stated("Neck pain")]);
    let two = fhir("doc-2", &[stated("back pain")]);
    assert_eq!(resources(&summary(&[&one, &two]), "Condition").len(), 2);
}

#[test]
fn the_same_code_of_another_system_is_another_item() {
    let stated = |system: &str| {
        json!({
            "resourceType": "Condition",
            "code": { "coding": [{ "system": system, "code": "195967001" }] },
        })
    };
    let one = fhir("doc-1", &[stated("http://snomed.info/sct"), stated("urn:oid:1.2.3")]);
    assert_eq!(resources(&summary(&[&one]), "Condition").len(), 2);
}

#[test]
fn a_broad_code_in_common_does_not_join_two_precise_ones() {
    let stated = |snomed: &str| {
        let codings = json!([
            { "system": "http://snomed.info/sct", "code": snomed },
            { "system": "http://hl7.org/fhir/sid/icd-10", "code": "I25" },
        ]);
        json!({ "resourceType": "Condition", "code": { "coding": codings } })
    };
    let one = fhir("doc-1", &[stated("1"), stated("2")]);
    let summary = summary(&[&one]);
    assert_eq!(resources(&summary, "Condition").len(), 2);
    assert!(conflicts(&summary).is_empty());
}

#[test]
fn results_at_other_times_stay_apart_and_are_no_conflict() {
    let one = fhir("doc-1", &[result("2339-0", "2020-01-01T08:00:00Z", 5.0)]);
    let two = fhir(
        "doc-2",
        &[result("2339-0", "2020-01-02T08:00:00Z", 9.0), result("2339-0", "2020-01-01T09:00:00+01:00", 5.0)],
    );
    let summary = summary(&[&one, &two]);
    assert_eq!(resources(&summary, "Observation").len(), 2, "the same instant in another zone is one");
    assert!(conflicts(&summary).is_empty());
}

#[test]
fn what_could_belong_to_either_of_two_stays_apart() {
    let dose = |at: Option<&str>| {
        let mut dose = json!({
            "resourceType": "Immunization", "status": "completed",
            "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "88" }] },
        });
        if let Some(at) = at {
            dose["occurrenceDateTime"] = at.into();
        }
        dose
    };
    let one = fhir("doc-1", &[dose(Some("2019-10-01")), dose(Some("2020-10-01"))]);
    let two = fhir("doc-2", &[dose(None)]);
    assert_eq!(resources(&summary(&[&one, &two]), "Immunization").len(), 3);
    let one = fhir("doc-1", &[dose(Some("2019-10-01"))]);
    assert_eq!(resources(&summary(&[&one, &two]), "Immunization").len(), 1);
}

#[test]
fn a_medicine_by_reference_is_resolved_and_a_panel_keeps_its_members() {
    let medicine = json!({
        "resourceType": "Medication", "id": "m",
        "code": { "coding": [{ "system": "http://www.whocc.no/atc", "code": "C07AB03" }] },
    });
    let mut taken =
        medication("x", "active", json!({ "medicationReference": { "reference": "Medication/m" } }));
    taken.as_object_mut().unwrap().remove("medicationCodeableConcept");
    let mut panel = result("24323-8", "2020-01-01", 1.0);
    panel.as_object_mut().unwrap().remove("valueQuantity");
    panel["hasMember"] = json!([{ "reference": "Observation/o" }, { "reference": "Observation/gone" }]);
    let mut member = result("2339-0", "2020-01-01", 5.0);
    member["id"] = "o".into();
    let summary = summary(&[&fhir("doc-1", &[medicine, taken, panel, member])]);
    let taken = resources(&summary, "MedicationStatement");
    assert_eq!(taken[0]["medicationCodeableConcept"]["coding"][0]["code"], "C07AB03");
    let results = resources(&summary, "Observation");
    let panel = results.iter().find(|found| found.get("hasMember").is_some()).unwrap();
    assert_eq!(panel["hasMember"].as_array().unwrap().len(), 1, "a reference that leads nowhere is left out");
}

#[test]
fn the_order_of_documents_changes_nothing() {
    let documents = [
        fhir("doc-1", &[medication("A", "active", json!({})), allergy("1", "active", json!({}))]),
        fhir("doc-2", &[medication("A", "stopped", json!({})), allergy("1", "inactive", json!({}))]),
        fhir("doc-3", &[medication("A", "active", json!({ "effectiveDateTime": "2020" }))]),
    ];
    let [a, b, c] = &documents;
    let first = summary(&[a, b, c]);
    for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
        let other = summary(&order);
        assert_eq!(first.bundle.to_string(), other.bundle.to_string());
        assert_eq!(first.report, other.report);
    }
}

#[test]
fn with_no_document_the_required_sections_say_that_nothing_is_known() {
    let summary = signpost_summary::summarise(&request(), &[]);
    let composition = &summary.bundle["entry"][0]["resource"];
    let sections = composition["section"].as_array().unwrap();
    let codes: Vec<_> = sections.iter().filter_map(|s| s["code"]["coding"][0]["code"].as_str()).collect();
    assert_eq!(codes, ["10160-0", "48765-2", "11450-4"]);
    let text = summary.bundle.to_string();
    for code in ["no-medication-info", "no-allergy-info", "no-problem-info"] {
        assert!(text.contains(code), "{code}");
    }
}

#[test]
fn a_document_reference_names_the_document_its_keeper_and_its_hash() {
    let summary = summary(&[&fhir("doc-1", &[])]);
    let documents = resources(&summary, "DocumentReference");
    assert_eq!(documents[0]["masterIdentifier"]["value"], "doc-1");
    assert_eq!(documents[0]["custodian"]["identifier"]["value"], "north");
    let hash = documents[0]["identifier"][0]["value"].as_str().unwrap();
    assert!(hash.starts_with("ni:///sha-256;BwcH"), "{hash}");
}

#[test]
fn texts_are_escaped_in_the_narrative() {
    let nasty = json!({ "resourceType": "Condition", "code": { "text": "<script>\"&'\u{1}" } });
    let summary = summary(&[&fhir("doc-1", &[nasty])]);
    let composition = &summary.bundle["entry"][0]["resource"];
    for section in composition["section"].as_array().unwrap() {
        let div = section["text"]["div"].as_str().unwrap();
        assert!(!div.contains("<script>") && !div.contains('\u{1}'));
        roxmltree::Document::parse(div).unwrap();
    }
    assert_eq!(resources(&summary, "Condition")[0]["code"]["text"], "<script>\"&'");
}

#[test]
fn debug_and_report_show_no_patient_data() {
    let mut stated = allergy("91936005", "active", json!({}));
    stated["code"]["text"] = Value::from("Zyzzyva");
    let made =
        fhir("doc-1", &[stated, json!({ "resourceType": "Condition", "note": [{ "text": "Zyzzyva" }] })]);
    let summary = summary(&[&made]);
    assert!(summary.bundle.to_string().contains("Zyzzyva"));
    assert!(!format!("{summary:?} {:?}", made.document()).contains("Zyzzyva"));
    assert_eq!(skipped(&summary).len(), 1);
}
