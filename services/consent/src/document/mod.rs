//! A policy as people write it: TOML with named rules, read whole or refused with every line that is wrong.
//!
//! ```toml
//! name = "example"
//!
//! [[network]]
//! name = "treatment"
//! effect = "permit"
//! match = { purposes = ["TREAT", "ETREAT"] }
//! ```

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use crate::domain::{Effect, Layer, Policy, Rule, vocabulary::LABELS};

pub mod cases;
mod changed;
mod default;
mod row;
mod told;

pub use cases::{Cases, Outcome};
pub use changed::{Change, Changes, changes};
pub use default::NetworkDefault;
use row::Row;
pub use told::told;

/// Most rules of a policy.
const RULES_MAX: usize = 200;

/// Most characters of a policy.
const CHARS_MAX: usize = 256 << 10;

/// Most labels of an operator's own.
const LABELS_MAX: usize = 64;

/// Something that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong and what to do.
    pub message: String,
}

/// A policy that was read, without a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Name, such as `opt-out`.
    pub name: String,
    /// What it is for, in a sentence.
    pub summary: String,
    rules: Vec<Rule>,
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    labels: Vec<Spanned<String>>,
    #[serde(default)]
    statutory: Vec<Spanned<Row>>,
    #[serde(default)]
    network: Vec<Spanned<Row>>,
}

impl Document {
    /// Reads a policy.
    ///
    /// # Errors
    /// With everything that is wrong, in the order of lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text, "`signpost policy template NAME` shows how a policy is written");
        if text.len() > CHARS_MAX {
            return Err(vec![Problem {
                line: 1,
                message: format!("a policy has at most {CHARS_MAX} bytes"),
            }]);
        }
        let file: File = reader.toml(text)?;
        reader.name("the policy", &file.name);
        reader.own_labels(&file.labels);
        let labels = reader.labels.clone();
        let rules = [(Layer::Statutory, &file.statutory), (Layer::Network, &file.network)]
            .into_iter()
            .flat_map(|(layer, rows)| rows.iter().map(move |row| (layer, row)))
            .map(|(layer, row)| rule(&mut reader, layer, row))
            .collect::<Vec<_>>();
        if rules.len() > RULES_MAX {
            reader.problem(file.name.span(), format!("a policy has at most {RULES_MAX} rules"));
        }
        reader.end(Self { name: file.name.into_inner(), summary: file.summary, rules, labels })
    }

    /// Returns its rules, in the order in which it has them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the policy under a version.
    pub fn policy(&self, version: &str) -> Policy {
        Policy::new(version.to_owned(), self.rules.clone(), self.labels.clone())
    }
}

fn rule(reader: &mut Reader<'_>, layer: Layer, spanned: &Spanned<Row>) -> Rule {
    let row = spanned.get_ref();
    let rule = row.read(reader, layer, spanned.span());
    reader.unique("the rule", &rule.id, row.name());
    if layer == Layer::Statutory {
        if rule.effect == Effect::Permit {
            reader.problem(
                spanned.span(),
                "a statutory rule denies; state what the law allows under `except`, or permit it under [[network]]",
            );
        }
        if rule.overridable {
            reader.problem(
                spanned.span(),
                "a statutory rule cannot be overridable; remove `overridable` and state the law's own emergency exception \
                 under `except`",
            );
        }
        if rule.source.is_empty() {
            reader.problem(spanned.span(), "a statutory rule names its law; add `source`");
        }
    } else if rule.overridable && rule.effect == Effect::Permit {
        reader.problem(spanned.span(), "only a denial can be overridden; remove `overridable`");
    }
    rule
}

/// Reads a document and gathers what is wrong with it.
pub(crate) struct Reader<'a> {
    text: &'a str,
    /// Where one sees how it is written.
    example: &'static str,
    problems: Vec<Problem>,
    /// Labels of the operator's own.
    labels: Vec<String>,
    /// Where each rule's name stands.
    rules: HashMap<String, Span>,
}

type Span = std::ops::Range<usize>;

impl<'a> Reader<'a> {
    fn new(text: &'a str, example: &'static str) -> Self {
        Self { text, example, problems: vec![], labels: vec![], rules: HashMap::new() }
    }

