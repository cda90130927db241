//! Commands of a data steward: see what waits and why, decide it, take it back, follow what is decided.
//!
//! A record is named by the exchange's id of it, or as its member knows it: `MEMBER/LOCAL`. A person is named by its id, or
//! by one of its records.

mod decide;
mod look;
mod tasks;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use signpost_common::{
    clock,
    rpc::{page, status, token::User},
};
use signpost_proto::{
    common::v1::{PurposeOfUse, RecordReference, Role},
    consent::v1::{consent_service_client::ConsentServiceClient, policy_service_client::PolicyServiceClient},
    directory::v1::directory_service_client::DirectoryServiceClient,
    mpi::v1::{
        GetPersonRequest, LinkEvent, LinkEventKind, ListPersonRecordsRequest, get_person_request,
        list_person_records_request, master_patient_index_service_client::MasterPatientIndexServiceClient,
        matching_model_service_client::MatchingModelServiceClient,
    },
};
use tonic::{Request, Status};

use super::{Who, explain, table};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Steward {
    /// List pairs that wait for a steward, the oldest first, and count them by reason
    Tasks(tasks::Tasks),
    /// Decide a pair that waits
    Resolve(tasks::Resolve),
    /// Explain how two records compare, or a decision, field by field
    ///
    /// Each bit doubles the odds that the two are one person, or halves them; all of them add up to the total.
    Explain(look::Explain),
    /// Show a person: the best value of each field, then all others that are known
    ///
    /// That you looked is recorded.
    Person(look::Person),
    /// List decisions on a record or a person, the latest first
    History(look::History),
    /// Move a record to a person
    Link(decide::Link),
    /// Take a record out of its person; it becomes a person of its own
    Unlink(decide::Unlink),
    /// Move all records of a person to another; its id stands for the other from then on
    Merge(decide::Merge),
    /// Make some records of a person a person of their own
    Split(decide::Split),
    /// Take a decision back; the record is where it was before
    Undo(decide::Undo),
    /// Follow decisions as they are made, one a line; Ctrl-C ends it
    ///
    /// A line ends with the token to go on after it.
    Watch(watch::Watch),
}

impl Steward {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tasks(tasks) => tasks.run().await,
            Self::Resolve(resolve) => resolve.run().await,
            Self::Explain(explain) => explain.run().await,
            Self::Person(person) => person.run().await,
            Self::History(history) => history.run().await,
            Self::Link(link) => link.run().await,
            Self::Unlink(unlink) => unlink.run().await,
            Self::Merge(merge) => merge.run().await,
            Self::Split(split) => split.run().await,
            Self::Undo(undo) => undo.run().await,
            Self::Watch(watch) => watch.run().await,
        }
    }
}

/// Who of the operator's staff calls, and where the exchange is.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("member", |member| member.required(false).default_value("operator")))]
pub(super) struct Staff {
    #[command(flatten)]
    who: Who,
}

impl Staff {
    pub(super) fn desk(&self) -> anyhow::Result<Desk> {
        self.desk_of(Role::Steward)
    }

    /// Returns the desk of whoever answers for the network.
    pub(super) fn operator(&self) -> anyhow::Result<Desk> {
        self.desk_of(Role::Operator)
    }

    fn desk_of(&self, role: Role) -> anyhow::Result<Desk> {
        let user = self.who.user(role, PurposeOfUse::Hoperat)?;
        Ok(Desk { client: self.who.client()?, user })
    }
}

/// Somebody of the operator's staff at work.
pub(super) struct Desk {
    client: Client,
    user: User,
}

impl Desk {
    pub(super) fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        self.client.request(&self.user, message)
    }

    fn mpi(&self) -> MasterPatientIndexServiceClient<signpost_common::rpc::Transport> {
        self.client.mpi()
    }

    pub(super) fn models(&self) -> MatchingModelServiceClient<signpost_common::rpc::Transport> {
        self.client.models()
    }

    pub(super) fn directory(&self) -> DirectoryServiceClient<signpost_common::rpc::Transport> {
        self.client.directory()
    }

    pub(super) fn policies(&self) -> PolicyServiceClient<signpost_common::rpc::Transport> {
        self.client.policies()
    }

    pub(super) fn consent(&self) -> ConsentServiceClient<signpost_common::rpc::Transport> {
        self.client.consent()
    }

    /// Returns the exchange's id of a record.
    async fn record(&self, text: &str) -> anyhow::Result<String> {
        use list_person_records_request::By;
        let Some(wanted) = reference(text) else { return Ok(text.to_owned()) };
        let by = Some(By::Record(wanted.clone()));
        let mut request =
            ListPersonRecordsRequest { by, page_size: page::SIZE_MAX, page_token: String::new() };
        loop {
            let listed = self.mpi().list_person_records(self.request(request.clone())?).await;
            let listed = listed.map_err(|e| refused(&e)).with_context(|| text.to_owned())?.into_inner();
            let found = listed.records.into_iter().find(|record| record.record.as_ref() == Some(&wanted));
            if let Some(found) = found {
                return Ok(found.record_id);
            }
            anyhow::ensure!(
                !listed.next_page_token.is_empty(),
                "{text}: the record has left its person: try again"
            );
            request.page_token = listed.next_page_token;
        }
    }

    /// Returns the id of a person.
    async fn person(&self, text: &str) -> anyhow::Result<String> {
        let Some(record) = reference(text) else { return Ok(text.to_owned()) };
        let request = GetPersonRequest { by: Some(get_person_request::By::Record(record)), as_of: None };
        let answer = self.mpi().get_person(self.request(request)?).await;
        let answer = answer.map_err(|e| refused(&e)).with_context(|| text.to_owned())?;
        Ok(answer.into_inner().person.context("the answer holds no person")?.person_id)
    }
}

