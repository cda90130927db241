//! Cases that a policy is tried on: who asks for what, and what must come of it.

use serde::Deserialize;
use signpost_common::id::{DocumentId, RecordRef, SessionId};
use toml::{Spanned, value::Datetime};

use super::{
    Problem, Reader,
    row::{EffectWord, Row},
};
use crate::domain::{
    self, DocumentFacts, Effect, Emergency, Explained, Layer, Matcher, Policy, Request, Requester, Rule,
    vocabulary::{self, REASONS, RELATIONSHIPS, ROLES},
};

/// Cases, read whole.
#[derive(Debug, Clone)]
pub struct Cases(Vec<Case>);

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the case.
    pub name: String,
    /// Where the expectation comes from, empty when it does not say.
    pub source: String,
    /// Whether it may be seen.
    pub effect: Effect,
    /// The rule that decided.
    pub rule_id: String,
    /// What differs from what was expected, in sentences; nothing when it came out so.
    pub differences: Vec<String>,
    /// What each rule contributed.
    pub explained: Vec<Explained>,
}

#[derive(Debug, Clone)]
struct Case {
    name: String,
    source: String,
    request: Request,
    document: DocumentFacts,
    directives: Vec<Rule>,
    effect: Effect,
    rule_id: Option<String>,
    obligations: Option<Vec<String>>,
    emergency_could_permit: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Own labels, for directives that use them.
    #[serde(default)]
    labels: Vec<Spanned<String>>,
    case: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: Spanned<String>,
    #[serde(default)]
    source: String,
    requester: Spanned<String>,
    role: Spanned<String>,
    purpose: Spanned<String>,
    #[serde(default)]
    relationships: Vec<Spanned<String>>,
    emergency: Option<Spanned<String>>,
    at: Option<Spanned<Datetime>>,
    document: Facts,
    #[serde(default)]
    directives: Vec<Spanned<Row>>,
    expect: EffectWord,
    rule: Option<String>,
    obligations: Option<Vec<String>>,
    emergency_could_permit: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Facts {
    custodian: Spanned<String>,
    id: Option<Spanned<String>>,
    #[serde(default)]
    replaces: Vec<Spanned<String>>,
    author: Option<String>,
    r#type: Option<String>,
    category: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    service_start: Option<Spanned<Datetime>>,
}

impl Cases {
    /// Reads cases; those that state no moment happen at `now_us`, microseconds since 1970.
    ///
    /// # Errors
    /// With everything that is wrong, in the order of lines.
    pub fn parse(text: &str, now_us: i64) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text, "`signpost policy template --cases` shows how cases are written");
        let file: File = reader.toml(text)?;
        reader.own_labels(&file.labels);
        if file.case.is_empty() {
            reader.problem(0..0, "there is no case; add one under [[case]]");
        }
        let cases = file.case.iter().filter_map(|entry| reader.case(entry.get_ref(), now_us)).collect();
        reader.end(Self(cases))
    }

    /// Tries a policy on every case.
    pub fn run(&self, policy: &Policy) -> Vec<Outcome> {
        self.0.iter().map(|case| case.run(policy)).collect()
    }
}

impl Reader<'_> {
    fn case(&mut self, entry: &Entry, now_us: i64) -> Option<Case> {
        self.unique("the case", entry.name.get_ref(), &entry.name);
        let names = ROLES.map(|(name, _)| name);
        let role = self.word("role", &entry.role, &names, |text| vocabulary::named(&ROLES, text));
        let known = vocabulary::PURPOSES.map(|(hl7, ..)| hl7);
        let purpose = self.word("purpose of use", &entry.purpose, &known, |text| {
            known.contains(&text).then(|| vocabulary::purposes(text)).and_then(|found| found.first().copied())
        });
        let names = RELATIONSHIPS.map(|(name, _)| name);
        let relationships = entry.relationships.iter();
        let relationships = relationships
            .filter_map(|word| {
                self.word("relationship", word, &names, |text| vocabulary::named(&RELATIONSHIPS, text))
            })
            .collect();
        let names = REASONS.map(|(name, _)| name);
        let reason = entry.emergency.as_ref().map(|word| {
            self.word("reason for emergency access", word, &names, |text| vocabulary::named(&REASONS, text))
        });
        let now_us = entry.at.as_ref().and_then(|at| self.time(at)).unwrap_or(now_us);
        let member_id = self.member(&entry.requester);
        let document = self.facts(&entry.document);
        let directives = entry.directives.iter().map(|row| self.directive(row)).collect();
        Some(Case {
            name: entry.name.get_ref().clone(),
            source: entry.source.clone(),
            request: Request {
                requester: Requester { member_id: member_id?, role: role?, purpose: purpose?, relationships },
                now_us,
                emergency: match reason {
                    None => Emergency::None,
                    Some(reason) => Emergency::Open(SessionId::generate(), reason?),
                },
                scope: Matcher::default(),
            },
            document: document?,
            directives,
            effect: entry.expect.into(),
            rule_id: entry.rule.clone(),
            obligations: entry.obligations.clone(),
            emergency_could_permit: entry.emergency_could_permit,
        })
    }

    fn facts(&mut self, from: &Facts) -> Option<DocumentFacts> {
        let id = from.id.as_ref().map(|word| self.document(word));
        Some(DocumentFacts {
            id: id.unwrap_or_else(|| Some(DocumentId::generate()))?,
            replaced: from.replaces.iter().map(|word| self.document(word)).collect::<Option<_>>()?,
            custodian: self.member(&from.custodian)?,
            author: from.author.clone(),
            type_code: from.r#type.clone(),
            class_code: from.category.clone(),
            labels: from.labels.iter().map(|label| label.to_uppercase()).collect(),
            service_start_us: from.service_start.as_ref().and_then(|time| self.time(time)),
        })
    }

    /// Reads a directive; all of a case are on one record of the patient.
    fn directive(&mut self, row: &Spanned<Row>) -> Rule {
        let rule = row.get_ref().read(self, Layer::Patient, row.span());
        let record = "case".parse().ok().and_then(|member| RecordRef::new(member, "patient").ok());
        Rule { record, ..rule }
    }
}

impl Case {
    fn run(&self, policy: &Policy) -> Outcome {
        let (decision, explained) = domain::explain(policy, &self.directives, &self.request, &self.document);
        let rule_id = decision.rule_ids.into_iter().next().unwrap_or_default();
        let mut differences = vec![];
        if decision.effect != self.effect {
            differences.push(format!("expected to {}, it {}", verb(self.effect), says(decision.effect)));
        }
        if let Some(expected) = self.rule_id.as_ref().filter(|expected| **expected != rule_id) {
            differences.push(format!("expected {expected} to decide, {rule_id} does"));
        }
        let kinds: Vec<String> = decision.obligations.iter().map(|duty| duty.kind().to_owned()).collect();
        if let Some(expected) = self.obligations.as_ref().filter(|expected| **expected != kinds) {
            differences.push(format!("expected the obligations {expected:?}, they are {kinds:?}"));
        }
        let could = decision.emergency_could_permit;
        if self.emergency_could_permit.is_some_and(|expected| expected != could) {
            let says = if could { "could" } else { "could not" };
            differences.push(format!("an emergency {says} permit it, against what was expected"));
        }
        let (name, source) = (self.name.clone(), self.source.clone());
        Outcome { name, source, effect: decision.effect, rule_id, differences, explained }
    }
}

fn verb(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
    }
}

fn says(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permits",
        Effect::Deny => "denies",
    }
}
