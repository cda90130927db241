//! What a policy would change of what was decided.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use jiff::Span;
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
    span::{since, span},
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

/// Longest time for a simulation: some hundred thousand questions take minutes.
const TIMEOUT: Duration = Duration::from_secs(600);

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
        let mut request = desk.request(request)?;
        request.set_timeout(TIMEOUT);
        let answer = desk.policies().simulate_policy(request).await;
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
