//! What patients directed, who was told of what, and what became of emergency access: commands for a registration desk, for
//! patients and for privacy officers.

mod directive;
mod officer;

use std::process::ExitCode;

use clap::{Args, Subcommand};
pub(super) use officer::Disclosures;
use signpost_common::rpc::{page, status, token::User};
use signpost_proto::common::v1::{PurposeOfUse, Role};
use tonic::{Request, Status};

use super::{Who, explain};
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Directive {
    /// Record that a patient permits something
    Permit(directive::New),
    /// Record that a patient forbids something
    ///
    /// Once it is answered, nothing is released that it forbids.
    Deny(directive::New),
    /// List what a patient directed, the latest first
    List(directive::List),
    /// Take a directive back
    ///
    /// Once it is answered, nothing is released under it.
    Revoke(directive::Revoke),
    /// Record what a FHIR Consent says
    Import(directive::Import),
    /// Print a directive as a FHIR Consent
    Export(directive::Export),
}

impl Directive {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        use signpost_proto::consent::v1::Effect;
        match self {
            Self::Permit(new) => new.run(Effect::Permit).await,
            Self::Deny(new) => new.run(Effect::Deny).await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
            Self::Import(import) => import.run().await,
            Self::Export(export) => export.run().await,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Review {
    /// List sessions of emergency access that wait for a review, the oldest first
    List(officer::Reviews),
    /// Record what a review found; the session ends with it
    Complete(officer::Complete),
}

impl Review {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run().await,
            Self::Complete(complete) => complete.run().await,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Notice {
    /// List notices that nobody took note of yet, the latest first
    List(officer::Notices),
    /// Take note of a notice
    Acknowledge(officer::Acknowledge),
}

impl Notice {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run().await,
            Self::Acknowledge(acknowledge) => acknowledge.run().await,
        }
    }
}

/// Somebody at work, with a connection.
struct Desk {
    client: Client,
    user: User,
}

impl Desk {
    /// Returns the desk of whoever calls, in this role unless they name another.
    fn of(who: &Who, role: Role) -> anyhow::Result<Self> {
        let mut user = who.user(role, PurposeOfUse::Hoperat)?;
        // Patients, and who acts for them, ask for their own.
        if who.purpose.is_none() && matches!(user.role, Role::Patient | Role::Representative) {
            user.purpose = PurposeOfUse::Patrqt;
        }
        Ok(Self { client: who.client()?, user })
    }

    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        self.client.request(&self.user, message)
    }
}

/// How much to list.
#[derive(Debug, Args)]
struct Limit {
    /// Most to list
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Limit {
    /// Lists page by page, from the size of a page and the token where it begins, until enough is there.
    async fn list<T>(
        &self,
        mut page: impl AsyncFnMut(i32, String) -> anyhow::Result<(Vec<T>, String)>,
    ) -> anyhow::Result<Listed<T>> {
        let limit = self.limit as usize;
        let (mut rows, mut token) = (vec![], String::new());
        loop {
            let left = i32::try_from(limit - rows.len()).unwrap_or(i32::MAX);
            let (more, next) = page(left.min(page::SIZE_MAX), token).await?;
            rows.extend(more);
            if next.is_empty() || rows.len() >= limit {
                let more = (!next.is_empty()).then_some(self.limit);
                return Ok(Listed { rows, more });
            }
            token = next;
        }
    }
}

/// What was listed.
struct Listed<T> {
    rows: Vec<T>,
    /// The limit, where there is more.
    more: Option<u32>,
}

impl<T> Listed<T> {
    /// Prints a table, or that there is nothing, and whether there is more.
    fn show(&self, none: &str, show: impl FnOnce(&[T])) -> ExitCode {
        match &self.rows[..] {
            [] => println!("{none}"),
            rows => show(rows),
        }
        if let Some(limit) = self.more {
            println!("there are more than {limit}; --limit N shows them");
        }
        ExitCode::SUCCESS
    }
}

/// Turns an error of a call into one that says what to do next.
fn refused(error: &Status) -> anyhow::Error {
    let next = match status::reason(error).as_str() {
        "DIRECTIVE_UNKNOWN" => "`signpost directive list PATIENT` shows those of a patient of yours",
        "DIRECTIVES_TOO_MANY" => "`signpost directive revoke` ends one",
        "SESSION_UNKNOWN" => "`signpost review list` shows sessions of your organisation",
        "OWN_SESSION" => "another privacy officer reviews it, as --user",
        "RECORD_UNKNOWN" => "`signpost import people` feeds patients",
        "REVIEW_COMPLETED" => "`signpost review list --all` shows who reviewed what",
        "NOTICE_UNKNOWN" => "`signpost notice list` shows those for you",
        "ROLE_NOT_PERMITTED" => "--role says in which role you call",
        _ => "",
    };
    match next {
        "" => explain(error),
        next => anyhow::anyhow!("{:#}; {next}", explain(error)),
    }
}
