//! Allergies (C-CDA R2.1, Allergy - Intolerance Observation, 2.16.840.1.113883.10.20.22.4.7).

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::{
    Body, Reader,
    data::When,
    xml::{all_related, attribute, child, children, is_negated, path, related},
};
use crate::{
    fact::{Kind, absence_of, absence_stated},
    report::Reason,
    section::Section,
    value::{self, system},
};

/// Reads an observation of an allergy.
pub(super) fn read<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Body, Reason> {
    let kind = child(node, "value").and_then(|value| reader.concept(value));
    if let Some(absence) = kind.as_ref().and_then(|kind| absence_stated(Section::Allergies, kind)) {
        return Ok(absent(absence));
    }
    let kind_code = value::first_code(kind.as_ref()).unwrap_or_default();
    let substance = substance(reader, node);
    let negated = is_negated(node);
    if negated && substance.as_ref().is_none_or(is_anything) {
        // Negating an allergy to no substance in particular says that there is none of its kind.
        let generic = value::first_code(substance.as_ref()).unwrap_or_default();
        return Ok(absent(none_of(kind_code, generic)));
    }
    let mut body = Map::new();
    match (substance, child(node, "value").and_then(|value| attribute(value, "code"))) {
        (Some(substance), _) => body.insert("code".into(), substance),
        // Without a substance the kind of allergy may name one: "allergy to penicillin".
        (None, Some(_)) if category(kind_code).is_none() => {
            kind.clone().and_then(|k| body.insert("code".into(), k))
        }
        (None, _) => return Err(Reason::NoCode),
    };
    if let Some((stated, categories)) = category(kind_code) {
        if let Some(stated) = stated {
            body.insert("type".into(), stated.into());
        }
        if let Some(category) = categories {
            body.insert("category".into(), json!([category]));
        }
    }
    let verification = if negated { "refuted" } else { "confirmed" };
    body.insert("verificationStatus".into(), value::status(system::ALLERGY_VERIFICATION, verification));
    if let Some(clinical) = clinical_status(node) {
        body.insert("clinicalStatus".into(), value::status(system::ALLERGY_CLINICAL, clinical));
    }
    if let Some(onset) = When::of(node).start() {
        body.insert("onsetDateTime".into(), onset.as_str().into());
    }
    more(reader, node, &mut body);
    Ok((Kind::Allergy, body))
}

fn absent(code: &str) -> Body {
    (Kind::Allergy, absence_of(Section::Allergies, code, 0).body)
}

/// Reads the substance, if one is named.
fn substance<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Option<Value> {
    let entity = children(node, "participant")
        .filter_map(|participant| path(participant, &["participantRole", "playingEntity"]))
        .next()?;
    reader.concept_in(entity, "code").or_else(|| {
        let name = reader.text(child(entity, "name")?)?;
        Some(json!({ "text": name }))
    })
}

/// True for a code that stands for any substance, drug or food.
fn is_anything(substance: &Value) -> bool {
    let code = value::first_code(Some(substance));
    matches!(code, Some("105590001" | "410942007" | "762766007"))
}

/// Returns the code of IPS for "no allergy of this kind".
fn none_of(kind: &str, generic: &str) -> &'static str {
    let category = category(kind).and_then(|(_, category)| category);
    match (category, generic) {
        (Some("medication"), _) | (_, "410942007") => "no-known-medication-allergies",
        (Some("food"), _) | (_, "762766007") => "no-known-food-allergies",
        (Some("environment"), _) => "no-known-environmental-allergies",
        _ => "no-known-allergies",
    }
}

