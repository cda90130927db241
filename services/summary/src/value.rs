//! Values of FHIR R4 data types: rebuilt from what a source wrote, so that only what is well formed goes on.

use serde_json::{Map, Value, json};

use crate::{CODINGS_MAX, text, time};

/// Code systems that are named here.
pub(crate) mod system {
    pub(crate) const ABSENT_OR_UNKNOWN: &str = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips";
    pub(crate) const SNOMED: &str = "http://snomed.info/sct";
    pub(crate) const LOINC: &str = "http://loinc.org";
    pub(crate) const UCUM: &str = "http://unitsofmeasure.org";
    pub(crate) const ALLERGY_CLINICAL: &str =
        "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
    pub(crate) const ALLERGY_VERIFICATION: &str =
        "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
    pub(crate) const CONDITION_CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    pub(crate) const CONDITION_VERIFICATION: &str =
        "http://terminology.hl7.org/CodeSystem/condition-ver-status";
    pub(crate) const CONDITION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
    pub(crate) const OBSERVATION_CATEGORY: &str =
        "http://terminology.hl7.org/CodeSystem/observation-category";
    pub(crate) const DATA_ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
    pub(crate) const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
    /// For identifiers that are URIs themselves.
    pub(crate) const URI: &str = "urn:ietf:rfc:3986";
}

/// The extension for a required element that is not known.
pub(crate) const DATA_ABSENT_URL: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// The shape that an element must have.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Boolean,
    Integer,
    PositiveInteger,
    Decimal,
    /// A text in lines.
    Text,
    DateTime,
    Date,
    Instant,
    Time,
    /// One of these codes.
    Code(&'static [&'static str]),
    Identifier,
    Concept,
    Quantity,
    Period,
    Range,
    Ratio,
    Annotation,
    /// An object of these elements, of which those that begin with `!` must be there.
    Group(&'static [(&'static str, Shape)]),
    /// A list of them.
    List(&'static Shape),
}

/// Rebuilds a value; `None` when nothing of it is well formed.
pub(crate) fn rebuild(shape: Shape, value: &Value) -> Option<Value> {
    Some(match shape {
        Shape::Boolean => Value::Bool(value.as_bool()?),
        Shape::Integer => i32::try_from(value.as_i64()?).ok()?.into(),
        Shape::PositiveInteger => i32::try_from(value.as_i64()?).ok().filter(|n| *n > 0)?.into(),
        Shape::Decimal => value.as_number()?.clone().into(),
        Shape::Text => text::clean(value.as_str()?)?.into(),
        Shape::DateTime => time::fhir(value.as_str()?)?.into(),
        Shape::Date => time::fhir_date(value.as_str()?)?.into(),
        Shape::Instant => time::fhir_instant(value.as_str()?)?.into(),
        Shape::Time => {
            let text = value.as_str()?;
            (text.len() >= 8 && text.parse::<jiff::civil::Time>().is_ok()).then(|| text.into())?
        }
        Shape::Code(codes) => value.as_str().filter(|code| codes.contains(code))?.into(),
        Shape::Identifier => identifier(value)?,
        Shape::Concept => concept(value)?,
        Shape::Quantity => quantity(value)?,
        Shape::Period => parts(value, &[("start", Shape::DateTime), ("end", Shape::DateTime)])?,
        Shape::Range => parts(value, &[("low", Shape::Quantity), ("high", Shape::Quantity)])?,
        Shape::Ratio => {
            let ratio = parts(value, &[("numerator", Shape::Quantity), ("denominator", Shape::Quantity)])?;
            ratio.as_object().filter(|parts| parts.len() == 2)?.clone().into()
        }
        Shape::Annotation => parts(value, &[("time", Shape::DateTime), ("!text", Shape::Text)])?,
        Shape::Group(elements) => parts(value, elements)?,
        Shape::List(shape) => {
            let items: Vec<_> = value.as_array()?.iter().filter_map(|item| rebuild(*shape, item)).collect();
            (!items.is_empty()).then_some(Value::Array(items))?
        }
    })
}

