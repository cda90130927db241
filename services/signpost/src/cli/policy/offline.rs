//! What needs no server: templates, checks, plain English, cases.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use signpost_common::clock::{Clock, SystemClock};
use signpost_consent::{
    document::{CASES, Cases, Document, Outcome, TEMPLATES, told},
    domain::{Effect, Layer, Rule},
};

use super::file::{self, Named};
use crate::cli::{counted, table};

/// Longest line of plain English.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct Template {
    /// Template to print; without it all are listed
    name: Option<String>,
    /// Print cases to try `opt-out` on, as an example for `signpost policy test`
    #[arg(long, conflicts_with = "name")]
    cases: bool,
}

impl Template {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match &self.name {
            _ if self.cases => print!("{CASES}"),
            Some(name) => print!("{}", file::template(name)?),
            None => {
                let mut rows = table(&["template", "what it is for"]);
                for (name, text) in TEMPLATES {
                    let summary = Document::parse(text).map(|document| document.summary);
                    rows.add_row([name.to_owned(), summary.unwrap_or_default()]);
                }
                println!("{rows}");
                println!("\n`signpost policy template NAME >policy.toml` begins a policy of your own");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// File with a policy (TOML)
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Some(policy) = file::local(&Named::File(self.file.clone()))? else {
            return Ok(ExitCode::FAILURE);
        };
        let Document { name, .. } = &policy.document;
        let count = |layer| {
            let rules = of(&policy.document, layer).count();
            counted(u32::try_from(rules).unwrap_or(u32::MAX), "rule", "rules")
        };
        let (law, network) = (count(Layer::Statutory), count(Layer::Network));
        println!(
            "{}: the policy {name} is good: {law} of law, {network} of the network",
            self.file.display()
        );
        if policy.document.rules().is_empty() {
            println!("without rules everything is denied, unless the patient permits it");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn of(document: &Document, layer: Layer) -> impl Iterator<Item = &Rule> {
    document.rules().iter().filter(move |rule| rule.layer == layer)
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// File with a policy (TOML), or the name of a template
    file: Named,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Some(policy) = file::local(&self.file)? else { return Ok(ExitCode::FAILURE) };
        let document = &policy.document;
        println!("{}", wrapped(&format!("{}: {}", document.name, document.summary), 0));
        show_layer(
            document,
            Layer::Statutory,
            "First comes law. It denies, and neither patient nor network goes past it:",
        );
        println!("\nThen comes what the patient said. It is not a part of this document.");
        show_layer(
            document,
            Layer::Network,
            "Where the patient said nothing, the network's rules decide, a denial before a permit:",
        );
        println!(
            "\nWhat nobody permits is denied, and so is a document with a label that is not known here."
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn show_layer(document: &Document, layer: Layer, title: &str) {
    println!("\n{title}");
    let mut rules = of(document, layer).peekable();
    if rules.peek().is_none() {
        println!("\n  (no rule)");
    }
    for rule in rules {
        println!("\n  {}\n{}", rule.id, wrapped(&told(rule), 4));
    }
}

/// Breaks a text into lines that begin with so many spaces.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{}{word}", " ".repeat(indent))),
        }
    }
    lines.join("\n")
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// File with a policy (TOML), or the name of a template
    file: Named,
    /// File with cases (TOML); `signpost policy template --cases` prints an example
    #[arg(long, value_name = "FILE")]
    cases: PathBuf,
    /// Explain every case rule by rule
    #[arg(long)]
    why: bool,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let policy = file::local(&self.file)?;
        let now_us = SystemClock.now().as_microsecond();
        let cases = file::text(&self.cases)?;
        let cases =
            cases.and_then(|text| file::good(&self.cases.display().to_string(), Cases::parse(&text, now_us)));
        let (Some(policy), Some(cases)) = (policy, cases) else { return Ok(ExitCode::FAILURE) };
        let outcomes = cases.run(&policy.document.policy(&policy.document.name));
        show_outcomes(&outcomes);
        if self.why {
            outcomes.iter().for_each(show_why);
            println!("\n* decided");
        }
        let differing: Vec<_> = outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).collect();
        for outcome in &differing {
            let source = match outcome.source.as_str() {
                "" => String::new(),
                source => format!(" ({source})"),
            };
            println!("\n{}{source}", outcome.name);
            outcome.differences.iter().for_each(|difference| println!("    {difference}"));
        }
        let all = u32::try_from(outcomes.len()).context("too many cases")?;
        let cases = counted(all, "case", "cases");
        if differing.is_empty() {
            println!("\n{cases}, as expected");
            return Ok(ExitCode::SUCCESS);
        }
        let hint = if self.why { "" } else { "; --why explains each" };
        println!("\n{} of {cases} came out otherwise{hint}", differing.len());
        Ok(ExitCode::FAILURE)
    }
}

fn show_outcomes(outcomes: &[Outcome]) {
    let mut rows = table(&["case", "outcome", "decided by", "as expected"]);
    for outcome in outcomes {
        let expected = if outcome.differences.is_empty() { "yes" } else { "no" };
        rows.add_row([&outcome.name, effect(outcome.effect), &outcome.rule_id, expected]);
    }
    println!("{rows}");
}

fn show_why(outcome: &Outcome) {
    println!("\n{}: {}", outcome.name, effect(outcome.effect));
    let mut rows = table(&["", "rule", "what it contributed"]);
    for rule in &outcome.explained {
        let mark = if rule.decided { "*" } else { "" };
        rows.add_row([mark, &rule.rule_id, &rule.sentence]);
    }
    println!("{rows}");
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_broken_into_lines() {
        let text = "word ".repeat(60);
        let lines = wrapped(&text, 4);
        assert!(lines.lines().all(|line| line.starts_with("    w") && line.len() <= WIDTH));
        assert_eq!(lines.split_whitespace().count(), 60);
        assert_eq!(wrapped("", 4), "");
    }
}
