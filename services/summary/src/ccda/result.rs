//! Results and vital signs (C-CDA R2.1, Result and Vital Signs Organizer and Observation,
//! 2.16.840.1.113883.10.20.22.4.1, .2, .26 and .27).

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::{
    Body, Reader, Shape,
    data::{When, identifiers, range},
    happened,
    xml::{attribute, child, children, is_negated},
};
use crate::{
    fact::{Fact, Kind},
    report::Reason,
    section::Section,
    value::{self, system},
};

/// Reads what an organizer holds. One of results becomes a report on them; vital signs stand for themselves.
pub(super) fn organizer<'a>(reader: &mut Reader<'a>, place: &str, shape: Shape, node: Node<'a, 'a>) {
    let inner = if shape == Shape::Vitals { Shape::Vital } else { Shape::Result };
    let components = children(node, "component").filter_map(|component| child(component, "observation"));
    let mut members = vec![];
    let mut count = 0;
    for observation in components {
        count += 1;
        let place = format!("{place} statement {count}");
        match happened(inner, observation) {
            Err(reason) => reader.read.skip(Some(Section::Results), &place, reason, 1),
            Ok(()) => members.extend(reader.add(&place, inner, observation)),
        }
    }
    if shape == Shape::Vitals {
        if count == 0 {
            reader.read.skip(Some(Section::Results), place, Reason::NoInformation, 1);
        }
        return;
    }
    match report(reader, node) {
        Err(reason) => reader.read.skip(Some(Section::Results), place, reason, 1),
        Ok(body) => {
            let number = reader.read.number();
            reader.read.add(place, Fact { kind: Kind::Report, body, number, members });
        }
    }
}

/// Reads the organizer itself.
fn report<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Map<String, Value>, Reason> {
    let mut body = Map::new();
    body.insert("code".into(), reader.concept_in(node, "code").ok_or(Reason::NoCode)?);
    status(node, &mut body)?;
    When::of(node).write(&mut body, "effective");
    if let Some(identifiers) = identifiers(node) {
        body.insert("identifier".into(), identifiers);
    }
    Ok(body)
}

/// Reads how far a result is.
fn status<'a>(node: Node<'a, 'a>, body: &mut Map<String, Value>) -> Result<(), Reason> {
    let status = match child(node, "statusCode").and_then(|status| attribute(status, "code")) {
        Some("completed") => "final",
        Some("active" | "held" | "suspended") => "preliminary",
        Some("aborted" | "cancelled") => return Err(Reason::Cancelled),
        _ => return Ok(()),
    };
    body.insert("status".into(), status.into());
    Ok(())
}

/// Reads an observation of a category of FHIR.
pub(super) fn read<'a>(reader: &Reader<'a>, node: Node<'a, 'a>, category: &str) -> Result<Body, Reason> {
    if is_negated(node) {
        return Err(Reason::Negated);
    }
    let mut body = Map::new();
    body.insert("code".into(), reader.concept_in(node, "code").ok_or(Reason::NoCode)?);
    status(node, &mut body)?;
    body.insert("category".into(), json!([value::status(system::OBSERVATION_CATEGORY, category)]));
    let own = When::of(node);
    // An observation without a time has that of its organizer.
    let around = node.parent().and_then(|component| component.parent()).map(When::of);
    let when = if own.at.is_none() && own.low.is_none() && own.high.is_none() {
        around.unwrap_or_default()
    } else {
        own
    };
    when.write(&mut body, "effective");
    let stated = children(node, "value").find_map(|stated| reader.value(stated));
    match stated {
        Some((name, stated)) => body.insert(format!("value{name}"), stated),
        None => body.insert("dataAbsentReason".into(), value::status(system::DATA_ABSENT, "unknown")),
    };
    let interpretations: Vec<_> =
        children(node, "interpretationCode").filter_map(|code| reader.concept(code)).collect();
    if !interpretations.is_empty() {
        body.insert("interpretation".into(), interpretations.into());
    }
    let ranges: Vec<_> =
        children(node, "referenceRange").filter_map(|found| reference(reader, found)).collect();
    if !ranges.is_empty() {
        body.insert("referenceRange".into(), ranges.into());
    }
    Ok((Kind::Observation, body))
}

/// Reads a range of reference: its bounds, and its words.
fn reference<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Option<Value> {
    let stated = child(node, "observationRange")?;
    let mut found = match child(stated, "value").and_then(range) {
        Some(Value::Object(bounds)) => bounds,
        _ => Map::new(),
    };
    if let Some(words) = child(stated, "text").and_then(|text| reader.text(text)) {
        found.insert("text".into(), words.into());
    }
    (!found.is_empty()).then(|| found.into())
}
