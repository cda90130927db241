//! Decisions by hand, and who was told something wrong before.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use signpost_common::rpc::token;
use signpost_proto::{
    audit::v1::{Disclosure, EventKind, EventOutcome},
    common::v1::{Caller, PurposeOfUse},
    mpi::v1::{LinkRequest, MergeRequest, SplitRequest, UndoRequest, UnlinkRequest},
};

use super::{Staff, code, refused, show_events, shown_time};
use crate::cli::{counted, request_id, table};

/// Why something is decided.
#[derive(Debug, Args)]
struct Why {
    /// Why, for the record: at most 500 characters, without patient data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Ask again about a decision that was made, by the id of its attempt; nothing is decided twice
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl Why {
    fn into_parts(self) -> (String, String) {
        (self.reason, self.request_id.unwrap_or_else(request_id))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Link {
    #[command(flatten)]
    staff: Staff,
    /// Record to move: its id or MEMBER/LOCAL
    record: String,
    /// Person to move it to: its id or MEMBER/LOCAL of one of its records
    person: String,
    #[command(flatten)]
    why: Why,
}

impl Link {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let (record_id, person_id) = (desk.record(&self.record).await?, desk.person(&self.person).await?);
        let (reason, request_id) = self.why.into_parts();
        let request = LinkRequest { record_id, person_id, reason, request_id };
        let linked = desk.mpi().link(desk.request(request)?).await.map_err(|e| refused(&e))?.into_inner();
        show_events(&[linked.event.context("the answer holds no decision")?]);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unlink {
    #[command(flatten)]
    staff: Staff,
    /// Record to take out: its id or MEMBER/LOCAL
    record: String,
    #[command(flatten)]
    why: Why,
}

impl Unlink {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let record_id = desk.record(&self.record).await?;
        let (reason, request_id) = self.why.into_parts();
        let again = format!("unlink {record_id} --request-id {request_id}");
        let request = UnlinkRequest { record_id, reason, request_id };
        let unlinked = desk.mpi().unlink(desk.request(request)?).await.map_err(|e| refused(&e))?.into_inner();
        show_events(&[unlinked.event.context("the answer holds no decision")?]);
        Ok(show_disclosures(&unlinked.disclosures, unlinked.disclosures_incomplete, &again))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    #[command(flatten)]
    staff: Staff,
    /// Person whose records move: its id or MEMBER/LOCAL of one of its records
    person: String,
    /// Person they move to: its id or MEMBER/LOCAL of one of its records
    into: String,
    #[command(flatten)]
    why: Why,
}

impl Merge {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let (person_id, into_person_id) = (desk.person(&self.person).await?, desk.person(&self.into).await?);
        let (reason, request_id) = self.why.into_parts();
        let request = MergeRequest { person_id, into_person_id, reason, request_id };
        let merged = desk.mpi().merge(desk.request(request)?).await.map_err(|e| refused(&e))?.into_inner();
        show_events(&merged.events);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Split {
    #[command(flatten)]
    staff: Staff,
    /// Person to split: its id or MEMBER/LOCAL of one of its records
    person: String,
    /// Records that become a person of their own, some of the person's: ids or MEMBER/LOCAL
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<String>,
    #[command(flatten)]
    why: Why,
}

impl Split {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let person_id = desk.person(&self.person).await?;
        let mut record_ids = vec![];
        for record in &self.records {
            record_ids.push(desk.record(record).await?);
        }
        let (reason, request_id) = self.why.into_parts();
        let again = format!("split {person_id} {} --request-id {request_id}", record_ids.join(" "));
        let request = SplitRequest { person_id, record_ids, reason, request_id };
        let split = desk.mpi().split(desk.request(request)?).await.map_err(|e| refused(&e))?.into_inner();
        println!("new person {}\n", split.person_id);
        show_events(&split.events);
        Ok(show_disclosures(&split.disclosures, split.disclosures_incomplete, &again))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Undo {
    #[command(flatten)]
    staff: Staff,
    /// Position of the decision, as `history` shows it
    sequence: i64,
    #[command(flatten)]
    why: Why,
}

impl Undo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let (reason, request_id) = self.why.into_parts();
        let again = format!("undo {} --request-id {request_id}", self.sequence);
        let request = UndoRequest { sequence: self.sequence, reason, request_id };
        let undone = desk.mpi().undo(desk.request(request)?).await.map_err(|e| refused(&e))?.into_inner();
        show_events(&[undone.event.context("the answer holds no decision")?]);
        Ok(show_disclosures(&undone.disclosures, undone.disclosures_incomplete, &again))
    }
}

/// Shows what was disclosed through a link that was wrong. When something may be missing, the command fails, though the
/// decision stands; `again` is the command that asks again.
pub(super) fn show_disclosures(disclosures: &[Disclosure], incomplete: bool, again: &str) -> ExitCode {
    if !disclosures.is_empty() {
        let mut rows = table(&["when", "who", "purpose", "what"]);
        disclosures.iter().for_each(|disclosure| _ = rows.add_row(told(disclosure)));
        let count = u32::try_from(disclosures.len()).unwrap_or(u32::MAX);
        let count = counted(count, "disclosure", "disclosures");
        println!("\n{count} through the wrong link: somebody should be told\n\n{rows}");
    } else if !incomplete {
        println!("\nnothing was disclosed through the wrong link: nobody is to be told");
    }
    if !incomplete {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "\nWARNING: DISCLOSURES MAY BE MISSING. The decision stands, but the audit log did not tell all that went \
         through the wrong link.\nAsk again, with the same --reason if there was one; nothing is decided twice:\n    signpost steward {again}"
    );
    ExitCode::FAILURE
}

/// Returns when, who, for which purpose and what.
fn told(disclosure: &Disclosure) -> [String; 4] {
    let event = disclosure.logged.as_ref().and_then(|logged| logged.event.clone()).unwrap_or_default();
    let caller = event.caller.clone().unwrap_or_default();
    let purpose = match caller.purpose() {
        PurposeOfUse::Unspecified => String::new(),
        purpose => token::purpose_code(purpose).to_owned(),
    };
    let did = match event.kind() {
        EventKind::Locate => "looked up".to_owned(),
        EventKind::Fetch => "fetched".to_owned(),
        kind => code(kind.as_str_name(), "EVENT_KIND_"),
    };
    let released = event.documents.iter().filter(|document| document.released).count();
    let released = counted(u32::try_from(released).unwrap_or(u32::MAX), "document", "documents");
    let ended = match event.outcome() {
        EventOutcome::Success => "",
        EventOutcome::Refused => ", refused",
        EventOutcome::Failed | EventOutcome::Unspecified => ", failed",
    };
    [shown_time(event.occurred_at.as_ref()), who(&caller), purpose, format!("{did}, {released}{ended}")]
}

fn who(caller: &Caller) -> String {
    if caller.exchange {
        return "the exchange itself".to_owned();
    }
    format!("{} ({}) at {}", caller.user, token::role_name(caller.role()), caller.member_id)
}

#[cfg(test)]
mod tests {
    use signpost_proto::{
        audit::v1::{DocumentDisclosure, Event, LoggedEvent},
        common::v1::Role,
    };

    use super::*;

    fn disclosure(outcome: EventOutcome) -> Disclosure {
        let caller = Caller {
            member_id: "west".into(),
            user: "dr.lee".into(),
            role: Role::Physician.into(),
            purpose: PurposeOfUse::Etreat.into(),
            ..Caller::default()
        };
        let document = |released| DocumentDisclosure { released, ..DocumentDisclosure::default() };
        let event = Event {
            kind: EventKind::Fetch.into(),
            outcome: outcome.into(),
            caller: Some(caller),
            documents: vec![document(true), document(false)],
            occurred_at: Some(signpost_common::clock::micros_to_proto(0)),
            ..Event::default()
        };
        Disclosure { logged: Some(LoggedEvent { sequence: 7, event: Some(event) }), sentence: String::new() }
    }

    #[test]
    fn a_disclosure_says_when_who_why_and_what() {
        let told = told(&disclosure(EventOutcome::Success));
        assert_eq!(
            told,
            ["1970-01-01 00:00:00", "dr.lee (physician) at west", "ETREAT", "fetched, 1 document"]
        );
        let [.., what] = super::told(&disclosure(EventOutcome::Failed));
        assert_eq!(what, "fetched, 1 document, failed");
    }

    #[test]
    fn what_may_be_missing_makes_the_command_fail() {
        let some = [disclosure(EventOutcome::Success)];
        for disclosures in [&some[..], &[]] {
            assert_eq!(show_disclosures(disclosures, false, "undo 7"), ExitCode::SUCCESS);
            assert_eq!(show_disclosures(disclosures, true, "undo 7"), ExitCode::FAILURE);
        }
    }
}
