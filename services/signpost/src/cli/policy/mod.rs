//! The network's policy: write it, check it, read it in plain English, try it on cases and on what was decided, put it in
//! force, take it back.
//!
//! What is wrong with a file is told as `FILE:LINE: what is wrong and what to do`, each problem a line. A policy is named by
//! its file, by its version, `NAME@NUMBER`, or by the name of a template.

mod decision;
mod diff;
mod file;
mod offline;
mod online;
mod simulate;

use std::process::ExitCode;

use clap::Subcommand;
use signpost_common::rpc::status;
use tonic::Status;

use super::explain;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// List the policies that are shipped, or print one to begin with
    Template(offline::Template),
    /// Check a policy; every problem is told with its line
    Check(offline::Check),
    /// Tell every rule of a policy in plain English
    Explain(offline::Explain),
    /// Try a policy on cases, without a server
    ///
    /// Exit code 1 says that a case came out otherwise than it states.
    Test(offline::Test),
    /// List the rules that differ between two policies
    ///
    /// The exit code is that of diff(1): 0 when nothing differs, 1 when something does, 2 when they cannot be compared. Rules
    /// are compared by layer and name; their order and comments do not count. Each side is a file, NAME@NUMBER for a version
    /// that is stored, or the name of a template.
    Diff(diff::Diff),
    /// Replay past decisions under a policy, and list those that would differ; nothing changes
    Simulate(simulate::Simulate),
    /// Put a policy in force
    Activate(online::Activate),
    /// Put an earlier version in force again
    ///
    /// Without a version it goes back to the one before; done twice it is back where it began, so name the version, or the
    /// attempt by --request-id, when it is to be done again.
    Rollback(online::Rollback),
    /// Print the policy in force, or another version
    Show(online::Show),
    /// List versions, the latest first
    List(online::List),
    /// Explain a decision of the past, rule by rule; that you looked is recorded
    Decision(decision::Decision),
}

impl Policy {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Template(template) => template.run(),
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Test(test) => test.run(),
            Self::Diff(diff) => Ok(diff.run().await),
            Self::Simulate(simulate) => simulate.run().await,
            Self::Activate(activate) => activate.run().await,
            Self::Rollback(rollback) => rollback.run().await,
            Self::Show(show) => show.run().await,
            Self::List(list) => list.run().await,
            Self::Decision(decision) => decision.run().await,
        }
    }
}

/// Turns an error of a call into one that says what to do next.
fn refused(error: &Status) -> anyhow::Error {
    let next = match (status::reason(error).as_str(), status::field(error).as_str()) {
        ("POLICY_UNKNOWN", _) => "`signpost policy list` shows all versions",
        ("POLICY_FIRST", _) => "`signpost policy list` shows all versions; `activate` takes a template, too",
        ("DECISION_UNKNOWN", _) | ("INVALID_FIELD", "decision_id") => {
            "`signpost policy simulate` shows ids of decisions and their documents"
        }
        ("INVALID_FIELD", "document.document_id") => {
            "--document names one; `signpost policy simulate` shows ids of decisions and their documents"
        }
        ("ROLE_NOT_PERMITTED" | "MEMBER_UNKNOWN", _) => {
            "this is for the operator: --as takes the operator's id, and --role one of its roles"
        }
        _ => "",
    };
    match next {
        "" => explain(error),
        next => anyhow::anyhow!("{:#}; {next}", explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_what_to_do() {
        let text = |error: Status| format!("{:#}", refused(&error));
        assert!(
            text(status::not_found("POLICY_UNKNOWN", "no such version")).contains("signpost policy list")
        );
        assert!(text(status::invalid("document.document_id", "must be one")).contains("--document"));
        assert!(text(status::invalid("since", "must be a time")).ends_with("must be a time"));
    }
}
