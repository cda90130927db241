//! Puts together what is stated more than once.
//!
//! Two facts are one entry when they are of the same kind, have the same code, and nothing in which both say something
//! differs; a date may be less precise in one than in the other. What differs stays apart: `conflict` looks at it.
//! A fact that agrees with two entries that differ from each other could belong to either, and stays apart, too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    alike::{Index, same_code, union_of_codes},
    fact::{Fact, Kind, absence_stated, is_no_information},
    read::Source,
    report::ConflictKind,
    section::Section,
    time, value,
};

/// An entry of the summary: one fact, or several that say the same.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) body: Map<String, Value>,
    /// Positions of the sources that state it.
    pub(crate) sources: BTreeSet<usize>,
    /// How many facts it stands for.
    pub(crate) statements: usize,
    /// Positions of the entries that belong to it.
    pub(crate) members: BTreeSet<usize>,
    /// What contradicts it: positions of entries, each with in what.
    pub(crate) rivals: BTreeSet<(usize, ConflictKind)>,
}

impl Entry {
    /// Makes an entry that no source states.
    pub(crate) fn alone(fact: Fact) -> Self {
        let (sources, members, rivals) = <_>::default();
        Self { kind: fact.kind, body: fact.body, sources, statements: 0, members, rivals }
    }

    pub(crate) fn section(&self) -> Section {
        self.kind.section()
    }

    pub(crate) fn code(&self) -> Option<&Value> {
        self.body.get(self.kind.code_field())
    }

    /// The code of IPS for the absence that it states.
    pub(crate) fn absence(&self) -> Option<&'static str> {
        absence_stated(self.section(), self.code()?)
    }
}

/// A fact with the place it comes from and the text by which it is sorted.
struct Found<'a> {
    fact: &'a Fact,
    text: String,
    source: usize,
}

