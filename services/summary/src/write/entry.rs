//! Writes the resource of an entry, with what IPS requires of it, and its words for the narrative.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{CONFLICT_URL, RIVALS_SHOWN_MAX, SOURCE_URL, Writer, conflicting, reference, url};
use crate::{
    fact::Kind,
    merge::Entry,
    value::{self, DATA_ABSENT_URL, system},
};

impl Writer<'_> {
    /// Writes an entry.
    pub(super) fn entry(&self, at: usize) -> Value {
        self.written(&self.entries[at], self.names.entries[at], Some(at))
    }

    /// Writes an entry, which may be one that no source states.
    pub(super) fn written(&self, entry: &Entry, id: Uuid, at: Option<usize>) -> Value {
        let mut body = Map::new();
        if let Some(meta) = self.meta(entry) {
            body.insert("meta".into(), meta);
        }
        let extensions = self.extensions(entry);
        if !extensions.is_empty() {
            body.insert("extension".into(), extensions.into());
        }
        body.extend(entry.body.clone());
        complete(entry.kind, &mut body);
        body.insert(entry.kind.subject_field().into(), reference(self.names.patient));
        if let (Some(field), false) = (entry.kind.member_field(), entry.members.is_empty()) {
            let members = entry.members.iter().filter(|member| Some(**member) != at);
            let members: Vec<_> = members.map(|member| reference(self.names.entries[*member])).collect();
            body.insert(field.into(), members.into());
        }
        self.annotate(entry, &mut body);
        self.resource(entry.kind.resource_type(), id, body)
    }

    /// Says where an entry comes from first, and whether another one contradicts it.
    fn meta(&self, entry: &Entry) -> Option<Value> {
        let source = entry.sources.first()?;
        let mut meta = json!({ "source": url(self.names.documents[*source]) });
        if !entry.rivals.is_empty() {
            meta["tag"] = json!([conflicting()]);
        }
        Some(meta)
    }

    /// Refers to all documents that state an entry, and to the entries that contradict it.
    fn extensions(&self, entry: &Entry) -> Vec<Value> {
        let extension = |url: &str, id: Uuid| json!({ "url": url, "valueReference": reference(id) });
        let sources = entry.sources.iter().map(|source| extension(SOURCE_URL, self.names.documents[*source]));
        let mut rivals: Vec<_> = entry.rivals.iter().map(|(rival, _)| self.names.entries[*rival]).collect();
        rivals.sort();
        rivals.dedup();
        let rivals = rivals.into_iter().take(RIVALS_SHOWN_MAX).map(|rival| extension(CONFLICT_URL, rival));
        sources.chain(rivals).collect()
    }

    /// Says in words what contradicts an entry.
    fn annotate(&self, entry: &Entry, body: &mut Map<String, Value>) {
        // A report has no notes; its tag and its links say it.
        if entry.kind == Kind::Report {
            return;
        }
        let mut kinds: Vec<_> = entry.rivals.iter().map(|(_, kind)| *kind).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let text = format!("Conflict: {}; see the entries that this one is linked to.", kind.text());
            if let Value::Array(notes) = body.entry("note").or_insert_with(|| json!([])) {
                notes.push(json!({ "text": text }));
            }
        }
    }
}

/// Adds the elements that FHIR and IPS require and no source stated.
fn complete(kind: Kind, body: &mut Map<String, Value>) {
    let absent = || json!({ "extension": [{ "url": DATA_ABSENT_URL, "valueCode": "unknown" }] });
    let has = |body: &Map<String, Value>, of: &str| body.keys().any(|name| value::choice(name) == Some(of));
    match kind {
        Kind::Allergy | Kind::Condition => clinical_status(kind, body),
        Kind::Medication => {
            body.entry("status").or_insert_with(|| "unknown".into());
            if !has(body, "effective") {
                body.insert("_effectiveDateTime".into(), absent());
            }
        }
        Kind::Immunization => {
            body.entry("status").or_insert_with(|| "completed".into());
            if !has(body, "occurrence") {
                // Unlike other times this one is required by FHIR itself, and not all readers take an absent one.
                body.insert("occurrenceString".into(), "unknown".into());
            }
        }
        Kind::Observation => {
            body.entry("status").or_insert_with(|| "unknown".into());
            if has(body, "value") {
                // FHIR R4, obs-6: what has a value is not absent.
                body.remove("dataAbsentReason");
            }
            if !has(body, "effective") {
                body.insert("_effectiveDateTime".into(), absent());
            }
        }
        Kind::Report => {
            body.entry("status").or_insert_with(|| "unknown".into());
            if !has(body, "effective") {
                body.insert("_effectiveDateTime".into(), absent());
            }
        }
        Kind::Procedure => {
            body.entry("status").or_insert_with(|| "unknown".into());
            if !has(body, "performed") {
                body.insert("_performedDateTime".into(), absent());
            }
        }
    }
}

