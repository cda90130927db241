//! HL7 v3 data types (R1) as values of FHIR R4.

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::{
    Reader,
    xml::{attribute, child, children, inner_text, stated_type},
};
use crate::{
    text, time,
    value::{self, quantity_of, system},
};

/// The URIs of code systems by their OIDs (HL7 Terminology, external code systems).
const SYSTEMS: &[(&str, &str)] = &[
    ("2.16.840.1.113883.6.96", system::SNOMED),
    ("2.16.840.1.113883.6.1", system::LOINC),
    ("2.16.840.1.113883.6.88", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("2.16.840.1.113883.12.292", "http://hl7.org/fhir/sid/cvx"),
    ("2.16.840.1.113883.6.3", "http://hl7.org/fhir/sid/icd-10"),
    ("2.16.840.1.113883.6.90", "http://hl7.org/fhir/sid/icd-10-cm"),
    ("2.16.840.1.113883.6.103", "http://hl7.org/fhir/sid/icd-9-cm"),
    ("2.16.840.1.113883.6.4", "http://www.cms.gov/Medicare/Coding/ICD10"),
    ("2.16.840.1.113883.6.12", "http://www.ama-assn.org/go/cpt"),
    ("2.16.840.1.113883.6.69", "http://hl7.org/fhir/sid/ndc"),
    ("2.16.840.1.113883.6.73", "http://www.whocc.no/atc"),
    ("2.16.840.1.113883.4.9", "http://fdasis.nlm.nih.gov"),
    ("2.16.840.1.113883.6.8", system::UCUM),
    ("2.16.840.1.113883.5.83", "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"),
    ("2.16.840.1.113883.5.8", "http://terminology.hl7.org/CodeSystem/v3-ActReason"),
];

/// Returns the URI of a system that an OID or UUID names; `None` for what is neither.
fn uri(root: &str) -> Option<String> {
    if let Some((_, uri)) = SYSTEMS.iter().find(|(oid, _)| *oid == root) {
        return Some((*uri).to_owned());
    }
    if let Ok(uuid) = uuid::Uuid::try_parse(root) {
        return Some(format!("urn:uuid:{uuid}"));
    }
    let mut arcs = root.split('.');
    let first = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let mut more = 0;
    let rest = arcs.all(|arc| {
        more += 1;
        !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    });
    (first && rest && more > 0).then(|| format!("urn:oid:{root}"))
}

/// Reads the identifiers (II) of a statement.
pub(super) fn identifiers(node: Node<'_, '_>) -> Option<Value> {
    let ids: Vec<_> = children(node, "id").filter_map(identifier).collect();
    (!ids.is_empty()).then(|| ids.into())
}

/// Reads an identifier (II).
pub(super) fn identifier(id: Node<'_, '_>) -> Option<Value> {
    let root = uri(attribute(id, "root")?)?;
    Some(match attribute(id, "extension").and_then(text::line) {
        Some(extension) => json!({ "system": root, "value": extension }),
        None => json!({ "system": system::URI, "value": root }),
    })
}

impl<'a> Reader<'a> {
    /// Returns the text that an element (ED) holds or refers to.
    pub(super) fn text(&self, node: Node<'a, 'a>) -> Option<String> {
        let referred = child(node, "reference").and_then(|reference| attribute(reference, "value"));
        let referred = referred.and_then(|id| self.texts.get(id.trim_start_matches('#')).copied());
        referred.and_then(inner_text).or_else(|| inner_text(node))
    }

    /// Reads a code with its translations (CD, CE) as a CodeableConcept; `None` when it says nothing.
    pub(super) fn concept(&self, node: Node<'a, 'a>) -> Option<Value> {
        let codes = std::iter::once(node).chain(children(node, "translation"));
        let mut displayed = None;
        let codings: Vec<_> = codes
            .filter_map(|code| {
                let display = attribute(code, "displayName").and_then(text::line);
                displayed = displayed.take().or_else(|| display.clone());
                let system = attribute(code, "codeSystem").and_then(uri);
                value::coding(system.as_deref(), attribute(code, "code")?, display.as_deref())
            })
            .collect();
        let original = child(node, "originalText").and_then(|text| self.text(text));
        value::concept_of(codings, both(displayed, original))
    }

    /// Reads the code of a child.
    pub(super) fn concept_in(&self, node: Node<'a, 'a>, name: &str) -> Option<Value> {
        self.concept(child(node, name)?)
    }

    /// Adds a note about a statement.
    pub(super) fn note(&self, body: &mut Map<String, Value>, note: &str) {
        let notes = body.entry("note").or_insert_with(|| json!([]));
        if let Value::Array(notes) = notes {
            notes.push(json!({ "text": note }));
        }
    }
}

/// Returns the text for a concept: the name of its code, with what its source wrote where that is something else.
///
/// References to narrative are often wrong (to the reaction rather than the substance), so a source's text must not
/// stand in the place of the name.
fn both(displayed: Option<String>, original: Option<String>) -> Option<String> {
    match (displayed, original.and_then(|text| text::line(&text))) {
        (Some(named), Some(text)) if !text::contains(&text, &named) => {
            Some(format!("{named} (source text: {text})"))
        }
        (named, text) => text.or(named),
    }
}

/// A time, or what lies between two (TS, IVL_TS).
#[derive(Default)]
pub(super) struct When {
    pub(super) at: Option<String>,
    pub(super) low: Option<String>,
    pub(super) high: Option<String>,
}

impl When {
    /// Reads a time.
    pub(super) fn read(node: Node<'_, '_>) -> Self {
        let time = |node: Node<'_, '_>| attribute(node, "value").and_then(time::hl7);
        let bound = |name: &str| {
            node.children().find(|child| child.has_tag_name((super::xml::HL7, name))).and_then(time)
        };
        let center = bound("center");
        Self { at: time(node).or(center), low: bound("low"), high: bound("high") }
    }

    /// Reads the time of a statement.
    pub(super) fn of(node: Node<'_, '_>) -> Self {
        let found = node.children().find(|child| child.has_tag_name((super::xml::HL7, "effectiveTime")));
        found.map(Self::read).unwrap_or_default()
    }

    /// Returns when it began.
    pub(super) fn start(&self) -> Option<&String> {
        self.low.as_ref().or(self.at.as_ref())
    }

    /// Puts it into a body as `<name>DateTime` or `<name>Period`.
    pub(super) fn write(&self, body: &mut Map<String, Value>, name: &str) {
        if let Some(at) = &self.at {
            body.insert(format!("{name}DateTime"), at.as_str().into());
            return;
        }
        if self.low.is_some() && self.low == self.high {
            body.insert(format!("{name}DateTime"), json!(self.low));
            return;
        }
        let bounds = [("start", &self.low), ("end", &self.high)];
        let period: Map<_, _> = bounds
            .into_iter()
            .filter_map(|(name, at)| Some((name.to_owned(), at.as_deref()?.into())))
            .collect();
        if !period.is_empty() {
            body.insert(format!("{name}Period"), period.into());
        }
    }
}

/// Reads a decimal number as it is written in XML.
pub(super) fn number(text: &str) -> Option<Value> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    if !plain || text.len() > 30 {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    serde_json::Number::from_f64(number).map(Value::from)
}

/// Reads a physical quantity (PQ). A unit of `1` is none.
pub(super) fn quantity(node: Node<'_, '_>, comparator: Option<&str>) -> Option<Value> {
    let number = number(attribute(node, "value")?)?;
    let unit = attribute(node, "unit").and_then(text::line).filter(|unit| unit != "1");
    let coded = unit.clone().map(|unit| (unit, system::UCUM.to_owned()));
    Some(quantity_of(number, comparator, unit, coded))
}

/// Reads an interval of quantities (IVL_PQ) as a Range, by its low and high.
pub(super) fn range<'a>(node: Node<'a, 'a>) -> Option<Value> {
    let bound = |name: &str| child(node, name).and_then(|bound| quantity(bound, None));
    let bounds = [("low", bound("low")), ("high", bound("high"))];
    let range: Map<_, _> =
        bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), bound?))).collect();
    (!range.is_empty()).then(|| range.into())
}

