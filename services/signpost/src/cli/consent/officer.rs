//! Reviews of emergency access, notices, and the accounting of disclosures.

use std::{collections::BTreeSet, process::ExitCode};

use clap::{Args, ValueEnum};
use signpost_proto::{
    audit::v1::{Disclosure, ListDisclosuresRequest},
    common::v1::{RecordReference, Role},
    consent::v1::{
        AcknowledgeNoticeRequest, CompleteEmergencyReviewRequest, EmergencySession,
        ListEmergencyReviewsRequest, ListNoticesRequest, Notice, ReviewOutcome,
    },
};

use super::{Desk, Limit, refused};
use crate::cli::{
    Who, request_id,
    steward::{code, shown_time},
    table,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Reviews {
    #[command(flatten)]
    who: Who,
    /// Sessions that were reviewed, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
}

impl Reviews {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::PrivacyOfficer)?;
        let sessions = self.limit.list(async |page_size, page_token| {
            let include_completed = self.all;
            let request = ListEmergencyReviewsRequest { include_completed, page_size, page_token };
            let listed = desk.client.emergency().list_emergency_reviews(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            Ok((listed.sessions, listed.next_page_token))
        });
        Ok(sessions.await?.show("no session waits for a review", show_sessions))
    }
}

fn show_sessions(sessions: &[EmergencySession]) {
    let mut rows = table(&["session", "opened", "by", "person", "why", "in words", "due", "review"]);
    for session in sessions {
        let outcome = match session.review_outcome() {
            ReviewOutcome::Unspecified => "waits".to_owned(),
            outcome => {
                let outcome = code(outcome.as_str_name(), "REVIEW_OUTCOME_");
                let texts = [&session.review_note, &session.follow_up];
                let texts: Vec<_> = texts.into_iter().filter(|t| !t.is_empty()).cloned().collect();
                let said = if texts.is_empty() { String::new() } else { format!(": {}", texts.join("; ")) };
                let said = said.replace(['\n', '\r', '\t'], " ");
                format!("{outcome} ({}){said}", session.reviewed_by)
            }
        };
        rows.add_row([
            session.session_id.clone(),
            shown_time(session.opened_at.as_ref()),
            format!("{}/{}", session.member_id, session.user),
            session.person_id.clone(),
            code(session.reason().as_str_name(), "EMERGENCY_REASON_"),
            session.reason_text.clone(),
            shown_time(session.review_due_at.as_ref()),
            outcome,
        ]);
    }
    println!("{rows}");
}

/// What a review found.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Outcome {
    Justified,
    NotJustified,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Complete {
    #[command(flatten)]
    who: Who,
    /// The session, as `list` names it
    session: String,
    /// What the review found
    #[arg(value_enum)]
    outcome: Outcome,
    /// Why, for other reviewers
    #[arg(long, default_value = "")]
    note: String,
    /// What follows; needed where access was not justified
    #[arg(long, default_value = "", required_if_eq("outcome", "not-justified"))]
    follow_up: String,
}

impl Complete {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::PrivacyOfficer)?;
        let outcome = match self.outcome {
            Outcome::Justified => ReviewOutcome::Justified,
            Outcome::NotJustified => ReviewOutcome::NotJustified,
        };
        let request = CompleteEmergencyReviewRequest {
            session_id: self.session,
            outcome: outcome.into(),
            note: self.note,
            follow_up: self.follow_up,
            request_id: request_id(),
        };
        let reviewed = desk.client.emergency().complete_emergency_review(desk.request(request)?).await;
        let session = reviewed.map_err(|e| refused(&e))?.into_inner().session.unwrap_or_default();
        show_sessions(&[session]);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Notices {
    #[command(flatten)]
    who: Who,
    /// Those that were taken note of, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
}

impl Notices {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::PrivacyOfficer)?;
        let notices = self.limit.list(async |page_size, page_token| {
            let include_acknowledged = self.all;
            let request = ListNoticesRequest { include_acknowledged, page_size, page_token };
            let listed = desk.client.notices().list_notices(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            Ok((listed.notices, listed.next_page_token))
        });
        Ok(notices.await?.show("there is no notice", show_notices))
    }
}

fn show_notices(notices: &[Notice]) {
    let mut rows = table(&["notice", "when", "what happened", "session or document", "noted"]);
    for notice in notices {
        let about = [&notice.emergency_session_id, &notice.document_id];
        rows.add_row([
            notice.notice_id.clone(),
            shown_time(notice.created_at.as_ref()),
            notice.sentence.clone(),
            about.map(String::as_str).join(" ").trim().to_owned(),
            shown_time(notice.acknowledged_at.as_ref()),
        ]);
    }
    println!("{rows}");
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Acknowledge {
    #[command(flatten)]
    who: Who,
    /// The notice, as `list` names it
    notice: String,
}

impl Acknowledge {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::PrivacyOfficer)?;
        let request = AcknowledgeNoticeRequest { notice_id: self.notice, request_id: request_id() };
        let noted = desk.client.notices().acknowledge_notice(desk.request(request)?).await;
        let notice = noted.map_err(|e| refused(&e))?.into_inner().notice.unwrap_or_default();
        println!("noted {}: {}", shown_time(notice.acknowledged_at.as_ref()), notice.sentence);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Disclosures {
    #[command(flatten)]
    who: Who,
    /// The patient: their local id at your organisation
    patient: String,
    #[command(flatten)]
    limit: Limit,
}

impl Disclosures {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::PrivacyOfficer)?;
        let disclosures = self.limit.list(async |page_size, page_token| {
            let local_id = self.patient.clone();
            let patient = Some(RecordReference { member_id: self.who.member.clone(), local_id });
            let request = ListDisclosuresRequest { patient, page_size, page_token };
            let listed = desk.client.audit().list_disclosures(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            Ok((listed.disclosures, listed.next_page_token))
        });
        let none = format!("of a patient {} of {} nothing was disclosed", self.patient, self.who.member);
        Ok(disclosures.await?.show(&none, show_disclosures))
    }
}

/// Says who asked, who saw and why, each with the rules that decided.
fn show_disclosures(disclosures: &[Disclosure]) {
    for Disclosure { logged, sentence } in disclosures {
        println!("{sentence}");
        let event = logged.clone().unwrap_or_default().event.unwrap_or_default();
        let rules: BTreeSet<_> = event.documents.into_iter().flat_map(|document| document.rule_ids).collect();
        if !rules.is_empty() {
            println!("  by {}", rules.into_iter().collect::<Vec<_>>().join(", "));
        }
        if !event.emergency_session_id.is_empty() {
            println!("  under emergency session {}", event.emergency_session_id);
        }
    }
}
