//! Signs of misuse: what was raised, what is raised now, and what the past raises under another policy.

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
use signpost_common::{
    clock::{self, Clock, SystemClock},
    rpc::{status, token::User},
};
use signpost_people::output;
use signpost_proto::{
    audit::v1::{AcknowledgeFlagRequest, Flag, ListFlagsRequest, ReplayFlagsRequest, WatchFlagsRequest},
    common::v1::{PurposeOfUse, Role},
};
use tonic::{Code, Status};

use crate::{
    cli::{
        Bars, Who, explain, request_id,
        span::{since, span},
        steward::shown_time,
        table,
    },
    client::Client,
};

/// Longest time for a replay: some million events take a minute.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How long a follower waits before it asks again after the exchange was away.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(in crate::cli) struct Flags {
    #[command(flatten)]
    who: Who,
    /// Watch events of this time until now again, for instance 12h, 30d or 2w, and show what they raise
    #[arg(long, value_name = "SPAN", value_parser = span)]
    last: Option<Span>,
    /// Policy file to watch them under [default: the one in force]
    #[arg(long, value_name = "FILE", requires = "last")]
    policy: Option<PathBuf>,
    /// Show signs as they are raised, until Ctrl-C
    #[arg(long, conflicts_with = "last")]
    follow: bool,
    /// Show what nobody has acknowledged
    #[arg(long, conflicts_with_all = ["last", "follow"])]
    open: bool,
    /// Show signs on the users of this member alone
    #[arg(long = "member", value_name = "ID", default_value = "", hide_default_value = true, conflicts_with_all = ["last", "follow"])]
    whose: String,
    /// Most signs to show
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Write signs to this file as JSON; `-` prints them in place of the table
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    json: Option<PathBuf>,
}

