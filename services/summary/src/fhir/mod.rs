//! Reads FHIR R4 JSON: a Bundle of type document, collection or searchset, or a single resource.
//!
//! It reads the resources that state facts (`AllergyIntolerance`, `Condition`, `MedicationStatement`,
//! `MedicationRequest`, `Immunization`, `Observation`, `DiagnosticReport`, `Procedure`), a `Patient`, the `Medication`
//! that others refer to, and of a `Composition` the sections that are said to be empty. It takes each resource by
//! itself, in the order of the bundle, whether or not the Composition lists it.

mod elements;
mod resource;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::{
    fact::{self, Read},
    report::{Format, Reason},
    section::Section,
    value,
};

/// Resources that carry no facts by themselves, and are not worth a line in the report.
const CARRIERS: &[&str] = &[
    "Composition",
    "Device",
    "DocumentReference",
    "Encounter",
    "Location",
    "Medication",
    "OperationOutcome",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
    "RelatedPerson",
    "Specimen",
];

/// Kinds of resources by name: what the report shows is one of these, not what somebody else wrote.
const OTHERS: &[&str] = &[
    "CarePlan",
    "CareTeam",
    "Consent",
    "Coverage",
    "DeviceUseStatement",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "ImagingStudy",
    "List",
    "Media",
    "MedicationAdministration",
    "MedicationDispense",
    "NutritionOrder",
    "QuestionnaireResponse",
    "RiskAssessment",
    "ServiceRequest",
];

/// The resources of a document and how they name each other.
struct Resources<'a> {
    /// Each with its place.
    all: Vec<(String, &'a Map<String, Value>)>,
    /// From full URLs and `Type/id` to positions.
    names: HashMap<String, usize>,
}

impl<'a> Resources<'a> {
    /// Returns the position of what a reference refers to.
    fn position(&self, reference: &str) -> Option<usize> {
        let plain = reference.split("/_history/").next()?;
        self.names.get(plain).copied().or_else(|| {
            // An absolute URL may name what is here by type and id.
            let mut end = plain.rsplitn(3, '/');
            let (id, kind) = (end.next()?, end.next()?);
            self.names.get(&format!("{kind}/{id}")).copied()
        })
    }

    fn get(&self, reference: &str) -> Option<&'a Map<String, Value>> {
        Some(self.all.get(self.position(reference)?)?.1)
    }
}

/// Reads a document; an error says why none of it can be used.
pub(crate) fn read(root: &Value) -> Result<Read, Reason> {
    let resources = resources(root)?;
    one_patient(&resources)?;
    let mut read = Read::of(Format::FhirJson);
    // Numbers of facts are positions, so that references can be followed before all facts are read.
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, (place, resource)) in resources.all.iter().enumerate() {
        let kind = kind_of(resource);
        match kind {
            "Patient" if read.patient.is_none() => {
                read.patient = Some(value::pick(resource, elements::PATIENT).0);
            }
            "Composition" => empty_sections(&mut read, resource, resources.all.len() + position),
            _ if CARRIERS.contains(&kind) => {}
            _ if resource::read(&mut read, &resources, position, place, resource) => {}
            _ => {
                let known = OTHERS.iter().find(|known| **known == kind).copied();
                *others.entry(known.unwrap_or("another kind of resource")).or_default() += 1;
            }
        }
    }
    for (kind, count) in others {
        read.skip(None, kind, Reason::LeftOut, count);
    }
    Ok(read)
}

fn kind_of(resource: &Map<String, Value>) -> &str {
    resource.get("resourceType").and_then(Value::as_str).unwrap_or_default()
}

/// Lists the resources of a document.
fn resources(root: &Value) -> Result<Resources<'_>, Reason> {
    let root = root.as_object().ok_or(Reason::FormatUnknown)?;
    let mut found = Resources { all: vec![], names: HashMap::new() };
    match kind_of(root) {
        "" => return Err(Reason::FormatUnknown),
        "Bundle" => {}
        _ => {
            found.all.push(("resource".into(), root));
            return Ok(found);
        }
    }
    let kind = root.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "document" | "collection" | "searchset") {
        return Err(Reason::BundleType);
    }
    let entries = root.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (at, entry) in entries.iter().enumerate() {
        let Some(resource) = entry.get("resource").and_then(Value::as_object) else { continue };
        let position = found.all.len();
        if let Some(url) = entry.get("fullUrl").and_then(Value::as_str) {
            found.names.entry(url.to_owned()).or_insert(position);
        }
        if let Some(id) = resource.get("id").and_then(Value::as_str) {
            found.names.entry(format!("{}/{id}", kind_of(resource))).or_insert(position);
            found.names.entry(format!("urn:uuid:{id}")).or_insert(position);
        }
        found.all.push((format!("entry {}", at + 1), resource));
    }
    Ok(found)
}

/// Refuses a document whose resources are about more than one person: it is not known which of them is meant.
fn one_patient(resources: &Resources<'_>) -> Result<(), Reason> {
    let mut first: Option<String> = None;
    for (_, resource) in &resources.all {
        for field in ["patient", "subject"] {
            let reference = resource.get(field).and_then(|value| value.get("reference")?.as_str());
            let Some(reference) = reference else { continue };
            let position = resources.position(reference);
            let of = position.and_then(|position| resources.all.get(position)).map(|(_, of)| kind_of(of));
            if of.is_some_and(|of| of != "Patient") {
                continue;
            }
            let name = position.map_or_else(|| reference.to_owned(), |position| format!("#{position}"));
            match &first {
                None => first = Some(name),
                Some(first) if *first != name => return Err(Reason::SeveralPatients),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Reads which sections a Composition says to be empty because nothing is known to exist (`nilknown`).
fn empty_sections(read: &mut Read, composition: &Map<String, Value>, number: usize) {
    let sections = composition.get("section").and_then(Value::as_array).into_iter().flatten();
    for stated in sections {
        if value::first_code(stated.get("emptyReason")) != Some("nilknown") {
            continue;
        }
        let Some(code) = value::first_code(stated.get("code")) else { continue };
        let section = Section::ALL.into_iter().find(|section| section.code() == code);
        let Some((section, (absence, _))) = section.and_then(|s| s.none_known().map(|none| (s, none))) else {
            continue;
        };
        read.add("Composition", fact::absence_of(section, absence, number));
    }
}