impl<'a> Reader<'a> {
    /// Reads a value of any type (ANY) as the name of a FHIR type and its value.
    pub(super) fn value(&self, node: Node<'a, 'a>) -> Option<(&'static str, Value)> {
        Some(match stated_type(node)? {
            "PQ" => ("Quantity", quantity(node, None)?),
            "REAL" => ("Quantity", json!({ "value": number(attribute(node, "value")?)? })),
            "INT" => {
                let number: i32 = attribute(node, "value")?.parse().ok()?;
                ("Integer", number.into())
            }
            "CD" | "CE" | "CO" | "CV" | "CS" => ("CodeableConcept", self.concept(node)?),
            "ST" | "ED" => ("String", self.text(node)?.into()),
            "BL" => ("Boolean", (attribute(node, "value")? == "true").into()),
            "TS" => ("DateTime", time::hl7(attribute(node, "value")?)?.into()),
            "IVL_PQ" => interval(node)?,
            "IVL_TS" => {
                let mut body = Map::new();
                When::read(node).write(&mut body, "");
                let (name, value) = body.into_iter().next()?;
                (if name == "Period" { "Period" } else { "DateTime" }, value)
            }
            "RTO" | "RTO_PQ_PQ" => {
                let part = |name: &str| quantity(child(node, name)?, None);
                let (above, below) = (part("numerator")?, part("denominator")?);
                ("Ratio", json!({ "numerator": above, "denominator": below }))
            }
            _ => return None,
        })
    }
}

/// Reads an interval of quantities: with one bound, a quantity with a comparator.
fn interval<'a>(node: Node<'a, 'a>) -> Option<(&'static str, Value)> {
    let bound = |name: &str| child(node, name).filter(|bound| attribute(*bound, "value").is_some());
    let inclusive = |bound: Node<'a, 'a>| attribute(bound, "inclusive") != Some("false");
    Some(match (bound("low"), bound("high")) {
        (Some(_), Some(_)) => ("Range", range(node)?),
        (Some(low), None) => ("Quantity", quantity(low, Some(if inclusive(low) { ">=" } else { ">" }))?),
        (None, Some(high)) => ("Quantity", quantity(high, Some(if inclusive(high) { "<=" } else { "<" }))?),
        (None, None) => return None,
    })
}
