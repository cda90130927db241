//! Procedures (C-CDA R2.1, Procedure Activity Procedure, Observation and Act, 2.16.840.1.113883.10.20.22.4.14, .13
//! and .12).

use roxmltree::Node;
use serde_json::{Map, json};

use super::{
    Body, Reader,
    data::When,
    xml::{attribute, child, children, is_negated},
};
use crate::{fact::Kind, report::Reason};

/// Reads a procedure. One that is negated was not done.
pub(super) fn read<'a>(reader: &Reader<'a>, node: Node<'a, 'a>) -> Result<Body, Reason> {
    let mut body = Map::new();
    let code = reader.concept_in(node, "code").or_else(|| {
        let text = child(node, "text").and_then(|text| reader.text(text))?;
        Some(json!({ "text": text }))
    });
    body.insert("code".into(), code.ok_or(Reason::NoCode)?);
    let status = match child(node, "statusCode").and_then(|status| attribute(status, "code")) {
        _ if is_negated(node) => Some("not-done"),
        Some("completed") => Some("completed"),
        Some("active") => Some("in-progress"),
        Some("aborted") => Some("stopped"),
        Some("cancelled") => Some("not-done"),
        Some("held" | "suspended") => Some("on-hold"),
        _ => None,
    };
    if let Some(status) = status {
        body.insert("status".into(), status.into());
    }
    When::of(node).write(&mut body, "performed");
    let sites: Vec<_> = children(node, "targetSiteCode").filter_map(|site| reader.concept(site)).collect();
    if !sites.is_empty() {
        body.insert("bodySite".into(), sites.into());
    }
    // An observation that is a procedure may say what was found.
    let found = child(node, "value").and_then(|value| reader.value(value));
    match found {
        Some(("CodeableConcept", concept)) => {
            body.insert("outcome".into(), concept);
        }
        Some(("String", text)) => {
            body.insert("outcome".into(), json!({ "text": text }));
        }
        _ => {}
    }
    Ok((Kind::Procedure, body))
}
