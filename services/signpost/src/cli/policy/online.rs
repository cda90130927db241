//! Policies of a running exchange: put in force, taken back, shown, listed.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use signpost_common::rpc::page;
use signpost_proto::consent::v1::{
    ActivatePolicyRequest, DraftPolicyRequest, GetPolicyVersionRequest, ListPolicyVersionsRequest,
    PolicyVersion, RollbackPolicyRequest,
};

use super::{
    file::{self, Named},
    refused,
};
use crate::cli::{
    request_id,
    steward::{Desk, Staff, shown_time},
    table,
};

/// Returns a version with its document; that in force when none is named.
pub(super) async fn stored(desk: &Desk, version: &str) -> anyhow::Result<(PolicyVersion, String)> {
    let request = desk.request(GetPolicyVersionRequest { version: version.to_owned() })?;
    let answer = desk.policies().get_policy_version(request).await.map_err(|e| refused(&e))?.into_inner();
    Ok((answer.version.context("the answer holds no version")?, answer.source))
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Activate {
    #[command(flatten)]
    staff: Staff,
    /// File with a policy (TOML), which is checked and stored first; NAME@NUMBER; or the name of a template
    policy: Named,
}

impl Activate {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let version = match &self.policy {
            Named::Version(version) => version.clone(),
            named => {
                let Some(policy) = file::local(named)? else { return Ok(ExitCode::FAILURE) };
                self.draft(policy.text).await?
            }
        };
        let desk = self.staff.operator()?;
        let (before, _) = stored(&desk, "").await?;
        let request = ActivatePolicyRequest { version, request_id: request_id() };
        let answer = desk.policies().activate_policy(desk.request(request)?).await;
        let now =
            answer.map_err(|e| refused(&e))?.into_inner().version.context("the answer holds no version")?;
        show_switch(&before, &now);
        Ok(ExitCode::SUCCESS)
    }

    /// Stores a document and returns its version; that of the same document, when it is stored already.
    async fn draft(&self, source: String) -> anyhow::Result<String> {
        let desk = self.staff.operator()?;
        let request = desk.request(DraftPolicyRequest { source, request_id: request_id() })?;
        let answer = desk.policies().draft_policy(request).await.map_err(|e| refused(&e))?.into_inner();
        Ok(answer.version.context("the answer holds no version")?.version)
    }
}

fn show_switch(before: &PolicyVersion, now: &PolicyVersion) {
    if before.version == now.version {
        println!("{} was in force already; nothing changes", now.version);
    } else {
        println!("{} is in force; before it was {}", now.version, name(before));
    }
}

/// Names a version; one that nobody stored is that of the configuration.
fn name(version: &PolicyVersion) -> String {
    match version.drafted_at {
        Some(_) => version.version.clone(),
        None => format!("{} of `consent.network_default`", version.version),
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    staff: Staff,
    /// Version [default: the one that was in force before the present one]
    #[arg(default_value = "", hide_default_value = true)]
    version: String,
    /// Identifies the attempt: the same again changes nothing twice [default: a new one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl Rollback {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.operator()?;
        let (before, _) = stored(&desk, "").await?;
        let request_id = self.request_id.unwrap_or_else(request_id);
        let request = RollbackPolicyRequest { version: self.version, request_id };
        let answer = desk.policies().rollback_policy(desk.request(request)?).await;
        let now =
            answer.map_err(|e| refused(&e))?.into_inner().version.context("the answer holds no version")?;
        show_switch(&before, &now);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    staff: Staff,
    /// Version [default: the one in force]
    #[arg(default_value = "", hide_default_value = true)]
    version: String,
}

impl Show {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let (version, source) = stored(&self.staff.operator()?, &self.version).await?;
        println!("# {}", heading(&version));
        print!("{source}");
        if !source.ends_with('\n') {
            println!();
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says in a line which version it is and what became of it.
fn heading(version: &PolicyVersion) -> String {
    let by = |what: &str, at: Option<&prost_types::Timestamp>, who: &str| {
        at.map(|at| format!("{what} {} by {who}", shown_time(Some(at))))
    };
    let drafted = match version.drafted_at.as_ref() {
        None => Some("shipped".to_owned()),
        at => by("drafted", at, &version.drafted_by),
    };
    let activated = by("activated", version.activated_at.as_ref(), &version.activated_by);
    let in_force = if version.active { "in force" } else { "not in force" };
    let said = [Some(version.version.clone()), Some(in_force.to_owned()), drafted, activated];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    staff: Staff,
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.operator()?;
        let (mut versions, mut page_token) = (vec![], String::new());
        loop {
            let request = ListPolicyVersionsRequest { page_size: page::SIZE_MAX, page_token };
            let listed = desk.policies().list_policy_versions(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            versions.extend(listed.versions);
            page_token = listed.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let (in_force, _) = stored(&desk, "").await?;
        if !versions.is_empty() {
            println!("{}", shown(&versions));
        }
        if in_force.drafted_at.is_none() {
            println!("no version was activated; {} holds", name(&in_force));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(versions: &[PolicyVersion]) -> comfy_table::Table {
    let mut rows = table(&["version", "in force", "drafted", "by", "last activated", "by", "what it is for"]);
    for version in versions {
        rows.add_row([
            version.version.clone(),
            if version.active { "yes" } else { "" }.to_owned(),
            shown_time(version.drafted_at.as_ref()),
            version.drafted_by.clone(),
            shown_time(version.activated_at.as_ref()),
            version.activated_by.clone(),
            version.summary.clone(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_says_what_became_of_a_version() {
        let shipped =
            PolicyVersion { version: "opt-out@shipped-0a".into(), active: true, ..PolicyVersion::default() };
        assert_eq!(heading(&shipped), "opt-out@shipped-0a, in force, shipped");
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let stored = PolicyVersion {
            version: "night@3".into(),
            drafted_at: at(0),
            drafted_by: "operator/kim".into(),
            activated_at: at(60),
            activated_by: "operator/lee".into(),
            ..PolicyVersion::default()
        };
        let expected = "night@3, not in force, drafted 1970-01-01 00:00:00 by operator/kim, \
                        activated 1970-01-01 00:01:00 by operator/lee";
        assert_eq!(heading(&stored), expected);
    }
}
