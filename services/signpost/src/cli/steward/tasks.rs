//! Review tasks: list those that wait, and decide them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use signpost_common::{clock, rpc::page};
use signpost_people::output;
use signpost_proto::mpi::v1::{
    LinkEventKind, ListReviewTasksRequest, ResolveReviewTaskRequest, ReviewCount, ReviewState, ReviewTask,
};

use super::{Desk, Staff, code, decide::show_disclosures, moment, refused, show_events, shown_record};
use crate::cli::{request_id, table};

#[derive(Debug, Args)]
pub(in crate::cli) struct Tasks {
    #[command(flatten)]
    staff: Staff,
    /// Only tasks in this state
    #[arg(long, value_enum, default_value = "open")]
    state: State,
    /// Only tasks with this reason, for instance TWIN_PATTERN
    #[arg(long, default_value = "")]
    reason: String,
    /// Only tasks on records of this member
    #[arg(long = "member", default_value = "", value_name = "MEMBER")]
    of_member: String,
    /// Only tasks of at least this probability, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    probability_min: f64,
    /// Only tasks that were opened before this time or date
    #[arg(long, value_name = "TIME", value_parser = moment)]
    opened_before: Option<Timestamp>,
    /// Most tasks to list
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Write tasks and counts to this file as JSON; `-` prints them in place of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Open,
    Linked,
    KeptApart,
    Deferred,
}

impl From<State> for ReviewState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Linked => Self::Linked,
            State::KeptApart => Self::KeptApart,
            State::Deferred => Self::Deferred,
        }
    }
}

impl Tasks {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let json = self.json.as_deref();
        let prints_json = json.is_some_and(|path| path.as_os_str() == "-");
        let file = json.filter(|_| !prints_json);
        output::check(&[], &file.map(|path| ("--json", path)).into_iter().collect::<Vec<_>>())?;
        let desk = self.staff.desk()?;
        let (tasks, counts) = self.list(&desk).await?;
        if json.is_some() {
            write_json(&tasks, &counts, file)?;
        }
        if !prints_json {
            self.show(&tasks, &counts);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Returns tasks up to the limit, and how many there are of each reason.
    async fn list(&self, desk: &Desk) -> anyhow::Result<(Vec<ReviewTask>, Vec<ReviewCount>)> {
        let limit = self.limit as usize;
        let (mut tasks, mut counts, mut page_token) = (vec![], vec![], String::new());
        loop {
            let left = i32::try_from(limit - tasks.len()).unwrap_or(i32::MAX);
            let request = ListReviewTasksRequest {
                page_size: left.min(page::SIZE_MAX),
                page_token,
                state: ReviewState::from(self.state).into(),
                reason: self.reason.clone(),
                member_id: self.of_member.clone(),
                probability_min: self.probability_min,
                opened_before: self.opened_before.map(clock::to_proto),
            };
            let listed = desk.mpi().list_review_tasks(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            tasks.extend(listed.tasks);
            // The first page has them.
            if counts.is_empty() {
                counts = listed.counts;
            }
            page_token = listed.next_page_token;
            if page_token.is_empty() || tasks.len() >= limit {
                return Ok((tasks, counts));
            }
        }
    }

    fn show(&self, tasks: &[ReviewTask], counts: &[ReviewCount]) {
        if tasks.is_empty() {
            let state = ReviewState::from(self.state);
            println!("no task is {} and fits", code(state.as_str_name(), "REVIEW_STATE_"));
            return;
        }
        let now = clock::system().now();
        let mut rows = table(&["task", "record", "candidate", "probability", "reason", "age"]);
        for task in tasks {
            let opened = task.opened_at.as_ref().and_then(clock::from_proto);
            rows.add_row([
                task.task_id.clone(),
                shown_record(task.record.as_ref()),
                task.candidate_person_id.clone(),
                format!("{:.6}", task.probability),
                task.reason.clone(),
                opened.map(|opened| age(now, opened)).unwrap_or_default(),
            ]);
        }
        println!("{rows}\n");
        let mut rows = table(&["reason", "tasks"]);
        for count in counts {
            rows.add_row([count.reason.clone(), count.tasks.to_string()]);
        }
        println!("{rows}");
        let all: i64 = counts.iter().map(|count| count.tasks).sum();
        if usize::try_from(all).is_ok_and(|all| all > tasks.len()) {
            println!("the oldest {} of {all} are shown; --limit N shows more", tasks.len());
        }
    }
}

/// Says how long ago something was, in its largest unit.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What `--json` writes.
#[derive(Serialize)]
struct Listed<'a> {
    tasks: Vec<ListedTask<'a>>,
    counts: Vec<Count<'a>>,
}

#[derive(Serialize)]
struct ListedTask<'a> {
    task_id: &'a str,
    record_id: &'a str,
    record: String,
    candidate_person_id: &'a str,
    probability: f64,
    reason: &'a str,
    state: String,
    opened_at: Option<String>,
}

