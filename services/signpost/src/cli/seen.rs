//! What a person has, what became of a locate, and what users saw.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use signpost_common::{clock, rpc::token};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    locator::v1::{
        GetLocateRunRequest, ListDocumentsRequest, ListLocateRunsRequest, LocateRun, LocateRunState,
    },
    registry::v1::{DocumentFilter, DocumentStatus},
};

use super::{Who, care::show_pointers, counted, explain, request_id, table};

/// Documents of one page.
const PAGE: i32 = 500;

#[derive(Debug, Args)]
pub(super) struct Documents {
    #[command(flatten)]
    who: Who,
    /// Person, as `locate` names it
    person: String,
    /// Type code (LOINC); may be given several times
    #[arg(long = "type", value_name = "CODE")]
    type_codes: Vec<String>,
    /// Documents with this label only; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Documents of this member only; may be given several times
    #[arg(long = "of", value_name = "MEMBER")]
    member_ids: Vec<String>,
    /// Say how many there are, and nothing else
    #[arg(long)]
    count: bool,
    /// Emergency session to apply
    #[arg(long, default_value = "", value_name = "SESSION")]
    emergency: String,
}

impl Documents {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let purpose = if self.emergency.is_empty() { PurposeOfUse::Treat } else { PurposeOfUse::Etreat };
        let user = self.who.user(Role::Physician, purpose)?;
        let mut request = ListDocumentsRequest {
            person_id: self.person,
            filter: Some(DocumentFilter {
                type_codes: self.type_codes,
                labels: self.labels,
                member_ids: self.member_ids,
                ..DocumentFilter::default()
            }),
            page_size: if self.count { 1 } else { PAGE },
            page_token: String::new(),
            emergency_session_id: self.emergency,
            request_id: request_id(),
        };
        loop {
            let answer = client.locator().list_documents(client.request(&user, request.clone())?).await;
            let answer = answer.map_err(|e| explain(&e))?.into_inner();
            if !self.count {
                show_pointers(&answer.pointers);
            }
            if self.count || answer.next_page_token.is_empty() {
                let least = if answer.truncated { " or more" } else { "" };
                println!("{}{least}", counted(answer.count, "document", "documents"));
                return Ok(ExitCode::SUCCESS);
            }
            request.page_token = answer.next_page_token;
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    who: Who,
    /// Request id of the locate
    request_id: String,
}

impl Run {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let request = GetLocateRunRequest { request_id: self.request_id };
        let request = client.request(&self.who.user(Role::Physician, PurposeOfUse::Treat)?, request)?;
        let answer = client.locator().get_locate_run(request).await.map_err(|e| explain(&e))?.into_inner();
        match answer.state() {
            LocateRunState::Unspecified => {
                println!("nothing is known of it: ask again");
                return Ok(ExitCode::FAILURE);
            }
            LocateRunState::UnderWay => println!("it is under way, and nothing was shown yet"),
            LocateRunState::Failed => println!("it failed, and nothing was shown; ask again"),
            LocateRunState::Answered => println!("it was answered"),
        }
        answer.run.iter().for_each(show);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct Seen {
    #[command(flatten)]
    who: Who,
    /// Member whose users saw it, for the operator's officers [default: your own]
    #[arg(long, default_value = "", value_name = "MEMBER")]
    of: String,
    /// User who saw it [default: all]
    #[arg(long, default_value = "", value_name = "USER")]
    by: String,
    /// At or after, RFC 3339, for instance 2026-11-30T02:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// At most so many
    #[arg(long, default_value_t = 10, value_name = "N")]
    most: usize,
}

impl Seen {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let user = self.who.user(Role::PrivacyOfficer, PurposeOfUse::Hoperat)?;
        let mut request = ListLocateRunsRequest {
            member_id: self.of,
            user: self.by,
            from: self.from.map(clock::to_proto),
            to: self.to.map(clock::to_proto),
            page_size: i32::try_from(self.most.min(10)).context("--most")?,
            page_token: String::new(),
        };
        let mut left = self.most;
        while left > 0 {
            let answer = client.locator().list_locate_runs(client.request(&user, request.clone())?).await;
            let answer = answer.map_err(|e| explain(&e))?.into_inner();
            answer.runs.iter().take(left).for_each(show);
            left = left.saturating_sub(answer.runs.len());
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        if left == self.most {
            println!("nobody saw anything in that time");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows what somebody saw, as it stood then.
fn show(run: &LocateRun) {
    let LocateRun { request_id, occurred_at, caller, person_id, reason, documents, sequence, action, .. } =
        run;
    let at = occurred_at.as_ref().and_then(clock::from_proto);
    let at = at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let caller = caller.clone().unwrap_or_default();
    let method = action.rsplit('/').next().unwrap_or_default();
    println!("{at} {}/{} {method}, entry {sequence} of the log", caller.member_id, caller.user);
    let purpose = token::purpose_code(caller.purpose());
    println!("  as {} for {purpose}, request {request_id}", token::role_name(caller.role()));
    if !person_id.is_empty() {
        println!("  person {person_id}");
    }
    if !reason.is_empty() {
        println!("  {reason}");
    }
    if documents.is_empty() {
        println!("  no document was shown");
        return;
    }
    let mut rows = table(&["document", "held by", "type", "made", "stood as", "under"]);
    for document in documents {
        let entry = document.entry.clone().unwrap_or_default();
        let kind = entry.type_code.clone().unwrap_or_default();
        let made = entry.creation_time.as_ref().and_then(clock::from_proto);
        let status = match entry.status() {
            DocumentStatus::Current => "current",
            DocumentStatus::Superseded => "superseded",
            DocumentStatus::Deprecated => "withdrawn",
            DocumentStatus::Unspecified => "not known any more",
        };
        rows.add_row([
            entry.document_id,
            entry.patient.map(|patient| patient.member_id).unwrap_or_default(),
            if kind.display.is_empty() { kind.code } else { kind.display },
            made.map(|made| made.strftime("%Y-%m-%d").to_string()).unwrap_or_default(),
            status.to_owned(),
            document.rule_ids.join(" "),
        ]);
    }
    println!("{rows}");
}