impl Flags {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let json = self.json.as_deref();
        let file = json.filter(|path| path.as_os_str() != "-");
        output::check(&[], &file.map(|path| ("--json", path)).into_iter().collect::<Vec<_>>())?;
        let desk = Desk { client: self.who.client()?, user: user(&self.who)? };
        if self.follow {
            tokio::select! {
                error = desk.follow() => return Err(error),
                asked = tokio::signal::ctrl_c() => asked?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let flags = match &self.last {
            Some(last) => desk.replay(last, self.policy.as_deref()).await?,
            None => desk.list(&self.whose, self.open, self.limit).await?,
        };
        match (json, file) {
            (None, _) => show(&flags, self.limit),
            (Some(_), Some(file)) => output::write(file, &written(&flags)?)?,
            (Some(_), None) => std::io::stdout().write_all(written(&flags)?.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Acknowledge {
    #[command(flatten)]
    who: Who,
    /// Number of the sign
    number: u64,
    /// What came of it, without patient data
    #[arg(long, value_name = "TEXT")]
    note: String,
}

impl Acknowledge {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let (client, user) = (self.who.client()?, user(&self.who)?);
        let Self { number, note, .. } = self;
        let request = AcknowledgeFlagRequest { number, note, request_id: request_id() };
        let answer = client.audit().acknowledge_flag(client.request(&user, request)?).await;
        let flag = answer.map_err(|e| explain(&e))?.into_inner().flag.unwrap_or_default();
        println!("{} of event {} is acknowledged", flag.reason, flag.sequence);
        Ok(ExitCode::SUCCESS)
    }
}

fn user(who: &Who) -> anyhow::Result<User> {
    who.user(Role::PrivacyOfficer, PurposeOfUse::Hoperat)
}

struct Desk {
    client: Client,
    user: User,
}

impl Desk {
    async fn list(&self, member: &str, open_only: bool, limit: u32) -> anyhow::Result<Vec<Flag>> {
        let mut flags = vec![];
        let mut page_token = String::new();
        loop {
            let left = i32::try_from(limit).unwrap_or(i32::MAX) - i32::try_from(flags.len())?;
            let member_id = member.to_owned();
            let request = ListFlagsRequest { member_id, open_only, page_size: left.min(500), page_token };
            let answer = self.client.audit().list_flags(self.client.request(&self.user, request)?).await;
            let answer = answer.map_err(|e| explain(&e))?.into_inner();
            flags.extend(answer.flags);
            page_token = answer.next_page_token;
            if page_token.is_empty() || flags.len() >= limit as usize {
                return Ok(flags);
            }
        }
    }

    async fn replay(&self, last: &Span, policy: Option<&Path>) -> anyhow::Result<Vec<Flag>> {
        let from = since(SystemClock.now(), last).context("--last")?;
        let policy = policy
            .map(|path| std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display())));
        let policy = policy.transpose()?.unwrap_or_default();
        let request = ReplayFlagsRequest { from: Some(clock::to_proto(from)), to: None, policy };
        let mut request = self.client.request(&self.user, request)?;
        request.set_timeout(TIMEOUT);
        let answer = self.client.audit().replay_flags(request).await;
        let mut answers = answer.map_err(|e| explain(&e))?.into_inner();
        let (bars, mut flags) = (Bars::default(), vec![]);
        while let Some(answer) = answers.message().await.map_err(|e| explain(&e))? {
            bars.show("watching events", answer.events, answer.events_total);
            flags.extend(answer.flag);
        }
        bars.end();
        Ok(flags)
    }

    async fn follow(&self) -> anyhow::Error {
        let mut resume_token = String::new();
        loop {
            match self.stream(&mut resume_token).await {
                Ok(end) if end.code() == Code::Unavailable && status::reason(&end) == "RESUME" => {}
                // It stops, or has not started again yet: nothing is left out that comes after the token.
                Ok(end) if end.code() == Code::Unavailable && !resume_token.is_empty() => {
                    tokio::time::sleep(AGAIN).await;
                }
                Ok(end) => return explain(&end),
                Err(error) => return error,
            }
        }
    }

    async fn stream(&self, token: &mut String) -> anyhow::Result<Status> {
        let request = WatchFlagsRequest { resume_token: token.clone() };
        let request = self.client.request(&self.user, request)?;
        let mut flags = match self.client.audit().watch_flags(request).await {
            Ok(flags) => flags.into_inner(),
            Err(end) => return Ok(end),
        };
        loop {
            match flags.message().await {
                Ok(Some(next)) => {
                    if let Some(flag) = &next.flag {
                        println!("{} {} {} {}", flag.number, when(flag), about(flag), said(flag));
                    }
                    *token = next.resume_token;
                }
                Ok(None) => return Ok(status::unavailable("RESUME", "the stream ended")),
                Err(end) => return Ok(end),
            }
        }
    }
}

fn when(flag: &Flag) -> String {
    shown_time(flag.occurred_at.as_ref())
}

fn about(flag: &Flag) -> String {
    match flag.user.as_str() {
        "" => flag.member_id.clone(),
        user => format!("{}/{user}", flag.member_id),
    }
}

fn said(flag: &Flag) -> String {
    format!("{}: {}", flag.reason, flag.sentence)
}

fn show(flags: &[Flag], limit: u32) {
    if flags.is_empty() {
        println!("no signs of misuse");
        return;
    }
    let mut rows = table(&["number", "when", "who", "sign", "events", "acknowledged"]);
    for flag in flags.iter().take(limit as usize) {
        let number = if flag.number == 0 { String::new() } else { flag.number.to_string() };
        let look = flag.acknowledgement.as_ref();
        let looked = look.map(|look| format!("{}/{}: {}", look.member_id, look.user, look.note));
        rows.add_row([
            number,
            when(flag),
            about(flag),
            said(flag),
            events(&flag.evidence),
            looked.unwrap_or_default(),
        ]);
    }
    println!("{rows}");
    if flags.len() > limit as usize {
        println!("\n{limit} of {} are shown; --limit N shows more", flags.len());
    }
}

/// Writes positions of events; of many the first and the last.
fn events(evidence: &[u64]) -> String {
    match evidence {
        [first, .., last] if evidence.len() > 3 => format!("{first} ... {last}"),
        few => few.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[derive(Serialize)]
struct Sign<'a> {
    number: u64,
    reason: &'a str,
    sentence: &'a str,
    occurred_at: Option<String>,
    member_id: &'a str,
    user: &'a str,
    sequence: u64,
    evidence: &'a [u64],
    acknowledged_by: Option<String>,
    note: Option<&'a str>,
}

impl<'a> From<&'a Flag> for Sign<'a> {
    fn from(flag: &'a Flag) -> Self {
        let Flag { number, reason, sentence, sequence, evidence, member_id, user, .. } = flag;
        let look = flag.acknowledgement.as_ref();
        let occurred_at = flag.occurred_at.as_ref().and_then(clock::from_proto);
        Self {
            number: *number,
            reason,
            sentence,
            occurred_at: occurred_at.map(|at| at.to_string()),
            member_id,
            user,
            sequence: *sequence,
            evidence,
            acknowledged_by: look.map(|look| format!("{}/{}", look.member_id, look.user)),
            note: look.map(|look| look.note.as_str()),
        }
    }
}

fn written(flags: &[Flag]) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&flags.iter().map(Sign::from).collect::<Vec<_>>())? + "\n")
}
