//! Medications and immunizations (C-CDA R2.1, Medication Activity and Immunization Activity,
//! 2.16.840.1.113883.10.20.22.4.16 and .52).

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::{
    Body, Reader,
    data::{When, number, quantity, range},
    xml::{attribute, child, children, is_negated, path, related, stated_type},
};
use crate::{
    fact::{Kind, absence_of},
    report::Reason,
    section::Section,
    value::first_code,
};

/// Returns what is taken or given.
fn product<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Option<Value> {
    let material = path(node, &["consumable", "manufacturedProduct", "manufacturedMaterial"])
        .or_else(|| path(node, &["consumable", "manufacturedProduct", "manufacturedLabeledDrug"]))?;
    reader.concept_in(material, "code").or_else(|| {
        let name = reader.text(child(material, "name")?)?;
        Some(json!({ "text": name }))
    })
}

/// Reads a medication.
pub(super) fn read<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Body, Reason> {
    let product = product(reader, node);
    let negated = is_negated(node);
    let generic = first_code(product.as_ref()).is_some_and(|code| matches!(code, "410942007" | "763158003"));
    if negated && (product.is_none() || generic) {
        let absent = absence_of(Section::Medications, "no-known-medications", 0);
        return Ok((Kind::Medication, absent.body));
    }
    let mut body = Map::new();
    body.insert("medicationCodeableConcept".into(), product.ok_or(Reason::NoCode)?);
    let status = match child(node, "statusCode").and_then(|status| attribute(status, "code")) {
        _ if negated => Some("not-taken"),
        Some("active") => Some("active"),
        Some("completed") => Some("completed"),
        Some("aborted" | "cancelled") => Some("stopped"),
        Some("suspended" | "held") => Some("on-hold"),
        _ => None,
    };
    if let Some(status) = status {
        body.insert("status".into(), status.into());
    }
    for time in children(node, "effectiveTime") {
        let is_schedule = stated_type(time).is_some_and(|of| of != "IVL_TS" && of != "TS");
        if !is_schedule && !body.keys().any(|name| name.starts_with("effective")) {
            When::read(time).write(&mut body, "effective");
        }
    }
    let reasons: Vec<_> = super::xml::all_related(node, "observation", "19")
        .filter_map(|reason| reader.concept_in(reason, "value"))
        .collect();
    if !reasons.is_empty() {
        body.insert("reasonCode".into(), reasons.into());
    }
    if let Some(dosage) = dosage(reader, node) {
        body.insert("dosage".into(), json!([dosage]));
    }
    Ok((Kind::Medication, body))
}

/// Reads how much, how often, by what route, and when it is needed.
fn dosage<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Option<Value> {
    let mut dosage = Map::new();
    let instruction = related(node, "substanceAdministration", "147").and_then(|sig| child(sig, "text"));
    if let Some(words) = instruction.and_then(|text| reader.text(text)) {
        dosage.insert("text".into(), words.into());
    }
    if let Some(repeat) = children(node, "effectiveTime").find_map(schedule) {
        dosage.insert("timing".into(), json!({ "repeat": repeat }));
    }
    let needed = path(node, &["precondition", "criterion", "value"]).and_then(|value| reader.concept(value));
    if let Some(needed) = needed {
        dosage.insert("asNeededCodeableConcept".into(), needed);
    } else if child(node, "precondition").is_some() {
        dosage.insert("asNeededBoolean".into(), true.into());
    }
    if let Some(route) = reader.concept_in(node, "routeCode") {
        dosage.insert("route".into(), route);
    }
    let mut dose = Map::new();
    if let Some(amount) = child(node, "doseQuantity") {
        match (quantity(amount, None), range(amount)) {
            (Some(amount), _) => dose.insert("doseQuantity".into(), amount),
            (None, Some(amount)) => dose.insert("doseRange".into(), amount),
            (None, None) => None,
        };
    }
    if let Some(rate) = child(node, "rateQuantity").and_then(|rate| quantity(rate, None)) {
        dose.insert("rateQuantity".into(), rate);
    }
    if !dose.is_empty() {
        dosage.insert("doseAndRate".into(), json!([dose]));
    }
    (!dosage.is_empty()).then(|| dosage.into())
}

/// Reads how often (PIVL_TS), or at which event of the day (EIVL_TS).
fn schedule<'a>(time: Node<'a, 'a>) -> Option<Value> {
    match stated_type(time)? {
        "PIVL_TS" => {
            let period = child(time, "period")?;
            let unit = |node: Node<'a, 'a>| {
                attribute(node, "unit")
                    .filter(|unit| matches!(*unit, "s" | "min" | "h" | "d" | "wk" | "mo" | "a"))
            };
            let bound = |name| child(period, name);
            let (low, high) = (bound("low").unwrap_or(period), bound("high"));
            let mut repeat = Map::new();
            repeat.insert("frequency".into(), 1.into());
            repeat.insert("period".into(), number(attribute(low, "value")?)?);
            let most = high.filter(|high| unit(*high) == unit(low));
            if let Some(most) = most.and_then(|high| number(attribute(high, "value")?)) {
                repeat.insert("periodMax".into(), most);
            }
            repeat.insert("periodUnit".into(), unit(low)?.into());
            Some(repeat.into())
        }
        "EIVL_TS" => {
            let code = attribute(child(time, "event")?, "code")?;
            let known =
                ["HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV"];
            known.contains(&code).then(|| json!({ "when": [code] }))
        }
        _ => None,
    }
}

/// Reads an immunization. One that is negated was not given.
pub(super) fn immunization<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Body, Reason> {
    let mut body = Map::new();
    body.insert("vaccineCode".into(), product(reader, node).ok_or(Reason::NoCode)?);
    let status = child(node, "statusCode").and_then(|status| attribute(status, "code"));
    let done = match status {
        _ if is_negated(node) => false,
        Some("completed" | "active") | None => true,
        Some("aborted" | "cancelled") => false,
        Some(_) => return Err(Reason::StatusUnknown),
    };
    body.insert("status".into(), if done { "completed" } else { "not-done" }.into());
    let when = When::of(node);
    if let Some(at) = when.start().or(when.high.as_ref()) {
        body.insert("occurrenceDateTime".into(), at.as_str().into());
    }
    let refusal = related(node, "observation", "53").and_then(|reason| reader.concept_in(reason, "code"));
    if let (false, Some(refusal)) = (done, refusal) {
        body.insert("statusReason".into(), refusal);
    }
    let material = path(node, &["consumable", "manufacturedProduct", "manufacturedMaterial"]);
    let lot = material.and_then(|material| child(material, "lotNumberText"));
    if let Some(lot) = lot.and_then(super::xml::inner_text) {
        body.insert("lotNumber".into(), lot.into());
    }
    for (from, to) in [("routeCode", "route"), ("approachSiteCode", "site")] {
        if let Some(concept) = reader.concept_in(node, from) {
            body.insert(to.into(), concept);
        }
    }
    if let Some(dose) = child(node, "doseQuantity").and_then(|dose| quantity(dose, None)) {
        body.insert("doseQuantity".into(), dose);
    }
    Ok((Kind::Immunization, body))
}
