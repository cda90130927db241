//! Which facts are about the same item, and finding them without comparing all with all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::{ALIKE_MAX, fact::Kind, text, value};

fn codings(concept: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let codings = concept.and_then(|concept| concept.get("coding")?.as_array()).into_iter().flatten();
    codings.filter_map(|coding| {
        let system = coding.get("system").and_then(Value::as_str).unwrap_or_default();
        Some((system, coding.get("code")?.as_str()?))
    })
}

/// The texts of a concept, as they compare.
fn words(concept: Option<&Value>) -> BTreeSet<String> {
    let Some(concept) = concept else { return BTreeSet::new() };
    let codings = concept.get("coding").and_then(Value::as_array).into_iter().flatten();
    let displays = codings.filter_map(|coding| coding.get("display")?.as_str());
    displays.chain(concept.get("text").and_then(Value::as_str)).map(text::comparable).collect()
}

/// Returns the codes and names by which a concept is found.
fn names(concept: Option<&Value>) -> BTreeSet<String> {
    let mut found: BTreeSet<_> = codings(concept).map(|(system, code)| format!("{system}|{code}")).collect();
    found.extend(words(concept));
    found
}

/// True when two concepts say the same: they share a code, and no system in which both have one tells them apart; or
/// one of them has no code, and they share a name.
pub(crate) fn same_code(a: Option<&Value>, b: Option<&Value>) -> bool {
    let (a_codes, b_codes): (Vec<_>, Vec<_>) = (codings(a).collect(), codings(b).collect());
    if a_codes.is_empty() || b_codes.is_empty() {
        if a.is_some() && a == b {
            return true;
        }
        return !words(a).is_disjoint(&words(b));
    }
    let shared: BTreeSet<_> =
        a_codes.iter().filter(|code| b_codes.contains(code)).map(|(system, _)| *system).collect();
    let differs = a_codes
        .iter()
        .any(|(system, _)| !shared.contains(system) && b_codes.iter().any(|(other, _)| other == system));
    !shared.is_empty() && !differs
}

/// Entries by kind, code or name, and day, for kinds that are about one day.
#[derive(Default)]
pub(crate) struct Index {
    places: BTreeMap<(Kind, String, Day), Vec<usize>>,
}

/// A day, or one of those that stand for several.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    /// Every entry, whatever its day.
    Any,
    /// Entries that have no day, or not only one.
    None,
    On(String),
}

/// Returns the days on which something was, as its source and as Greenwich count them; empty without a day.
fn days(kind: Kind, body: &Map<String, Value>) -> BTreeSet<Day> {
    let name = match kind {
        Kind::Observation | Kind::Report => "effectiveDateTime",
        Kind::Immunization => "occurrenceDateTime",
        Kind::Procedure => "performedDateTime",
        Kind::Medication | Kind::Allergy | Kind::Condition => return BTreeSet::new(),
    };
    let Some(at) = body.get(name).and_then(Value::as_str) else { return BTreeSet::new() };
    let utc = at.parse::<Timestamp>().ok().map(|at| at.to_zoned(TimeZone::UTC).date().to_string());
    let own = at.get(..10).map(str::to_owned);
    own.into_iter().chain(utc).map(Day::On).collect()
}

impl Index {
    /// Adds an entry.
    pub(crate) fn add(&mut self, kind: Kind, body: &Map<String, Value>, place: usize) {
        let mut days = days(kind, body);
        if days.is_empty() {
            days.insert(Day::None);
        }
        days.insert(Day::Any);
        for name in names(body.get(kind.code_field())) {
            for day in &days {
                let places = self.places.entry((kind, name.clone(), day.clone())).or_default();
                if places.last() != Some(&place) && !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }

    /// Returns the entries that may be about the same item at the same time; `None` when there are more than
    /// [`ALIKE_MAX`] of one name.
    pub(crate) fn candidates(&self, kind: Kind, body: &Map<String, Value>) -> Option<BTreeSet<usize>> {
        let mut days = days(kind, body);
        days.insert(if days.is_empty() { Day::Any } else { Day::None });
        let mut found = BTreeSet::new();
        for name in names(body.get(kind.code_field())) {
            for day in &days {
                let places =
                    self.places.get(&(kind, name.clone(), day.clone())).map_or(&[][..], Vec::as_slice);
                if places.len() > ALIKE_MAX {
                    return None;
                }
                found.extend(places);
            }
        }
        Some(found)
    }
}

/// Puts the codes of one concept to those of another. The text stays that of the first.
pub(crate) fn union_of_codes(a: &Value, b: &Value) -> Value {
    let all = |concept: &Value| concept.get("coding").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut codings = all(a);
    for coding in all(b) {
        let is_there = |other: &Value| {
            other.get("system") == coding.get("system") && other.get("code") == coding.get("code")
        };
        if !codings.iter().any(is_there) {
            codings.push(coding);
        }
    }
    let text = a.get("text").or_else(|| b.get("text")).and_then(Value::as_str).map(str::to_owned);
    value::concept_of(codings, text).unwrap_or_else(|| a.clone())
}