/// Reads a record as its member knows it; `None` for what can only be an id.
fn reference(text: &str) -> Option<RecordReference> {
    let (member_id, local_id) = text.split_once('/')?;
    Some(RecordReference { member_id: member_id.into(), local_id: local_id.into() })
}

/// Turns an error of a call into one that says what to do next.
pub(super) fn refused(error: &Status) -> anyhow::Error {
    let next = match status::reason(error).as_str() {
        "INVALID_FIELD" => next_for_field(&status::field(error)),
        "TASK_UNKNOWN" => "`signpost steward tasks` lists those that wait",
        "TASK_RESOLVED" => "`signpost steward history` shows what was decided, and `undo` takes it back",
        "PERSON_UNKNOWN" | "RECORD_UNKNOWN" => {
            "a record is its id or MEMBER/LOCAL, and `signpost steward person MEMBER/LOCAL` shows its person"
        }
        "ONE_PERSON" | "ALREADY_ALONE" => {
            "nothing is to be done; `signpost steward history` shows who decided it"
        }
        "EVENT_UNKNOWN" | "DECIDED_SINCE" | "NOTHING_BEFORE" => {
            "`signpost steward history` shows decisions and their positions"
        }
        "NOTHING_COMPARED" => "`signpost steward explain RECORD RECORD` compares two records",
        "MODEL_UNKNOWN" | "MODEL_NOT_READY" | "TRAINING_UNDER_WAY" => {
            "`signpost model list` shows all models and their states"
        }
        "MODEL_OUTDATED" => "`signpost model train VERSION` learns one against the model in force",
        "ROLE_NOT_PERMITTED" | "MEMBER_UNKNOWN" => {
            "this is for stewards of the operator: --as takes the operator's id"
        }
        _ => "",
    };
    match next {
        "" => explain(error),
        next => anyhow::anyhow!("{:#}; {next}", explain(error)),
    }
}

fn next_for_field(field: &str) -> &'static str {
    match field {
        "task_id" => "`signpost steward tasks` shows ids of tasks",
        "person_id" | "into_person_id" => "a person is its id, or MEMBER/LOCAL of one of its records",
        "sequence" => "`signpost steward history` shows decisions and their positions",
        record
            if record.contains("record") || record.ends_with("local_id") || record.ends_with("member_id") =>
        {
            "a record is the exchange's id of it, or MEMBER/LOCAL"
        }
        _ => "",
    }
}

/// Reads a time or a date.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let read = text.parse().ok().or_else(|| midnight().map(|zoned| zoned.timestamp()));
    read.ok_or_else(|| "must be a time, as 2026-01-31T08:00:00Z, or a date, as 2026-01-31".to_owned())
}

/// Writes a time as people read it, UTC.
pub(super) fn shown_time(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(clock::from_proto);
    time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// Writes the value of an enum as the command line does: `MODEL_STATE_IN_FORCE` is `in-force`.
pub(super) fn code(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase().replace('_', "-")
}

/// Writes a record as its member knows it.
pub(super) fn shown_record(record: Option<&RecordReference>) -> String {
    record.map(|record| format!("{}/{}", record.member_id, record.local_id)).unwrap_or_default()
}

/// Says what was decided.
fn kind(event: &LinkEvent) -> String {
    let kind = code(event.kind().as_str_name(), "LINK_EVENT_KIND_");
    match (event.kind(), event.undoes) {
        (LinkEventKind::KeepApart, _) => format!("{kind} from {}", event.candidate_person_id),
        (_, 0) => kind,
        (_, undone) => format!("{kind} of {undone}"),
    }
}

/// Shows decisions.
fn show_events(events: &[LinkEvent]) {
    let mut rows = table(&["#", "when", "what", "record", "from", "to", "by", "why"]);
    for event in events {
        let weighed = match event.weight_bits {
            0.0 => String::new(),
            bits => format!("{bits:+.1} bits by {}", event.model_version),
        };
        let separator = if weighed.is_empty() || event.reason.is_empty() { "" } else { ": " };
        rows.add_row([
            event.sequence.to_string(),
            shown_time(event.decided_at.as_ref()),
            kind(event),
            shown_record(event.record.as_ref()),
            event.from_person_id.clone(),
            event.to_person_id.clone(),
            event.actor.clone(),
            format!("{}{separator}{weighed}", event.reason),
        ]);
    }
    println!("{rows}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_dates_are_read() {
        let midnight: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-01-31"), Ok(midnight));
        assert_eq!(moment("2026-01-31T01:00:00+01:00"), Ok(midnight));
        assert!(moment("yesterday").unwrap_err().contains("2026-01-31T08:00:00Z"));
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let text = |error: Status| format!("{:#}", refused(&error));
        let unknown = text(status::not_found("TASK_UNKNOWN", "there is no such review task"));
        assert_eq!(
            unknown,
            "NotFound (TASK_UNKNOWN): there is no such review task; `signpost steward tasks` lists those that wait"
        );
        assert!(text(status::invalid("record_ids[1]", "must be a UUID")).ends_with("or MEMBER/LOCAL"));
        assert!(text(status::invalid("probability_min", "must be small")).ends_with("must be small"));
    }
}
