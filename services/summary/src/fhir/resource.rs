//! Reads one resource that states a fact.

use serde_json::{Map, Value, json};

use super::{Resources, elements, kind_of};
use crate::{
    fact::{Fact, Kind, Read},
    report::Reason,
    value::{self, Shape, system},
};

/// Categories of observations that are no results: how somebody lives, what they answered, what was done to them.
const NO_RESULTS: &[&str] = &["social-history", "survey", "activity", "therapy", "sdoh"];

/// Codes of a status that is a concept, and the system that they are of.
type Statuses = (&'static str, &'static str, &'static [&'static str]);

const ALLERGY_STATUS: [Statuses; 2] = [
    ("clinicalStatus", system::ALLERGY_CLINICAL, &["active", "inactive", "resolved"]),
    ("verificationStatus", system::ALLERGY_VERIFICATION, &["unconfirmed", "confirmed", "refuted"]),
];

const CONDITION_STATUS: [Statuses; 2] = [
    (
        "clinicalStatus",
        system::CONDITION_CLINICAL,
        &["active", "recurrence", "relapse", "inactive", "remission", "resolved"],
    ),
    (
        "verificationStatus",
        system::CONDITION_VERIFICATION,
        &["unconfirmed", "provisional", "differential", "confirmed", "refuted"],
    ),
];

/// Reads a resource into a fact or a reason. Returns false for a kind that states none.
pub(super) fn read(
    read: &mut Read,
    resources: &Resources<'_>,
    position: usize,
    place: &str,
    resource: &Map<String, Value>,
) -> bool {
    let kind = match kind_of(resource) {
        "AllergyIntolerance" => Kind::Allergy,
        "Condition" => Kind::Condition,
        "MedicationStatement" | "MedicationRequest" => Kind::Medication,
        "Immunization" => Kind::Immunization,
        "Observation" => Kind::Observation,
        "DiagnosticReport" => Kind::Report,
        "Procedure" => Kind::Procedure,
        _ => return false,
    };
    if kind == Kind::Observation && categories(resource).any(|code| NO_RESULTS.contains(&code)) {
        read.skip(None, place, Reason::LeftOut, 1);
        return true;
    }
    let section = Some(kind.section());
    match fact(resources, position, kind, resource) {
        Err(reason) => read.skip(section, place, reason, 1),
        Ok((fact, lost)) => {
            if read.add(place, fact) && lost > 0 {
                read.skip(section, place, Reason::ElementUnreadable, lost);
            }
        }
    }
    true
}

fn categories(resource: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let concepts = resource.get("category").and_then(Value::as_array).into_iter().flatten();
    let codings = concepts.filter_map(|concept| concept.get("coding")?.as_array()).flatten();
    codings.filter_map(|coding| coding.get("code")?.as_str())
}

/// Reads a resource. Returns the fact and how many elements could not be read.
fn fact(
    resources: &Resources<'_>,
    position: usize,
    kind: Kind,
    resource: &Map<String, Value>,
) -> Result<(Fact, usize), Reason> {
    // FHIR R4, 2.4.1.2 and 2.26.3.5: what changes the meaning and is not understood must not be processed.
    if resource.contains_key("modifierExtension") || resource.contains_key("implicitRules") {
        return Err(Reason::ModifierUnknown);
    }
    about_patient(resources, kind, resource)?;
    let mut resource = resource.clone();
    match kind {
        Kind::Medication => medication(resources, &mut resource)?,
        Kind::Allergy | Kind::Condition => {}
        _ => simple_status(kind, &mut resource)?,
    }
    let (mut body, lost) = value::pick(&resource, elements::of(kind));
    match kind {
        Kind::Allergy => concept_status(&mut body, &resource, &ALLERGY_STATUS)?,
        Kind::Condition => concept_status(&mut body, &resource, &CONDITION_STATUS)?,
        _ => {}
    }
    if body.get("status").is_some_and(|status| status == "unknown") {
        body.remove("status");
    }
    let members = kind.member_field().and_then(|field| resource.get(field)?.as_array());
    let members = members.into_iter().flatten().filter_map(|member| {
        let reference = member.get("reference")?.as_str()?;
        resources.position(reference)
    });
    let members = members.filter(|member| *member != position).collect();
    Ok((Fact { kind, body, number: position, members }, lost))
}

