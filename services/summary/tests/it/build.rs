//! Small documents, and looking into summaries.

use jiff::Timestamp;
use serde_json::{Value, json};
use signpost_summary::{ConflictKind, Document, Reason, Request, Section, Summary, summarise};

/// Returns a request without a subject.
pub(crate) fn request() -> Request {
    Request {
        subject: None,
        assembled_at: "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap(),
        exchange: "Test Exchange".into(),
    }
}

/// A document that owns its content.
pub(crate) struct Made {
    id: String,
    mime_type: &'static str,
    bytes: Vec<u8>,
}

impl Made {
    pub(crate) fn new(id: &str, mime_type: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { id: id.into(), mime_type, bytes: bytes.into() }
    }

    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            id: &self.id,
            custodian: "north",
            type_code: "34133-9",
            title: "A document",
            created: None,
            mime_type: self.mime_type,
            sha256: Some([7; 32]),
            bytes: &self.bytes,
        }
    }
}

/// Makes a bundle of resources about one patient.
pub(crate) fn fhir(id: &str, resources: &[Value]) -> Made {
    let entries = resources.iter().enumerate().map(|(at, resource)| {
        let mut resource = resource.clone();
        let subject = match resource["resourceType"].as_str() {
            Some("AllergyIntolerance" | "Immunization") => "patient",
            _ => "subject",
        };
        if resource.get(subject).is_none() {
            resource[subject] = json!({ "reference": "Patient/p" });
        }
        json!({ "fullUrl": format!("urn:test:{at}"), "resource": resource })
    });
    let bundle = json!({
        "resourceType": "Bundle", "type": "collection", "entry": entries.collect::<Vec<_>>(),
    });
    Made::new(id, "application/fhir+json", bundle.to_string())
}

/// Makes a C-CDA document with one section.
pub(crate) fn ccda(id: &str, section: &str, entries: &str) -> Made {
    let text = format!(
        r#"<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <recordTarget><patientRole><patient><name><given>A</given><family>B</family></name>
    <administrativeGenderCode code="F"/><birthTime value="19750501"/></patient></patientRole></recordTarget>
  <component><structuredBody><component><section>
    <code code="{section}" codeSystem="2.16.840.1.113883.6.1"/>{entries}
  </section></component></structuredBody></component>
</ClinicalDocument>"#
    );
    Made::new(id, "application/xml", text)
}

/// Summarises.
pub(crate) fn summary(documents: &[&Made]) -> Summary {
    let documents: Vec<_> = documents.iter().map(|made| made.document()).collect();
    summarise(&request(), &documents)
}

/// Returns the resources of a type.
pub(crate) fn resources<'a>(summary: &'a Summary, kind: &str) -> Vec<&'a Value> {
    let entries = summary.bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    entries.filter(|resource| resource["resourceType"] == kind).collect()
}

/// Returns the kinds of conflicts.
pub(crate) fn conflicts(summary: &Summary) -> Vec<ConflictKind> {
    summary.report.conflicts.iter().map(|conflict| conflict.kind).collect()
}

/// Returns what was skipped and why.
pub(crate) fn skipped(summary: &Summary) -> Vec<(Option<Section>, Reason, usize)> {
    summary.report.skipped.iter().map(|skipped| (skipped.section, skipped.reason, skipped.count)).collect()
}

/// Makes an allergy to one of SNOMED CT's substances.
pub(crate) fn allergy(code: &str, clinical: &str, more: Value) -> Value {
    let mut resource = json!({
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": { "coding": [{ "code": clinical }] },
        "verificationStatus": { "coding": [{ "code": "confirmed" }] },
        "code": { "coding": [{ "system": "http://snomed.info/sct", "code": code, "display": "A substance" }] },
    });
    for (name, value) in more.as_object().unwrap() {
        resource[name] = value.clone();
    }
    resource
}

/// Makes a statement that a medicine is taken, or not.
pub(crate) fn medication(code: &str, status: &str, more: Value) -> Value {
    let mut resource = json!({
        "resourceType": "MedicationStatement",
        "status": status,
        "medicationCodeableConcept": {
            "coding": [{ "system": "http://www.whocc.no/atc", "code": code, "display": "A medicine" }],
        },
    });
    for (name, value) in more.as_object().unwrap() {
        resource[name] = value.clone();
    }
    resource
}

/// Makes a laboratory result.
pub(crate) fn result(code: &str, at: &str, value: f64) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "effectiveDateTime": at,
        "valueQuantity": { "value": value, "unit": "mmol/L" },
    })
}
