//! What a policy would change of what was decided.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::Serialize;
use signpost_common::clock::{self, Clock, SystemClock};
use signpost_people::output;
use signpost_proto::{
    common::v1::PurposeOfUse,
    consent::v1::{
        Effect, PolicyFlip, SimulatePolicyRequest, SimulatePolicyResponse, simulate_policy_request::Policy,
    },
};

use super::{
    file::{self, Named},
    refused,
};
use crate::cli::{
    steward::{Staff, code, shown_time},
    table,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Simulate {
    #[command(flatten)]
    staff: Staff,
    /// File with a policy (TOML), which is not stored; NAME@NUMBER; or the name of a template
    policy: Named,
    /// Replay decisions of this time until now, for instance 12h, 30d or 2w
    #[arg(long, default_value = "30d", value_name = "SPAN", value_parser = span)]
    last: Span,
    /// Most decisions to list, of the latest 1000 that would differ
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Write what would differ to this file as JSON; `-` prints it in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Reads a span of time that has passed.
fn span(text: &str) -> Result<Span, String> {
    let span = text.parse::<Span>().ok().filter(|span| span.signum() == 1);
    // Every moment that is told is in the calendar.
    let span = span.filter(|span| since(Timestamp::UNIX_EPOCH, span).is_ok());
    span.ok_or_else(|| "must be a span of time, as 12h, 30d or 2w".to_owned())
}

fn since(now: Timestamp, span: &Span) -> Result<Timestamp, jiff::Error> {
    Ok(now.to_zoned(TimeZone::UTC).checked_sub(*span)?.timestamp())
}

impl Simulate {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let json = self.json.as_deref();
        let prints_json = json.is_some_and(|path| path.as_os_str() == "-");
        let file = json.filter(|_| !prints_json);
        output::check(&[], &file.map(|path| ("--json", path)).into_iter().collect::<Vec<_>>())?;
        let policy = match &self.policy {
            Named::Version(version) => Policy::Version(version.clone()),
            named => {
                let Some(policy) = file::local(named)? else { return Ok(ExitCode::FAILURE) };
                Policy::Source(policy.text)
            }
        };
        let since = since(SystemClock.now(), &self.last).context("--last")?;
        let desk = self.staff.operator()?;
        let request = SimulatePolicyRequest { policy: Some(policy), since: Some(clock::to_proto(since)) };
        let answer = desk.policies().simulate_policy(desk.request(request)?).await;
        let simulated = answer.map_err(|e| refused(&e))?.into_inner();
        if json.is_some() {
            write_json(&simulated, file)?;
        }
        if !prints_json {
            self.show(&simulated);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, simulated: &SimulatePolicyResponse) {
        let SimulatePolicyResponse { replayed, flips, differing } = simulated;
        let decisions = if *replayed == 1 { "decision" } else { "decisions" };
        println!("{replayed} {decisions} replayed, {differing} would differ");
        if flips.is_empty() {
            return;
        }
        let flips = &flips[..flips.len().min(self.limit as usize)];
        println!("\n{}", shown(flips));
        if (flips.len() as u64) < *differing {
            println!("\nthe latest {} of {differing} are shown; --limit N shows up to 1000", flips.len());
        }
    }
}

fn shown(flips: &[PolicyFlip]) -> comfy_table::Table {
    let mut rows = table(&[
        "when",
        "decision",
        "document",
        "member",
        "purpose",
        "before -> after",
        "rule before -> after",
    ]);
    for flip in flips {
        rows.add_row([
            shown_time(flip.decided_at.as_ref()),
            flip.decision_id.clone(),
            flip.document_id.clone(),
            flip.member_id.clone(),
            purpose(flip.purpose()),
            format!("{} -> {}", effect(flip.before()), effect(flip.after())),
            format!("{} -> {}", flip.rule_before, flip.rule_after),
        ]);
    }
    rows
}

/// Writes an effect as policies do.
pub(super) fn effect(effect: Effect) -> String {
    code(effect.as_str_name(), "EFFECT_")
}

fn purpose(purpose: PurposeOfUse) -> String {
    purpose.as_str_name().trim_start_matches("PURPOSE_OF_USE_").to_owned()
}

#[derive(Serialize)]
struct Simulated<'a> {
    replayed: u64,
    differing: u64,
    flips: Vec<Flip<'a>>,
}

#[derive(Serialize)]
struct Flip<'a> {
    decided_at: Option<String>,
    decision_id: &'a str,
    document_id: &'a str,
    member_id: &'a str,
    purpose: String,
    before: String,
    after: String,
    rule_before: &'a str,
    rule_after: &'a str,
}

impl<'a> From<&'a PolicyFlip> for Flip<'a> {
    fn from(flip: &'a PolicyFlip) -> Self {
        Self {
            decided_at: flip.decided_at.as_ref().and_then(clock::from_proto).map(|at| at.to_string()),
            decision_id: &flip.decision_id,
            document_id: &flip.document_id,
            member_id: &flip.member_id,
            purpose: purpose(flip.purpose()),
            before: effect(flip.before()),
            after: effect(flip.after()),
            rule_before: &flip.rule_before,
            rule_after: &flip.rule_after,
        }
    }
}

fn write_json(simulated: &SimulatePolicyResponse, file: Option<&Path>) -> anyhow::Result<()> {
    let SimulatePolicyResponse { replayed, flips, differing } = simulated;
    let flips = flips.iter().map(Into::into).collect();
    let text =
        serde_json::to_string_pretty(&Simulated { replayed: *replayed, differing: *differing, flips })?
            + "\n";
    match file {
        Some(path) => output::write(path, &text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("12h", "2026-03-31T00:00:00Z"),
            ("30d", "2026-03-01T12:00:00Z"),
            ("2w", "2026-03-17T12:00:00Z"),
            ("1 month", "2026-02-28T12:00:00Z"),
            ("1d 12h", "2026-03-30T00:00:00Z"),
        ] {
            assert_eq!(since(now, &span(text).unwrap()).unwrap().to_string(), expected, "{text}");
        }
        for text in ["tomorrow", "", "30", "-30d", "30d ago", "0d", "19000y"] {
            assert!(span(text).unwrap_err().contains("30d"), "{text}");
        }
    }
}
