//! Bytes that are not what they should be.

use proptest::prelude::*;
use serde_json::json;
use signpost_summary::{
    ALIKE_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_STATEMENTS_MAX, DOCUMENTS_MAX, Reason, SKIPPED_MAX, Section,
    summarise,
};

use crate::build::{Made, allergy, ccda, fhir, request, result, skipped, summary};

fn refused(mime: &'static str, bytes: impl Into<Vec<u8>>) -> Vec<(Option<Section>, Reason, usize)> {
    let summary = summary(&[&Made::new("doc-1", mime, bytes)]);
    assert_eq!(summary.report.documents[0].format, None);
    assert_eq!(summary.report.skipped[0].document, "doc-1");
    skipped(&summary)
}

#[test]
fn each_way_to_be_unreadable_has_its_reason() {
    let xml = "application/xml";
    let json = "application/fhir+json";
    let cases: Vec<(&'static str, Vec<u8>, Reason)> = vec![
        (xml, b"<ClinicalDocument>".to_vec(), Reason::BrokenXml),
        (xml, b"".to_vec(), Reason::BrokenXml),
        (json, b"{".to_vec(), Reason::BrokenJson),
        (json, b"nonsense".to_vec(), Reason::BrokenJson),
        (
            json,
            br#"{"resourceType":"Condition","code":{"text":"X"},"code":{"text":"Y"}}"#.to_vec(),
            Reason::BrokenJson,
        ),
        ("application/pdf", b"%PDF-1.7".to_vec(), Reason::FormatUnknown),
        (xml, b"<html/>".to_vec(), Reason::FormatUnknown),
        (json, b"{}".to_vec(), Reason::FormatUnknown),
        (json, br#"{"resourceType":"Bundle","type":"transaction"}"#.to_vec(), Reason::BundleType),
        (json, vec![b'{', 0xff, b'}'], Reason::NotUtf8),
        (xml, vec![b' '; DOCUMENT_BYTES_MAX + 1], Reason::TooLarge),
    ];
    for (mime, bytes, reason) in cases {
        assert_eq!(refused(mime, bytes), [(None, reason, 1)]);
    }
}

#[test]
fn entities_are_not_expanded() {
    let bomb = r#"<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY c "&a;&a;&a;&a;&a;">]>
        <ClinicalDocument xmlns="urn:hl7-org:v3"><title>&c;</title></ClinicalDocument>"#;
    assert_eq!(refused("application/xml", bomb), [(None, Reason::BrokenXml, 1)]);
    let outside = r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><ClinicalDocument/>"#;
    assert_eq!(refused("application/xml", outside), [(None, Reason::BrokenXml, 1)]);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |count: usize| {
        let (open, close) = ("<a>".repeat(count), "</a>".repeat(count));
        format!(r#"<ClinicalDocument xmlns="urn:hl7-org:v3">{open}{close}</ClinicalDocument>"#)
    };
    assert_eq!(refused("application/xml", deep(200)), [(None, Reason::TooDeep, 1)]);
    for count in [10_000, 1_000_000] {
        let [(None, reason, 1)] = refused("application/xml", deep(count))[..] else { panic!("one reason") };
        assert!(matches!(reason, Reason::TooDeep | Reason::TooLarge), "{reason:?}");
    }
    let lists = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(refused("application/json", lists), [(None, Reason::TooDeep, 1)]);
    let open = format!(r#"{{"a":{}"#, "[".repeat(1_000_000));
    assert_eq!(refused("application/json", open), [(None, Reason::TooDeep, 1)]);
}

#[test]
fn many_statements_are_cut_and_counted() {
    let results: Vec<_> =
        (0..DOCUMENT_STATEMENTS_MAX + 7).map(|n| result("2339-0", "2020-01-01", n as f64)).collect();
    let summary = summary(&[&fhir("doc-1", &results)]);
    let cut: usize = summary
        .report
        .skipped
        .iter()
        .filter(|skipped| skipped.reason == Reason::TooManyStatements)
        .map(|skipped| skipped.count)
        .sum();
    assert_eq!(cut, 7);
    assert_eq!(summary.report.entries.len(), DOCUMENT_STATEMENTS_MAX);
    let unlike = (Some(Section::Results), Reason::NotCompared, DOCUMENT_STATEMENTS_MAX - ALIKE_MAX - 1);
    assert!(skipped(&summary).contains(&unlike), "too many of one code on one day are listed");
}

#[test]
fn many_skipped_entries_are_counted_together() {
    let resources = vec![json!({ "resourceType": "Condition" }); SKIPPED_MAX * 3];
    let summary = summary(&[&fhir("doc-1", &resources)]);
    let counts: Vec<_> = summary.report.skipped.iter().map(|skipped| skipped.count).collect();
    assert_eq!(counts.len(), SKIPPED_MAX + 1);
    assert_eq!(counts.iter().sum::<usize>(), SKIPPED_MAX * 3);
}

#[test]
fn one_long_text_does_not_become_many() {
    let medicine =
        json!({ "resourceType": "Medication", "id": "m", "code": { "text": "word ".repeat(400_000) } });
    let mut taken = crate::build::medication("A", "active", json!({}));
    taken.as_object_mut().unwrap().remove("medicationCodeableConcept");
    taken["medicationReference"] = json!({ "reference": "Medication/m" });
    let mut all = vec![medicine];
    for day in 0..1_000 {
        taken["effectiveDateTime"] = json!(format!("{}", 1000 + day));
        all.push(taken.clone());
    }
    let bytes = summary(&[&fhir("doc-1", &all)]).bundle.to_string().len();
    assert!(bytes < 20 << 20, "{bytes} bytes");
}

#[test]
fn many_documents_are_cut_and_listed() {
    let made: Vec<_> = (0..DOCUMENTS_MAX + 2).map(|n| fhir(&format!("doc-{n:04}"), &[])).collect();
    let summary = summary(&made.iter().collect::<Vec<_>>());
    assert_eq!(summary.report.documents.len(), DOCUMENTS_MAX + 2);
    assert_eq!(skipped(&summary), vec![(None, Reason::TooManyDocuments, 1); 2]);
}

#[test]
fn a_document_that_is_given_twice_counts_once() {
    let one = fhir("doc-1", &[allergy("1", "active", json!({}))]);
    let summary = summary(&[&one, &one]);
    assert_eq!(skipped(&summary), [(None, Reason::DocumentRepeated, 1)]);
    assert_eq!(summary.report.entries[0].statements, 1);
}

#[test]
fn an_element_that_is_not_well_formed_is_left_out_and_listed() {
    let stated = allergy("1", "active", json!({ "onsetDateTime": "yesterday", "criticality": "huge" }));
    let summary = summary(&[&fhir("doc-1", &[stated])]);
    assert_eq!(skipped(&summary), [(Some(Section::Allergies), Reason::ElementUnreadable, 2)]);
    assert_eq!(summary.report.entries.len(), 1);
}

#[test]
fn a_reference_to_narrative_is_followed_and_one_to_two_places_is_not() {
    let entry = |second: &str| {
        format!(
            r##"<text><td ID="p1">Sore
              throat</td><td ID="{second}">Fever</td></text>
            <entry><act classCode="ACT" moodCode="EVN"><entryRelationship typeCode="SUBJ">
            <observation classCode="OBS" moodCode="EVN"><value xsi:type="CD" nullFlavor="OTH"><originalText>
            <reference value="#p1"/></originalText></value></observation></entryRelationship></act></entry>"##
        )
    };
    let found = summary(&[&ccda("doc-1", "11450-4", &entry("p2"))]);
    assert_eq!(crate::build::resources(&found, "Condition")[0]["code"]["text"], "Sore throat");
    let found = summary(&[&ccda("doc-1", "11450-4", &entry("p1"))]);
    assert_eq!(skipped(&found), [(Some(Section::Problems), Reason::NoCode, 1)]);
}

#[test]
fn a_text_that_is_not_the_name_of_the_code_does_not_replace_it() {
    let entry = r##"<text><td ID="r1">Hives</td></text>
        <entry><observation classCode="OBS" moodCode="EVN"><participant typeCode="CSM"><participantRole><playingEntity>
        <code code="1191" codeSystem="2.16.840.1.113883.6.88" displayName="aspirin"><originalText>
        <reference value="#r1"/></originalText></code></playingEntity></participantRole></participant>
        </observation></entry>"##;
    let found = summary(&[&ccda("doc-1", "48765-2", entry)]);
    let allergy = crate::build::resources(&found, "AllergyIntolerance")[0];
    assert_eq!(allergy["code"]["text"], "aspirin (source text: Hives)");
    assert_eq!(allergy["code"]["coding"][0]["code"], "1191");
}

/// Values that look like FHIR and are not.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "[ -~é\u{0}-\u{1f}]{0,12}".prop_map(|value| json!(value)),
        prop_oneof![
            Just("active"),
            Just("refuted"),
            Just("2020-01-01"),
            Just("Patient/p"),
            Just("#p"),
            Just("final")
        ]
        .prop_map(|value| json!(value)),
    ];
    let name = prop_oneof![
        Just("code"),
        Just("coding"),
        Just("status"),
        Just("system"),
        Just("text"),
        Just("display"),
        Just("clinicalStatus"),
        Just("reaction"),
        Just("dosage"),
        Just("value"),
        Just("valueQuantity"),
        Just("effectiveDateTime"),
        Just("effectivePeriod"),
        Just("start"),
        Just("hasMember"),
        Just("reference"),
        Just("patient"),
        Just("subject"),
        Just("medicationReference"),
        Just("contained"),
        Just("category"),
        Just("medicationCodeableConcept"),
        Just("vaccineCode"),
        Just("section"),
        Just("emptyReason"),
        Just("name"),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Requires what holds for every summary.
fn check(made: &[Made]) {
    let documents: Vec<_> = made.iter().map(|made| made.document()).collect();
    let first = summarise(&request(), &documents);
    let mut turned = documents;
    turned.reverse();
    let second = summarise(&request(), &turned);
    assert_eq!(first.bundle.to_string(), second.bundle.to_string());
    assert_eq!(first.report.documents.len(), turned.len());
    for entry in first.bundle["entry"].as_array().unwrap() {
        let id = entry["resource"]["id"].as_str().unwrap();
        assert_eq!(entry["fullUrl"], format!("urn:uuid:{id}"));
    }
    for section in first.bundle["entry"][0]["resource"]["section"].as_array().unwrap() {
        roxmltree::Document::parse(section["text"]["div"].as_str().unwrap()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::bodies::summarise(&bytes);
    }

    #[test]
    fn any_resources_are_read_or_refused(resources in prop::collection::vec(
        (prop::sample::select(vec![
            "AllergyIntolerance", "Condition", "MedicationStatement", "MedicationRequest", "Immunization",
            "Observation", "DiagnosticReport", "Procedure", "Patient", "Medication", "Composition",
        ]), any_json()), 0..6,
    )) {
        let resources: Vec<_> = resources.into_iter().map(|(kind, value)| {
            let mut resource = json!({ "code": { "text": "X" } });
            for (name, value) in value.as_object().into_iter().flatten() {
                resource[name] = value.clone();
            }
            resource["resourceType"] = kind.into();
            resource
        }).collect();
        check(&[fhir("doc-1", &resources), fhir("doc-2", &resources[..resources.len() / 2])]);
    }

    #[test]
    fn samples_with_bytes_changed_are_read_or_refused(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
    ) {
        let entries = crate::negation::NO_KNOWN_ALLERGIES.repeat(2);
        let small = [
            ccda("doc-1", "48765-2", &entries),
            fhir("doc-1", &[allergy("1", "active", json!({})), result("2339-0", "2020", 5.0)]),
        ];
        let mut bytes = pick.get(&small).document().bytes.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if length.index(3) == 0 {
            bytes.truncate(length.index(bytes.len()));
        }
        crate::bodies::summarise(&bytes);
        check(&[Made::new("doc-1", "text/xml", bytes)]);
    }
}