/// Adds a clinical status, which FHIR requires of what is not in error (ait-1, con-3): what ended is resolved; of
/// what no source says it, it is unknown.
fn clinical_status(kind: Kind, body: &mut Map<String, Value>) {
    if kind == Kind::Allergy {
        let of = system::ALLERGY_CLINICAL;
        let is_absence = value::first_system(body.get("code")) == Some(system::ABSENT_OR_UNKNOWN);
        body.entry("clinicalStatus").or_insert_with(|| match is_absence {
            true => value::status(of, "active"),
            false => unknown(),
        });
        return;
    }
    let of = system::CONDITION_CLINICAL;
    let ended = body.keys().any(|name| value::choice(name) == Some("abatement"));
    let stated = value::first_code(body.get("clinicalStatus"));
    let is_over = matches!(stated, Some("inactive" | "resolved" | "remission"));
    let is_absence = value::first_system(body.get("code")) == Some(system::ABSENT_OR_UNKNOWN);
    let status = match stated {
        // FHIR R4, con-4: what abated is not active.
        _ if ended && !is_over => value::status(of, "resolved"),
        Some(_) => return,
        None if is_absence => value::status(of, "active"),
        None => unknown(),
    };
    body.insert("clinicalStatus".into(), status);
}

fn unknown() -> Value {
    json!({ "extension": [{ "url": DATA_ABSENT_URL, "valueCode": "unknown" }] })
}

/// Returns the words for how an entry stands.
pub(super) fn status_words(entry: &Entry) -> &str {
    let code = |field: &str| value::first_code(entry.body.get(field));
    if entry.absence().is_some() {
        return "";
    }
    match entry.kind {
        Kind::Allergy | Kind::Condition => match (code("verificationStatus"), code("clinicalStatus")) {
            (Some(stated @ ("refuted" | "unconfirmed" | "provisional" | "differential")), _) => stated,
            (_, stated) => stated.unwrap_or("unknown"),
        },
        _ => entry.body.get("status").and_then(Value::as_str).unwrap_or("unknown"),
    }
}

/// Returns when it was, or began.
pub(super) fn date(entry: &Entry) -> Option<String> {
    let of = match entry.kind {
        Kind::Allergy | Kind::Condition => "onset",
        Kind::Immunization => "occurrence",
        Kind::Procedure => "performed",
        Kind::Medication | Kind::Observation | Kind::Report => "effective",
    };
    let (_, when) = entry.body.iter().find(|(name, _)| value::choice(name) == Some(of))?;
    match when {
        Value::String(text) => Some(text.clone()),
        Value::Object(period) => {
            let bound = |name: &str| period.get(name).and_then(Value::as_str);
            Some(match (bound("start"), bound("end")) {
                (Some(start), Some(end)) => format!("{start} to {end}"),
                (Some(start), None) => start.to_owned(),
                (None, Some(end)) => format!("until {end}"),
                (None, None) => return None,
            })
        }
        _ => None,
    }
}