    fn toml<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, Vec<Problem>> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| self.line(span));
            let told = error
                .message()
                .trim()
                .replace("expected a sequence", "expected a list, as [\"one\", \"two\"]");
            let message = format!("{told}{}; {}", meant(&told), self.example);
            vec![Problem { line, message: message.replace('\n', " ") }]
        })
    }

    fn line(&self, span: Span) -> u32 {
        let before = self.text.get(..span.start).unwrap_or_default();
        before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1
    }

    fn problem(&mut self, span: Span, message: impl Into<String>) {
        let line = self.line(span);
        self.problems.push(Problem { line, message: message.into() });
    }

    fn end<T>(mut self, read: T) -> Result<T, Vec<Problem>> {
        self.problems.sort();
        self.problems.dedup();
        if self.problems.is_empty() { Ok(read) } else { Err(self.problems) }
    }

    /// Checks a name.
    fn name(&mut self, of: &str, name: &Spanned<String>) {
        let text = name.get_ref();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            self.problem(
                name.span(),
                format!("the name of {of} is 1 to 64 lower case letters, digits and hyphens, for instance \"night-shift\""),
            );
        }
    }

    fn unique(&mut self, of: &str, id: &str, name: &Spanned<String>) {
        if let Some(first) = self.rules.insert(id.to_owned(), name.span()) {
            let line = self.line(first);
            self.problem(
                name.span(),
                format!("{:?} is the name of {of} on line {line} too; choose another", name.get_ref()),
            );
        }
    }

    fn own_labels(&mut self, labels: &[Spanned<String>]) {
        for label in labels {
            let text = label.get_ref();
            let plain =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
            if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
                self.problem(
                    label.span(),
                    "a label is 1 to 64 upper case letters, digits, hyphens and underscores",
                );
            } else if LABELS.binary_search(&text.as_str()).is_ok() {
                self.problem(
                    label.span(),
                    format!("{text:?} is HL7's and known without being listed; remove it"),
                );
            } else {
                self.labels.push(text.clone());
            }
        }
        if let (Some(first), true) = (labels.first(), labels.len() > LABELS_MAX) {
            self.problem(first.span(), format!("a policy has at most {LABELS_MAX} labels of its own"));
        }
    }

    /// Reads a word from a list of those that are known, and says which was likely meant.
    fn word<T>(
        &mut self,
        what: &str,
        word: &Spanned<String>,
        known: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = word.get_ref().as_str();
        let value = read(text);
        if value.is_none() {
            let alike = |other: &&&str| strsim::jaro_winkler(&other.to_lowercase(), &text.to_lowercase());
            let nearest = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
            let advice = match nearest.filter(|nearest| alike(nearest) > 0.8) {
                Some(nearest) => format!("did you mean {nearest:?}?"),
                None => format!("it is one of {}", known.join(", ")),
            };
            self.problem(word.span(), format!("{text:?} is no {what}; {advice}"));
        }
        value
    }
}

/// Says which key or word was likely meant, when the parser lists those that it knows between backticks.
fn meant(told: &str) -> String {
    let mut quoted = told.split('`').skip(1).step_by(2);
    let is_unknown = told.starts_with("unknown ");
    let (Some(word), true) = (quoted.next(), is_unknown) else { return String::new() };
    let alike = |other: &&str| strsim::jaro_winkler(other, word);
    let nearest = quoted.max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let nearest = nearest.filter(|nearest| alike(nearest) > 0.8);
    nearest.map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

/// Policies that are shipped, by name.
pub const TEMPLATES: [(&str, &str); 7] = [
    ("opt-out", include_str!("../../../../deploy/policies/opt-out.toml")),
    ("opt-in", include_str!("../../../../deploy/policies/opt-in.toml")),
    ("hipaa-tpo", include_str!("../../../../deploy/policies/hipaa-tpo.toml")),
    ("part-2", include_str!("../../../../deploy/policies/part-2.toml")),
    ("psychotherapy-notes", include_str!("../../../../deploy/policies/psychotherapy-notes.toml")),
    ("minors", include_str!("../../../../deploy/policies/minors.toml")),
    ("eu-cross-border", include_str!("../../../../deploy/policies/eu-cross-border.toml")),
];

/// Cases to try `opt-out` on, as an example of how cases are written.
pub const CASES: &str = include_str!("../../../../deploy/policies/cases.toml");

#[cfg(test)]
mod tests;
