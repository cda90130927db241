//! Problems and diagnoses (C-CDA R2.1, Problem Observation, 2.16.840.1.113883.10.20.22.4.4).

use roxmltree::Node;
use serde_json::{Map, json};

use super::{
    Body, Reader,
    allergy::concern_status,
    data::When,
    xml::{attribute, child, has_template, is_negated, related},
};
use crate::{
    fact::{Kind, absence_of},
    report::Reason,
    section::Section,
    value::{self, system},
};

/// SNOMED CT's "Problem" and "Disease": negated, they say that there is none.
const ANY_PROBLEM: &[&str] = &["55607006", "64572001"];

/// Reads an observation of a problem.
pub(super) fn read<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Body, Reason> {
    let negated = is_negated(node);
    let code = child(node, "value").and_then(|value| reader.concept(value));
    let generic = value::first_code(code.as_ref()).is_some_and(|code| ANY_PROBLEM.contains(&code));
    if negated && (code.is_none() || generic) {
        return Ok((Kind::Condition, absence_of(Section::Problems, "no-known-problems", 0).body));
    }
    let code = code.or_else(|| {
        let text = child(node, "text").and_then(|text| reader.text(text))?;
        Some(json!({ "text": text }))
    });
    let mut body = Map::new();
    body.insert("code".into(), code.ok_or(Reason::NoCode)?);
    let around = node.parent().and_then(|parent| parent.parent());
    let is_diagnosis =
        around.is_some_and(|act| ["33", "34", "51", "65"].iter().any(|id| has_template(act, id)));
    let category = if is_diagnosis { "encounter-diagnosis" } else { "problem-list-item" };
    body.insert("category".into(), json!([value::status(system::CONDITION_CATEGORY, category)]));
    let verification = if negated { "refuted" } else { "confirmed" };
    body.insert("verificationStatus".into(), value::status(system::CONDITION_VERIFICATION, verification));
    let when = When::of(node);
    if let Some(clinical) = clinical_status(node, &when) {
        body.insert("clinicalStatus".into(), value::status(system::CONDITION_CLINICAL, clinical));
    }
    if let Some(onset) = when.start() {
        body.insert("onsetDateTime".into(), onset.as_str().into());
    }
    if let Some(end) = &when.high {
        body.insert("abatementDateTime".into(), end.as_str().into());
    }
    let severity = related(node, "observation", "8").and_then(|found| reader.concept_in(found, "value"));
    if let Some(severity) = severity {
        body.insert("severity".into(), severity);
    }
    if let Some(site) = reader.concept_in(node, "targetSiteCode") {
        body.insert("bodySite".into(), json!([site]));
    }
    Ok((Kind::Condition, body))
}

/// Returns whether it is active: by its end, by its own status, and by the concern that it is in.
fn clinical_status<'a>(node: Node<'a, 'a>, when: &When) -> Option<&'static str> {
    let stated = related(node, "observation", "6").and_then(|status| child(status, "value"));
    let stated = match stated.and_then(|value| attribute(value, "code")) {
        Some("55561003") => Some("active"),
        Some("73425007") => Some("inactive"),
        Some("413322009" | "723506003") => Some("resolved"),
        Some("246455001") => Some("recurrence"),
        Some("263855007") => Some("relapse"),
        Some("277022003") => Some("remission"),
        _ => None,
    };
    if when.high.is_some() {
        // What ended is not active, whatever else is stated (FHIR R4, con-4).
        return Some(stated.filter(|s| matches!(*s, "inactive" | "remission")).unwrap_or("resolved"));
    }
    stated
        .or_else(|| concern_status(node).map(|status| if status == "active" { "active" } else { "inactive" }))
}