/// Merges the facts of all sources into entries, in an order that depends on what they say alone.
pub(crate) fn merge(sources: &[Source<'_>]) -> Vec<Entry> {
    let mut found: Vec<Found<'_>> = vec![];
    for (source, read) in sources.iter().enumerate() {
        for fact in &read.read.facts {
            found.push(Found { fact, text: sorted_text(fact), source });
        }
    }
    // What says more comes first, so that what says less finds it.
    found.sort_by(|a, b| {
        let kind = a.fact.kind.cmp(&b.fact.kind);
        let more = b.fact.body.len().cmp(&a.fact.body.len()).then(b.text.len().cmp(&a.text.len()));
        kind.then(more).then_with(|| a.text.cmp(&b.text)).then(a.source.cmp(&b.source))
    });
    let mut merger = Merger::default();
    let mut places = BTreeMap::new();
    for found in &found {
        let place = merger.put(found);
        places.insert((found.source, found.fact.number), place);
    }
    let mut entries = merger.entries;
    for found in &found {
        let Some(&place) = places.get(&(found.source, found.fact.number)) else { continue };
        for member in &found.fact.members {
            if let Some(&member) = places.get(&(found.source, *member))
                && member != place
            {
                entries[place].members.insert(member);
            }
        }
    }
    entries
}

/// Returns a text that two facts share when they state the same, whatever their identifiers.
fn sorted_text(fact: &Fact) -> String {
    let mut body = fact.body.clone();
    body.remove("identifier");
    value::canonical_body(&body)
}

#[derive(Default)]
struct Merger {
    entries: Vec<Entry>,
    index: Index,
    /// Entries by the texts of the facts in them.
    exact: BTreeMap<(Kind, String), usize>,
}

impl Merger {
    /// Puts a fact into the one entry that it agrees with, or into one of its own. Returns its position.
    fn put(&mut self, found: &Found<'_>) -> usize {
        let fact = found.fact;
        let key = (fact.kind, found.text.clone());
        let place = match self.exact.get(&key) {
            Some(place) => Some(*place),
            None => self.only_agreeing(fact),
        };
        let place = match place {
            Some(place) => {
                let entry = &mut self.entries[place];
                if let Some(body) = combine(fact.kind, &entry.body, &fact.body) {
                    entry.body = body;
                }
                entry.sources.insert(found.source);
                entry.statements += 1;
                place
            }
            None => {
                let sources = BTreeSet::from([found.source]);
                self.entries.push(Entry { sources, statements: 1, ..Entry::alone(fact.clone()) });
                self.entries.len() - 1
            }
        };
        self.exact.insert(key, place);
        self.index.add(fact.kind, &fact.body, place);
        place
    }

    /// Returns the entry that a fact agrees with, if it is the only one. Among too many it is not looked for.
    fn only_agreeing(&self, fact: &Fact) -> Option<usize> {
        let candidates = self.index.candidates(fact.kind, &fact.body)?;
        let mut agreeing = candidates.into_iter().filter(|place| {
            let entry = &self.entries[*place];
            same_code(entry.code(), fact.code()) && agree(fact.kind, &entry.body, &fact.body)
        });
        let only = agreeing.next()?;
        agreeing.next().is_none().then_some(only)
    }
}

/// What becomes of an element when two facts are put together.
enum Rule {
    /// It says nothing of what is stated; what either says is kept.
    Union,
    /// When it was written down. The earlier one is kept.
    Earliest,
    /// It must be the same, as far as both say it.
    Same,
}

fn rule(name: &str) -> Rule {
    match name {
        "identifier" | "category" | "note" | "reaction" | "reasonCode" => Rule::Union,
        "recordedDate" | "recorded" | "dateAsserted" | "issued" => Rule::Earliest,
        _ => Rule::Same,
    }
}

/// True when nothing in which both say something differs.
fn agree(kind: Kind, a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    differing(kind, a, b).next().is_none()
}

/// Returns the elements in which two facts with the same code differ.
pub(crate) fn differing<'a>(
    kind: Kind,
    a: &'a Map<String, Value>,
    b: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a str> {
    b.iter().filter_map(move |(name, other)| {
        if name == kind.code_field() || !matches!(rule(name), Rule::Same) {
            return None;
        }
        let same = match a.get(name) {
            Some(one) => same_value(one, other).is_some(),
            // Another type of the same choice says something else.
            None => {
                let of = value::choice(name);
                of.is_none() || !a.keys().any(|name| value::choice(name) == of)
            }
        };
        (!same).then_some(name.as_str())
    })
}

/// Puts two values together; `None` when they differ.
fn same_value(a: &Value, b: &Value) -> Option<Value> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (Value::String(one), Value::String(other)) => {
            let is_time = time::fhir(one).is_some() && time::fhir(other).is_some();
            (is_time && time::agree(one, other)).then(|| if one.len() >= other.len() { a } else { b }.clone())
        }
        (Value::Object(one), Value::Object(other)) => {
            if one.contains_key("coding") || one.contains_key("text") {
                return same_code(Some(a), Some(b)).then(|| union_of_codes(a, b));
            }
            let is_period = one.keys().chain(other.keys()).all(|name| name == "start" || name == "end");
            is_period.then(|| period(one, other)).flatten()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let items: Option<Vec<_>> = one.iter().zip(other).map(|(a, b)| same_value(a, b)).collect();
            items.map(Value::from)
        }
        _ => None,
    }
}

fn period(a: &Map<String, Value>, b: &Map<String, Value>) -> Option<Value> {
    let mut both = a.clone();
    for (name, bound) in b {
        let bound = match a.get(name) {
            Some(stated) => same_value(stated, bound)?,
            None => bound.clone(),
        };
        both.insert(name.clone(), bound);
    }
    Some(both.into())
}

/// Puts two facts together that agree.
fn combine(kind: Kind, a: &Map<String, Value>, b: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut both = a.clone();
    for (name, other) in b {
        let Some(one) = a.get(name) else {
            both.insert(name.clone(), other.clone());
            continue;
        };
        let value = if name == kind.code_field() {
            union_of_codes(one, other)
        } else {
            match rule(name) {
                Rule::Union => union(one, other),
                Rule::Earliest => {
                    let earlier = one.as_str().zip(other.as_str()).is_some_and(|(a, b)| time::before(b, a));
                    if earlier { other.clone() } else { one.clone() }
                }
                Rule::Same => same_value(one, other)?,
            }
        };
        both.insert(name.clone(), value);
    }
    Some(both)
}

fn union(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Array(one), Value::Array(other)) => {
            let mut both = one.clone();
            both.extend(other.iter().filter(|item| !one.contains(item)).cloned());
            both.into()
        }
        _ => a.clone(),
    }
}

/// True for an entry that says nothing once anything is known in its section.
pub(crate) fn is_no_news(entry: &Entry) -> bool {
    entry.absence().is_some_and(is_no_information)
}
