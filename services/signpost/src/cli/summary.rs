//! `signpost summary`: one FHIR document of all that may be seen of a person.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    locator::v1::{BuildSummaryRequest, SummaryHeader, build_summary_response::Message},
};

use super::{Who, counted, explain, fetch::Partial, request_id, table};

#[derive(Debug, Args)]
pub(super) struct Summary {
    #[command(flatten)]
    who: Who,
    /// Person, as `locate` names it
    person: String,
    /// File to write [default: the person's id, with `.json`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Emergency session to apply
    #[arg(long, default_value = "", value_name = "SESSION")]
    emergency: String,
}

impl Summary {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let purpose = if self.emergency.is_empty() { PurposeOfUse::Treat } else { PurposeOfUse::Etreat };
        let request = BuildSummaryRequest {
            person_id: self.person.clone(),
            emergency_session_id: self.emergency.clone(),
            request_id: request_id(),
        };
        let request = client.request(&self.who.user(Role::Physician, purpose)?, request)?;
        let answer = client.locator().build_summary(request).await;
        let mut answer = answer.map_err(|e| explain(&e))?.into_inner();
        let path = self.out.unwrap_or_else(|| PathBuf::from(&self.person).with_added_extension("json"));
        let mut file = Partial::create(&path).await?;
        while let Some(message) = answer.message().await.map_err(|e| explain(&e))? {
            match message.message {
                Some(Message::Header(header)) => show(&header),
                Some(Message::Chunk(chunk)) => file.write(&chunk).await?,
                Some(Message::Trailer(trailer)) => {
                    file.complete(&trailer).await.with_context(|| path.display().to_string())?;
                    println!("{}: {} bytes, assembled by a machine", path.display(), trailer.size_bytes);
                    return Ok(ExitCode::SUCCESS);
                }
                None => {}
            }
        }
        bail!("the summary broke off; nothing was kept")
    }
}

/// Says what it is made of, what contradicts itself, and what is not in it.
fn show(header: &SummaryHeader) {
    header.notices.iter().for_each(|notice| println!("{notice}"));
    let mut rows = table(&["document", "held by", "statements", "not read because"]);
    for document in &header.documents {
        rows.add_row([
            document.document_id.clone(),
            document.custodian.clone(),
            document.statements.to_string(),
            document.reason.clone(),
        ]);
    }
    if !header.documents.is_empty() {
        println!("{rows}");
    }
    for conflict in &header.conflicts {
        println!("conflict {}: {}, in {}", conflict.kind, conflict.text, conflict.document_ids.join(", "));
    }
    let omitted = header.omissions.iter().map(|omission| omission.count).sum::<u32>();
    let statements = header.documents.iter().map(|document| document.statements).sum();
    println!(
        "{} of {}; {} left out",
        counted(header.entries, "entry", "entries"),
        counted(statements, "statement", "statements"),
        omitted
    );
    if header.truncated {
        println!("there are more documents than one summary takes");
    }
}