/// Refuses what is about somebody or something else: a foetus, a relative, a device, a group.
fn about_patient(resources: &Resources<'_>, kind: Kind, resource: &Map<String, Value>) -> Result<(), Reason> {
    let subject = resource.get(kind.subject_field());
    let reference = subject.and_then(|value| value.get("reference")?.as_str());
    let of = reference.and_then(|reference| match resources.get(reference) {
        Some(of) => Some(kind_of(of)),
        None => reference.rsplit('/').nth(1),
    });
    let is_other = of.is_some_and(|of| matches!(of, "Group" | "Device" | "Location" | "RelatedPerson"));
    if is_other || resource.contains_key("focus") {
        return Err(Reason::NotAboutPatient);
    }
    Ok(())
}

/// Judges the status of a kind that has one as a code.
fn simple_status(kind: Kind, resource: &mut Map<String, Value>) -> Result<(), Reason> {
    let status = resource.get("status").and_then(Value::as_str).ok_or(Reason::StatusUnknown)?;
    match (kind, status) {
        (_, "entered-in-error") => Err(Reason::EnteredInError),
        (_, "cancelled") => Err(Reason::Cancelled),
        (Kind::Procedure, "preparation") => Err(Reason::Planned),
        _ => {
            let shape =
                elements::of(kind).iter().find(|(name, _)| *name == "status").map(|(_, shape)| *shape);
            let known = shape.and_then(|shape: Shape| value::rebuild(shape, &resource["status"]));
            known.map(|_| ()).ok_or(Reason::StatusUnknown)
        }
    }
}

/// Takes the statuses that are concepts.
fn concept_status(
    body: &mut Map<String, Value>,
    resource: &Map<String, Value>,
    statuses: &[Statuses],
) -> Result<(), Reason> {
    for (field, system, codes) in statuses {
        let Some(stated) = resource.get(*field) else { continue };
        let codings = stated.get("coding").and_then(Value::as_array).into_iter().flatten();
        let mut known = None;
        for code in codings.filter_map(|coding| coding.get("code")?.as_str()) {
            if code == "entered-in-error" {
                return Err(Reason::EnteredInError);
            }
            known = known.or_else(|| codes.iter().find(|known| **known == code));
        }
        let has_code = stated.get("coding").is_some() || stated.get("text").is_some();
        match known {
            Some(code) => body.insert((*field).to_owned(), value::status(system, code)),
            None if has_code => return Err(Reason::StatusUnknown),
            None => None,
        };
    }
    Ok(())
}

/// Makes one of MedicationStatement and MedicationRequest, with what it refers to as a concept.
fn medication(resources: &Resources<'_>, resource: &mut Map<String, Value>) -> Result<(), Reason> {
    if let Some(reference) = resource.get("medicationReference") {
        let named = reference.get("reference").and_then(Value::as_str).unwrap_or_default();
        let contained = resource.get("contained").and_then(Value::as_array).into_iter().flatten();
        let found = match named.strip_prefix('#') {
            Some(id) => contained.filter_map(Value::as_object).find(|r| r.get("id").is_some_and(|i| i == id)),
            None => resources.get(named),
        };
        if found.is_some_and(|found| found.get("status").is_some_and(|status| status == "entered-in-error")) {
            return Err(Reason::EnteredInError);
        }
        let display = reference.get("display").map(|display| json!({ "text": display }));
        let code = found.and_then(|found| found.get("code")).cloned().or(display);
        if let Some(code) = code {
            resource.insert("medicationCodeableConcept".into(), code);
        }
    }
    if kind_of(resource) == "MedicationRequest" {
        return request(resource);
    }
    simple_status(Kind::Medication, resource)
}

/// Reads a request as the statement that somebody is to take it: an active one counts as taken.
fn request(resource: &mut Map<String, Value>) -> Result<(), Reason> {
    if resource.get("intent").and_then(Value::as_str).is_some_and(|intent| intent == "proposal") {
        return Err(Reason::Planned);
    }
    let denied = resource.get("doNotPerform").is_some_and(|value| *value == Value::Bool(true));
    let status = match resource.get("status").and_then(Value::as_str).ok_or(Reason::StatusUnknown)? {
        "entered-in-error" => return Err(Reason::EnteredInError),
        "cancelled" => return Err(Reason::Cancelled),
        "draft" => return Err(Reason::Planned),
        _ if denied => "not-taken",
        status @ ("active" | "on-hold" | "completed" | "stopped" | "unknown") => status,
        _ => return Err(Reason::StatusUnknown),
    };
    let status = Value::from(status);
    resource.insert("status".into(), status);
    // These elements have another name, or another type, in a statement.
    resource.remove("category");
    resource.remove("statusReason");
    for (from, to) in [("authoredOn", "dateAsserted"), ("dosageInstruction", "dosage")] {
        if let Some(moved) = resource.remove(from) {
            resource.insert(to.into(), moved);
        }
    }
    Ok(())
}
