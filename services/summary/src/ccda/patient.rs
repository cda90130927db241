//! The person (CDA R2, recordTarget), as far as a summary names them.

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::{
    data::identifier,
    xml::{attribute, child, children, inner_text, path},
};
use crate::time;

/// Reads a Patient of FHIR, without id.
pub(super) fn read<'a>(root: Node<'a, 'a>) -> Option<Map<String, Value>> {
    let role = path(root, &["recordTarget", "patientRole"])?;
    let person = child(role, "patient")?;
    let mut patient = Map::new();
    let mut put = |name: &str, items: Vec<Value>| {
        if !items.is_empty() {
            patient.insert(name.into(), items.into());
        }
    };
    put("identifier", children(role, "id").filter_map(identifier).collect());
    put("name", children(person, "name").filter_map(name).collect());
    put("address", children(role, "addr").filter_map(address).collect());
    let gender = child(person, "administrativeGenderCode").and_then(|code| attribute(code, "code"));
    let gender = match gender {
        Some("F") => Some("female"),
        Some("M") => Some("male"),
        Some("UN") => Some("other"),
        _ => None,
    };
    if let Some(gender) = gender {
        patient.insert("gender".into(), gender.into());
    }
    let born = child(person, "birthTime").and_then(|time| attribute(time, "value")).and_then(time::hl7);
    if let Some(born) = born {
        let date = born.split('T').next().unwrap_or_default();
        patient.insert("birthDate".into(), date.into());
    }
    Some(patient)
}

fn texts<'a>(node: Node<'a, 'a>, name: &str) -> Vec<String> {
    children(node, name).filter_map(inner_text).collect()
}

fn name<'a>(node: Node<'a, 'a>) -> Option<Value> {
    let (given, family) = (texts(node, "given"), texts(node, "family"));
    if given.is_empty() && family.is_empty() {
        return inner_text(node).map(|text| json!({ "text": text }));
    }
    let mut name = Map::new();
    if !family.is_empty() {
        name.insert("family".into(), family.join(" ").into());
    }
    if !given.is_empty() {
        name.insert("given".into(), given.into());
    }
    Some(name.into())
}

fn address<'a>(node: Node<'a, 'a>) -> Option<Value> {
    let mut address = Map::new();
    let lines = texts(node, "streetAddressLine");
    if !lines.is_empty() {
        address.insert("line".into(), lines.into());
    }
    for (from, to) in
        [("city", "city"), ("state", "state"), ("postalCode", "postalCode"), ("country", "country")]
    {
        if let Some(part) = texts(node, from).into_iter().next() {
            address.insert(to.into(), part.into());
        }
    }
    (!address.is_empty()).then(|| address.into())
}
