//! A decision of the past, explained.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use signpost_proto::consent::v1::{
    self as proto, DocumentFacts, ExplainDecisionRequest, ExplainDecisionResponse,
};

use super::{refused, simulate::effect};
use crate::cli::{
    steward::{Staff, shown_time},
    table,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Decision {
    #[command(flatten)]
    staff: Staff,
    /// Decision, as `simulate` names it
    decision: String,
    /// Document; needed when several were decided at once
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    document: String,
    /// Explain what this version would have decided [default: the one that was in force]
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    by: String,
}

impl Decision {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.operator()?;
        let facts = DocumentFacts { document_id: self.document.clone(), ..DocumentFacts::default() };
        let request = ExplainDecisionRequest {
            decision_id: self.decision,
            document: Some(facts),
            policy_version: self.by,
            ..ExplainDecisionRequest::default()
        };
        let answer = desk.consent().explain_decision(desk.request(request)?).await;
        show(&answer.map_err(|e| refused(&e))?.into_inner())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(explained: &ExplainDecisionResponse) -> anyhow::Result<()> {
    let decision = explained.decision.as_ref().context("the answer holds no decision")?;
    println!(
        "{} {} by {}, policy {}",
        shown_time(explained.decided_at.as_ref()),
        effect(decision.effect()),
        decision.rule_ids.join(" "),
        explained.policy_version,
    );
    for proto::Obligation { kind, value } in &decision.obligations {
        println!("with the duty {kind}: {value}");
    }
    if decision.emergency_could_permit {
        println!("asking again in an emergency could permit it");
    }
    let mut rows = table(&["", "layer", "rule", "what it contributed"]);
    for rule in &explained.rules {
        let mark = if rule.decided { "*" } else { "" };
        rows.add_row([mark, &rule.layer, &rule.rule_id, &rule.explanation]);
    }
    println!("\n{rows}\n\n* decided");
    Ok(())
}