/// Returns what else a reader needs first: value, dose, reactions, severity.
pub(super) fn details(entry: &Entry) -> String {
    let mut parts: Vec<String> = vec![];
    let body = &entry.body;
    let concept = |field: &str| body.get(field).and_then(value::words).map(str::to_owned);
    if let Some((_, stated)) = body.iter().find(|(name, _)| value::choice(name) == Some("value")) {
        parts.extend(words(stated));
    }
    let list = |field: &str| body.get(field).and_then(Value::as_array).into_iter().flatten();
    parts.extend(list("interpretation").filter_map(|i| value::words(i).map(str::to_owned)));
    for component in list("component") {
        let name = component.get("code").and_then(value::words).unwrap_or_default();
        let fields = component.as_object().into_iter().flatten();
        let stated =
            fields.filter(|(name, _)| value::choice(name) == Some("value")).find_map(|(_, v)| words(v));
        parts.push(format!("{name} {}", stated.unwrap_or_default()));
    }
    parts.extend(list("dosage").filter_map(dose));
    for reaction in list("reaction") {
        let manifestations = reaction.get("manifestation").and_then(Value::as_array).into_iter().flatten();
        let mut shown: Vec<_> = manifestations.filter_map(value::words).collect();
        shown.extend(reaction.get("severity").and_then(Value::as_str));
        parts.push(shown.join(", "));
    }
    if let Some(criticality) = body.get("criticality").and_then(Value::as_str) {
        parts.push(format!("criticality {criticality}"));
    }
    parts.extend(concept("severity"));
    parts.extend(concept("statusReason"));
    parts.extend(body.get("conclusion").and_then(Value::as_str).map(str::to_owned));
    parts.extend(list("note").filter_map(|note| note.get("text")?.as_str().map(str::to_owned)));
    if entry.kind == Kind::Condition
        && let Some(end) = body.get("abatementDateTime").and_then(Value::as_str)
    {
        parts.push(format!("until {end}"));
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.join("; ")
}

/// Returns the words for a value of any type.
fn words(stated: &Value) -> Option<String> {
    let quantity = |stated: &Value| {
        let number = stated.get("value")?;
        let part = |name: &str| stated.get(name).and_then(Value::as_str).unwrap_or_default();
        let unit = if part("unit").is_empty() { part("code") } else { part("unit") };
        Some(format!("{}{number} {unit}", part("comparator")).trim_end().to_owned())
    };
    match stated {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(stated.to_string()),
        Value::Object(fields) => {
            value::words(stated).map(str::to_owned).or_else(|| quantity(stated)).or_else(|| {
                // A range, a ratio or a period: its two parts.
                let parts = ["low", "high", "numerator", "denominator", "start", "end"];
                let shown: Vec<_> = parts
                    .iter()
                    .filter_map(|name| fields.get(*name))
                    .filter_map(|part| quantity(part).or_else(|| part.as_str().map(str::to_owned)))
                    .collect();
                let between = if fields.contains_key("numerator") { " / " } else { " to " };
                (!shown.is_empty()).then(|| shown.join(between))
            })
        }
        _ => None,
    }
}

/// Returns the words for a dosage.
fn dose(dosage: &Value) -> Option<String> {
    if let Some(text) = dosage.get("text").and_then(Value::as_str) {
        return Some(text.to_owned());
    }
    let mut parts: Vec<String> = vec![];
    let amounts = dosage.get("doseAndRate").and_then(Value::as_array).into_iter().flatten();
    for amount in amounts.filter_map(Value::as_object).flatten() {
        parts.extend(value::choice(amount.0).and_then(|_| words(amount.1)));
    }
    let repeat = dosage.get("timing").and_then(|timing| timing.get("repeat"));
    let part = |name: &str| repeat.and_then(|repeat| repeat.get(name));
    if let (Some(period), Some(unit)) = (part("period"), part("periodUnit").and_then(Value::as_str)) {
        let times = part("frequency").map_or_else(String::new, |times| format!("{times} x "));
        parts.push(format!("{times}every {period} {unit}"));
    }
    parts.extend(dosage.get("route").and_then(value::words).map(str::to_owned));
    if let Some(needed) = dosage.get("asNeededCodeableConcept").and_then(value::words) {
        parts.push(format!("as needed for {needed}"));
    } else if dosage.get("asNeededBoolean") == Some(&Value::Bool(true)) {
        parts.push("as needed".into());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