/// Elements that may have one of several types, of which a resource has one (FHIR R4, 2.4.1.6).
const CHOICES: &[&str] =
    &["onset", "abatement", "effective", "performed", "occurrence", "value", "asNeeded", "dose", "rate"];

/// Returns the name that an element shares with those that it excludes.
pub(crate) fn choice(name: &str) -> Option<&'static str> {
    CHOICES.iter().copied().find(|choice| {
        name.strip_prefix(choice).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    })
}

/// True when an element would be a second one of its choice.
fn is_second(kept: &Map<String, Value>, name: &str) -> bool {
    choice(name).is_some_and(|of| kept.keys().any(|kept| choice(kept) == Some(of)))
}

/// Rebuilds an object. One with an extension that changes its meaning is refused (FHIR R4, 2.4.1.2).
fn parts(value: &Value, elements: &[(&str, Shape)]) -> Option<Value> {
    let value = value.as_object()?;
    if value.contains_key("modifierExtension") {
        return None;
    }
    let mut kept = Map::new();
    for (name, shape) in elements {
        let plain = name.trim_start_matches('!');
        if is_second(&kept, plain) {
            continue;
        }
        match value.get(plain).and_then(|value| rebuild(*shape, value)) {
            Some(value) => kept.insert(plain.to_owned(), value),
            None if *name != plain => return None,
            None => continue,
        };
    }
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// Takes the elements of a resource that have a shape. Returns them, and how many were there but not well formed.
pub(crate) fn pick(resource: &Map<String, Value>, elements: &[(&str, Shape)]) -> (Map<String, Value>, usize) {
    let (mut kept, mut lost) = (Map::new(), 0);
    for (name, shape) in elements {
        let Some(value) = resource.get(*name) else { continue };
        if is_second(&kept, name) {
            lost += 1;
            continue;
        }
        match rebuild(*shape, value) {
            Some(rebuilt) => {
                // An item of a list that is not well formed is a loss, too.
                let before = value.as_array().map_or(0, Vec::len);
                lost += before.saturating_sub(rebuilt.as_array().map_or(before, Vec::len));
                kept.insert((*name).to_owned(), rebuilt);
            }
            None => lost += 1,
        }
    }
    (kept, lost)
}

/// Rebuilds a text on one line.
fn line(value: Option<&Value>) -> Option<String> {
    text::line(value?.as_str()?)
}

/// Rebuilds a URI.
fn uri(value: Option<&Value>) -> Option<String> {
    Some(value?.as_str()?).filter(|uri| text::is_uri(uri)).map(str::to_owned)
}

fn object(parts: [(&str, Option<Value>); 4]) -> Map<String, Value> {
    parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn identifier(value: &Value) -> Option<Value> {
    let text = line(value.get("value"))?;
    let system = uri(value.get("system")).map(Value::from);
    let fields = object([("system", system), ("value", Some(text.into())), ("", None), ("", None)]);
    Some(Value::Object(fields))
}

/// Makes a Coding. A display without a code says too little for a coding.
pub(crate) fn coding(system: Option<&str>, code: &str, display: Option<&str>) -> Option<Value> {
    let system = system.filter(|uri| text::is_uri(uri)).map(Value::from);
    let code = Value::from(text::line(code)?);
    let display = display.and_then(text::line).map(Value::from);
    Some(Value::Object(object([("system", system), ("code", Some(code)), ("display", display), ("", None)])))
}

/// Makes a CodeableConcept; `None` when it says nothing.
pub(crate) fn concept_of(codings: Vec<Value>, text: Option<String>) -> Option<Value> {
    let mut kept: Vec<Value> = vec![];
    for coding in codings {
        if kept.len() < CODINGS_MAX && !kept.contains(&coding) {
            kept.push(coding);
        }
    }
    let mut fields = Map::new();
    if !kept.is_empty() {
        fields.insert("coding".into(), kept.into());
    }
    if let Some(text) = text {
        fields.insert("text".into(), text.into());
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn concept(value: &Value) -> Option<Value> {
    let codings = value.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut displayed = None;
    let codings = codings.iter().take(CODINGS_MAX).filter_map(|value| {
        let display = line(value.get("display"));
        displayed = displayed.take().or_else(|| display.clone());
        coding(uri(value.get("system")).as_deref(), value.get("code")?.as_str()?, display.as_deref())
    });
    let codings: Vec<_> = codings.collect();
    let text = line(value.get("text")).or(if codings.is_empty() { displayed } else { None });
    concept_of(codings, text)
}

fn quantity(value: &Value) -> Option<Value> {
    let number = value.get("value").and_then(Value::as_number)?.clone();
    let comparator = value.get("comparator").and_then(Value::as_str);
    if comparator.is_some_and(|c| !matches!(c, "<" | "<=" | ">=" | ">")) {
        // A quantity whose comparator is not understood may be anything.
        return None;
    }
    let unit = line(value.get("unit"));
    let code = line(value.get("code"));
    let system = uri(value.get("system"));
    Some(quantity_of(number.into(), comparator, unit, code.zip(system)))
}

/// Makes a Quantity; `coded` is the code of the unit and its system (a code needs a system: FHIR R4, qty-3).
pub(crate) fn quantity_of(
    number: Value,
    comparator: Option<&str>,
    unit: Option<String>,
    coded: Option<(String, String)>,
) -> Value {
    let mut fields = Map::new();
    fields.insert("value".into(), number);
    if let Some(comparator) = comparator {
        fields.insert("comparator".into(), comparator.into());
    }
    if let Some(unit) = unit {
        fields.insert("unit".into(), unit.into());
    }
    if let Some((code, system)) = coded {
        fields.insert("system".into(), system.into());
        fields.insert("code".into(), code.into());
    }
    Value::Object(fields)
}

/// Makes a concept of one code, whose name needs no telling.
pub(crate) fn status(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// Returns the first code of a concept.
pub(crate) fn first_code(concept: Option<&Value>) -> Option<&str> {
    concept?.get("coding")?.get(0)?.get("code")?.as_str()
}

/// Returns the system of the first code of a concept.
pub(crate) fn first_system(concept: Option<&Value>) -> Option<&str> {
    concept?.get("coding")?.get(0)?.get("system")?.as_str()
}

/// Returns the words for a concept: its text, else its first display, else its first code.
pub(crate) fn words(concept: &Value) -> Option<&str> {
    let codings = || concept.get("coding").and_then(Value::as_array).into_iter().flatten();
    let named = |name: &'static str| codings().find_map(move |coding| coding.get(name)?.as_str());
    concept.get("text").and_then(Value::as_str).or_else(|| named("display")).or_else(|| named("code"))
}

/// Returns the words for a concept to a reader: the name of its code, and what its source wrote, where the two differ.
pub(crate) fn shown(concept: &Value) -> Option<String> {
    let codings = concept.get("coding").and_then(Value::as_array).into_iter().flatten();
    let named = codings.filter_map(|coding| coding.get("display")?.as_str()).next();
    match (named, concept.get("text").and_then(Value::as_str)) {
        (Some(named), Some(text)) if !text::contains(text, named) => {
            Some(format!("{named} (source text: {text})"))
        }
        _ => words(concept).map(str::to_owned),
    }
}

/// Writes a value with its keys in order: equal values give equal texts, however they were made.
pub(crate) fn canonical(value: &Value, to: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort_unstable();
            to.push('{');
            for name in names {
                to.push_str(&Value::from(name.as_str()).to_string());
                to.push(':');
                canonical(&fields[name.as_str()], to);
                to.push(',');
            }
            to.push('}');
        }
        Value::Array(items) => {
            to.push('[');
            for item in items {
                canonical(item, to);
                to.push(',');
            }
            to.push(']');
        }
        other => to.push_str(&other.to_string()),
    }
}

/// Like [`canonical`], for the elements of a resource.
pub(crate) fn canonical_body(body: &Map<String, Value>) -> String {
    let mut text = String::new();
    canonical(&Value::Object(body.clone()), &mut text);
    text
}