/// Returns type and category by the kind of allergy (value set 2.16.840.1.113883.3.88.12.3221.6.2).
fn category(kind: &str) -> Option<(Option<&'static str>, Option<&'static str>)> {
    Some(match kind {
        "416098002" => (Some("allergy"), Some("medication")),
        "59037007" => (Some("intolerance"), Some("medication")),
        "419511003" => (None, Some("medication")),
        "414285001" => (Some("allergy"), Some("food")),
        "235719002" => (Some("intolerance"), Some("food")),
        "418471000" => (None, Some("food")),
        "426232007" | "232347008" => (Some("allergy"), Some("environment")),
        "419199007" => (Some("allergy"), None),
        "420134006" | "418038007" | "ASSERTION" | "" => (None, None),
        _ => return None,
    })
}

/// Returns whether it is active: by its own status, by its end, and by the concern that it is in.
fn clinical_status(node: Node<'_, '_>) -> Option<&'static str> {
    let stated = status_observation(node);
    if stated.is_some() {
        return stated;
    }
    if When::of(node).high.is_some() {
        return Some("resolved");
    }
    // A concern that is no longer tracked says little about an allergy: it is not called resolved.
    concern_status(node).filter(|status| *status == "active")
}

fn status_observation(node: Node<'_, '_>) -> Option<&'static str> {
    let status = related(node, "observation", "28")?;
    match attribute(child(status, "value")?, "code")? {
        "55561003" => Some("active"),
        "73425007" => Some("inactive"),
        "413322009" => Some("resolved"),
        _ => None,
    }
}

/// Returns the status of the concern around a statement: `active` or `completed`.
pub(super) fn concern_status(node: Node<'_, '_>) -> Option<&'static str> {
    let act = node.parent()?.parent().filter(|act| act.tag_name().name() == "act")?;
    let status = act.children().find(|child| child.tag_name().name() == "statusCode")?;
    match status.attribute("code")? {
        "active" => Some("active"),
        "completed" => Some("completed"),
        _ => None,
    }
}

/// Reads reactions, criticality and severity.
fn more<'a>(reader: &Reader<'a>, node: Node<'a, 'a>, body: &mut Map<String, Value>) {
    let criticality = related(node, "observation", "145").and_then(|found| child(found, "value"));
    let criticality = match criticality.and_then(|value| attribute(value, "code")) {
        Some("CRITL") => Some("low"),
        Some("CRITH") => Some("high"),
        Some("CRITU") => Some("unable-to-assess"),
        _ => None,
    };
    if let Some(criticality) = criticality {
        body.insert("criticality".into(), criticality.into());
    }
    let reactions: Vec<_> =
        all_related(node, "observation", "9").filter_map(|found| reaction(reader, found)).collect();
    if !reactions.is_empty() {
        body.insert("reaction".into(), reactions.into());
    }
    // The severity of an allergy as a whole has no element in FHIR.
    let severity = related(node, "observation", "8").and_then(|found| reader.concept_in(found, "value"));
    if let Some(words) = severity.as_ref().and_then(value::words) {
        reader.note(body, &format!("Severity: {words}"));
    }
}

fn reaction<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Option<Value> {
    if is_negated(node) {
        return None;
    }
    let manifestation = reader.concept_in(node, "value").or_else(|| {
        child(node, "text").and_then(|text| reader.text(text)).map(|text| json!({ "text": text }))
    })?;
    let mut reaction = Map::new();
    reaction.insert("manifestation".into(), json!([manifestation]));
    if let Some(onset) = When::of(node).start() {
        reaction.insert("onset".into(), onset.as_str().into());
    }
    let severity = related(node, "observation", "8").and_then(|found| child(found, "value"));
    // Of "mild to moderate" and "moderate to severe" FHIR has the graver end; fatal counts as severe.
    let severity = match severity.and_then(|value| attribute(value, "code")) {
        Some("255604002") => Some("mild"),
        Some("6736007" | "371923003") => Some("moderate"),
        Some("24484000" | "371924009" | "399166001") => Some("severe"),
        _ => None,
    };
    if let Some(severity) = severity {
        reaction.insert("severity".into(), severity.into());
    }
    Some(reaction.into())
}
