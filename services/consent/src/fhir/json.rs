//! Reading JSON with paths: what is not known is refused, and faults are collected.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Fault, LIST_MAX};

/// Faults that were found so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, path: &str, reason: &str) {
        self.0.push(Fault::new(path, reason));
    }

    /// Adds a fault in the place of what could not be read.
    pub(super) fn refuse<T>(&mut self, path: &str, reason: &str) -> Option<T> {
        self.add(path, reason);
        None
    }
}

/// Why an element that FHIR has is refused.
fn reason(name: &str) -> &'static str {
    match name {
        "modifierExtension" => "changes the meaning in a way that is not known here",
        "implicitRules" => "asks for rules that are not known here",
        "verification" => "cannot be kept: a consent counts here as it stands",
        "expression" => "cannot be evaluated here",
        "grantee" => "cannot be kept: a consent binds all members here",
        "extension" => "is not read here, and might narrow what is stated",
        _ => "is not an element that is understood here",
    }
}

/// An object, of which all keys are known.
pub(super) struct Object<'a> {
    pub(super) path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// Reads an object and refuses each key that is not among the known ones.
    pub(super) fn read(faults: &mut Faults, path: &str, value: &'a Value, known: &[&str]) -> Option<Self> {
        let Value::Object(fields) = value else { return faults.refuse(path, "must be an object") };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            // What somebody else named may be anything; of it only what looks like an element is shown.
            let plain = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let shown = if plain { name } else { "?" };
            faults.add(&format!("{path}.{shown}"), reason(name));
        }
        Some(Self { path: path.to_owned(), fields })
    }

    /// Returns the path and the value of a field.
    pub(super) fn field(&self, name: &str) -> Option<(String, &'a Value)> {
        self.fields.get(name).map(|value| (self.at(name), value))
    }

    /// Returns the path of a field, whether or not it is there.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Returns a field that must be there.
    pub(super) fn required(&self, faults: &mut Faults, name: &str) -> Option<(String, &'a Value)> {
        let field = self.field(name);
        if field.is_none() {
            faults.add(&self.at(name), "must be present");
        }
        field
    }

    /// Returns a text.
    pub(super) fn text(&self, faults: &mut Faults, name: &str) -> Option<&'a str> {
        let (path, value) = self.field(name)?;
        text(faults, &path, value)
    }

    /// Returns the items of a list with their paths. FHIR has no empty list: one would widen what is stated.
    pub(super) fn list(&self, faults: &mut Faults, name: &str) -> Vec<(String, &'a Value)> {
        let Some((path, value)) = self.field(name) else { return vec![] };
        match value {
            Value::Array(items) if items.is_empty() => faults.add(&path, "must not be empty"),
            Value::Array(items) if items.len() > LIST_MAX => {
                faults.add(&path, &format!("must have at most {LIST_MAX} items"));
            }
            Value::Array(items) => {
                return items.iter().enumerate().map(|(i, item)| (format!("{path}[{i}]"), item)).collect();
            }
            _ => faults.add(&path, "must be a list"),
        }
        vec![]
    }
}

/// Reads a text.
pub(super) fn text<'a>(faults: &mut Faults, path: &str, value: &'a Value) -> Option<&'a str> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => faults.refuse(path, "must be a text that is not empty"),
    }
}

/// A code and its system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding<'a> {
    pub(super) system: Option<&'a str>,
    pub(super) code: &'a str,
}

/// Reads a Coding, which must have a code.
pub(super) fn coding<'a>(faults: &mut Faults, path: &str, value: &'a Value) -> Option<Coding<'a>> {
    let known = ["id", "system", "version", "code", "display", "userSelected"];
    let object = Object::read(faults, path, value, &known)?;
    object.required(faults, "code")?;
    let code = object.text(faults, "code")?;
    Some(Coding { system: object.text(faults, "system"), code })
}

/// Reads the codings of a CodeableConcept, of which each says the same; there must be one.
pub(super) fn concept<'a>(faults: &mut Faults, path: &str, value: &'a Value) -> Vec<(String, Coding<'a>)> {
    let Some(object) = Object::read(faults, path, value, &["id", "coding", "text"]) else { return vec![] };
    if object.required(faults, "coding").is_none() {
        return vec![];
    }
    let codings = object.list(faults, "coding");
    codings.into_iter().filter_map(|(path, value)| coding(faults, &path, value).map(|c| (path, c))).collect()
}

/// What a Reference refers to.
pub(super) struct Reference<'a> {
    /// The type that it states, or that its reference has.
    pub(super) kind: Option<&'a str>,
    pub(super) reference: Option<&'a str>,
    /// System and value.
    pub(super) identifier: Option<(Option<&'a str>, &'a str)>,
}

impl<'a> Reference<'a> {
    pub(super) fn read(faults: &mut Faults, path: &str, value: &'a Value) -> Option<Self> {
        let known = ["id", "reference", "type", "identifier", "display"];
        let object = Object::read(faults, path, value, &known)?;
        let stated = object.text(faults, "type");
        let reference = object.text(faults, "reference");
        let kind = reference.and_then(|reference| reference.rsplit('/').nth(1));
        if let (Some(stated), Some(kind)) = (stated, kind)
            && stated != kind
        {
            return faults.refuse(&object.at("type"), "must be the type that the reference has");
        }
        let identifier = match object.field("identifier") {
            None => None,
            Some((path, value)) => {
                let known = ["id", "use", "type", "system", "value", "period", "assigner"];
                let identifier = Object::read(faults, &path, value, &known)?;
                identifier.required(faults, "value")?;
                Some((identifier.text(faults, "system"), identifier.text(faults, "value")?))
            }
        };
        Some(Self { kind: stated.or(kind), reference, identifier })
    }

    /// Returns the id of a resource of a type, when the reference is relative: other servers name other things.
    pub(super) fn id_of(&self, kind: &str) -> Option<&'a str> {
        let (of, id) = self.reference?.split_once('/')?;
        (of == kind && !id.contains('/')).then_some(id)
    }

    /// Returns it as text: the reference, or the identifier as `system|value`.
    pub(super) fn text(&self) -> Option<String> {
        match (self.reference, self.identifier) {
            (Some(reference), _) => Some(reference.to_owned()),
            (None, Some((Some(system), value))) => Some(format!("{system}|{value}")),
            (None, Some((None, value))) => Some(value.to_owned()),
            (None, None) => None,
        }
    }
}

/// JSON in which no object states a field twice: two readers might take a different one of them.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(Strict(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let Strict(value) = from.next_value()?;
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a field is stated twice"));
            }
        }
        Ok(fields.into())
    }
}
