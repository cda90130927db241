//! Writes who a summary is about, what made it, and the documents it was made of.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::reference;
use crate::{
    read::Source,
    source::{Document, Request, Subject},
    text,
    value::{self, DATA_ABSENT_URL, system},
};

/// Why a list or a section is empty.
pub(super) const EMPTY_REASON: &str = "http://terminology.hl7.org/CodeSystem/list-empty-reason";
/// The system of the ids of members.
const MEMBER_SYSTEM: &str = "urn:signpost:member";
/// The system of the ids of documents.
const DOCUMENT_SYSTEM: &str = "urn:signpost:document";

/// Returns the elements of the Patient: as the caller says, else as the newest document that names a person does.
pub(super) fn person(request: &Request, sources: &[Source<'_>]) -> Map<String, Value> {
    let stated = || {
        let naming = sources.iter().filter_map(|source| Some((source, source.read.patient.as_ref()?)));
        let newest = naming.max_by_key(|(source, _)| (source.document.created, source.document.id));
        newest.map(|(_, patient)| patient.clone())
    };
    let mut person = match &request.subject {
        Some(subject) => given(subject),
        None => stated().unwrap_or_default(),
    };
    let absent = json!({ "extension": [{ "url": DATA_ABSENT_URL, "valueCode": "unknown" }] });
    // IPS requires a name and a birth date (Patient-uv-ips).
    if !person.contains_key("name") {
        person.insert("name".into(), json!([absent]));
    }
    if !person.contains_key("birthDate") {
        person.insert("_birthDate".into(), absent);
    }
    person
}

fn given(subject: &Subject) -> Map<String, Value> {
    let mut person = Map::new();
    let identifier = subject.identifier.as_ref().and_then(|(system, value)| {
        let system = Some(system).filter(|system| text::is_uri(system))?;
        Some(json!([{ "system": system, "value": text::line(value)? }]))
    });
    if let Some(identifier) = identifier {
        person.insert("identifier".into(), identifier);
    }
    let mut name = Map::new();
    if let Some(family) = text::line(&subject.family) {
        name.insert("family".into(), family.into());
    }
    let given: Vec<_> = subject.given.iter().filter_map(|given| text::line(given)).collect();
    if !given.is_empty() {
        name.insert("given".into(), given.into());
    }
    if !name.is_empty() {
        person.insert("name".into(), json!([name]));
    }
    if matches!(subject.gender.as_str(), "male" | "female" | "other" | "unknown") {
        person.insert("gender".into(), subject.gender.as_str().into());
    }
    if let Some(born) = subject.birth_date {
        person.insert("birthDate".into(), born.to_string().into());
    }
    person
}

/// Returns the elements of the Device that is the author.
pub(super) fn device(request: &Request) -> Map<String, Value> {
    let exchange = text::line(&request.exchange).unwrap_or_else(|| "the exchange".into());
    let name = format!("Machine assembly of summaries by {exchange}");
    let mut device = Map::new();
    device.insert("deviceName".into(), json!([{ "name": name, "type": "user-friendly-name" }]));
    device.insert("type".into(), json!({ "text": "Software that assembles patient summaries" }));
    device
}

/// Returns the elements of the DocumentReference to a source.
pub(super) fn document(document: &Document<'_>, patient: Uuid) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(id) = text::line(document.id) {
        fields.insert("masterIdentifier".into(), json!({ "system": DOCUMENT_SYSTEM, "value": id }));
    }
    if let Some(hash) = document.sha256 {
        // An attachment's own hash is a SHA-1; SHA-256 has a URI by RFC 6920.
        let name = format!("ni:///sha-256;{}", BASE64_URL_SAFE_NO_PAD.encode(hash));
        fields.insert("identifier".into(), json!([{ "system": system::URI, "value": name }]));
    }
    fields.insert("status".into(), "current".into());
    let title = text::line(document.title);
    let coding = value::coding(Some(system::LOINC), document.type_code, None);
    if let Some(kind) = value::concept_of(coding.into_iter().collect(), title.clone()) {
        fields.insert("type".into(), kind);
    }
    fields.insert("subject".into(), reference(patient));
    if let Some(created) = document.created {
        fields.insert("date".into(), created.to_string().into());
    }
    if let Some(custodian) = text::line(document.custodian) {
        let identifier = json!({ "system": MEMBER_SYSTEM, "value": custodian });
        fields.insert(
            "custodian".into(),
            json!({ "type": "Organization", "identifier": identifier, "display": custodian }),
        );
    }
    let mut attachment = Map::new();
    // FHIR's `code` has no space within but single ones.
    if let Some(kind) = text::line(document.mime_type) {
        attachment.insert("contentType".into(), kind.into());
    }
    if let Ok(size) = i32::try_from(document.bytes.len()) {
        attachment.insert("size".into(), size.into());
    }
    if let Some(title) = title {
        attachment.insert("title".into(), title.into());
    }
    if let Some(created) = document.created {
        attachment.insert("creation".into(), created.to_string().into());
    }
    fields.insert("content".into(), json!([{ "attachment": attachment }]));
    fields
}