#[derive(Serialize)]
struct Count<'a> {
    reason: &'a str,
    tasks: i64,
}

impl<'a> From<&'a ReviewTask> for ListedTask<'a> {
    fn from(task: &'a ReviewTask) -> Self {
        let opened = task.opened_at.as_ref().and_then(clock::from_proto);
        Self {
            task_id: &task.task_id,
            record_id: &task.record_id,
            record: shown_record(task.record.as_ref()),
            candidate_person_id: &task.candidate_person_id,
            probability: task.probability,
            reason: &task.reason,
            state: code(task.state().as_str_name(), "REVIEW_STATE_"),
            opened_at: opened.map(|time| time.to_string()),
        }
    }
}

/// Writes tasks to a file, or prints them.
fn write_json(tasks: &[ReviewTask], counts: &[ReviewCount], file: Option<&Path>) -> anyhow::Result<()> {
    let counts = counts.iter().map(|count| Count { reason: &count.reason, tasks: count.tasks }).collect();
    let listed = Listed { tasks: tasks.iter().map(Into::into).collect(), counts };
    let text = serde_json::to_string_pretty(&listed)? + "\n";
    match file {
        Some(path) => output::write(path, &text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Resolve {
    #[command(flatten)]
    staff: Staff,
    /// Task, as `tasks` names it
    task: String,
    /// What is decided: that they are one person, that they are two, or nothing yet
    #[arg(value_enum)]
    resolution: Resolution,
    /// Why, for the record: at most 500 characters, without patient data
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Identifies the attempt: the same again decides nothing twice [default: a new one]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Resolution {
    Link,
    KeepApart,
    Defer,
}

impl From<Resolution> for ReviewState {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::Link => Self::Linked,
            Resolution::KeepApart => Self::KeptApart,
            Resolution::Defer => Self::Deferred,
        }
    }
}

impl Resolve {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let request_id = self.request_id.unwrap_or_else(request_id);
        let again = format!("resolve {} keep-apart --request-id {request_id}", self.task);
        let request = ResolveReviewTaskRequest {
            task_id: self.task,
            resolution: ReviewState::from(self.resolution).into(),
            request_id,
            reason: self.reason,
        };
        let resolved = desk.mpi().resolve_review_task(desk.request(request)?).await;
        let resolved = resolved.map_err(|e| refused(&e))?.into_inner();
        let task = resolved.task.context("the answer holds no task")?;
        let mut rows = table(&["task", "record", "candidate", "state"]);
        rows.add_row([
            task.task_id.clone(),
            shown_record(task.record.as_ref()),
            task.candidate_person_id.clone(),
            code(task.state().as_str_name(), "REVIEW_STATE_"),
        ]);
        println!("{rows}");
        match resolved.event {
            Some(event) if event.kind() == LinkEventKind::Unlink => {
                show_events(&[event]);
                Ok(show_disclosures(&resolved.disclosures, resolved.disclosures_incomplete, &again))
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_its_largest_unit() {
        let then: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-01-30T00:00:00Z", "0 s"),
            ("2026-01-31T00:00:59Z", "59 s"),
            ("2026-01-31T00:01:00Z", "1 min"),
            ("2026-01-31T23:59:59Z", "23 h"),
            ("2026-02-02T00:00:00Z", "2 d"),
        ] {
            assert_eq!(age(time.parse().unwrap(), then), expected);
        }
    }
}
