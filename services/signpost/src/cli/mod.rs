//! The command line.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use signpost_common::rpc::{status, token, token::User};
use signpost_proto::common::v1::{PurposeOfUse, Role};
use tonic::Status;

use crate::{
    bench,
    client::{Client, Party},
    config::Service,
    demo,
};

mod audit;
mod bars;
mod care;
mod consent;
mod fetch;
mod import;
mod keys;
mod member;
mod model;
mod onboard;
mod operate;
mod people;
mod policy;
mod scoreboard;
mod seen;
mod span;
mod steward;
mod summary;

pub(crate) use bars::Bars;
pub(crate) use care::{show_completion, show_person, show_pointers};
pub(crate) use import::demographics;
pub(crate) use onboard::{Onboarding, READING, ROWS_AT_ONCE};

/// Finds the records of a traveller, wherever they are held, as far as they may be seen.
#[derive(Debug, Parser)]
#[command(name = "signpost", version, max_term_width = 100)]
struct Cli {
    /// Configuration file [default: signpost.toml, when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exchange, or some of its services
    Serve {
        /// Run this service only; may be given several times
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Service>,
    },
    /// See it work: an exchange with four members, and the story of Jane Doe
    Demo(demo::Options),
    /// Find a person and list the documents that you may see
    Locate(care::Locate),
    /// Fetch a document, or all that you may see of a person
    Fetch(fetch::Fetch),
    /// List or count the documents of a person that you may see
    Documents(seen::Documents),
    /// Say what became of a locate, by its request id
    Run(seen::Run),
    /// List what users saw, the latest first, as it stood then
    ///
    /// Called as a privacy officer of the users' member, or of the operator.
    Seen(seen::Seen),
    /// Put all that you may see of a person together into one FHIR document
    Summary(summary::Summary),
    /// Open emergency access to a person's records
    Emergency(care::Emergency),
    /// Members: take them in, renew what proves them, say what they may ask for, keep them out
    #[command(subcommand)]
    Member(member::Member),
    /// Show how good each member's pointers are, as the operator
    ///
    /// Members see themselves with --role system.
    Scoreboard(scoreboard::Scoreboard),
    /// What patients permit and forbid
    ///
    /// Called as a clerk of the member; patients, and who acts for them, call with --role patient or representative, and with
    /// their local id as --user.
    #[command(subcommand)]
    Directive(consent::Directive),
    /// List to whom information on a patient was disclosed, the latest first (45 CFR 164.528)
    Disclosures(consent::Disclosures),
    /// Review emergency access, as a privacy officer
    #[command(subcommand)]
    Review(consent::Review),
    /// What patients and privacy officers are told
    ///
    /// Called as a privacy officer; patients call with --role patient, and with their local id as --user.
    #[command(subcommand)]
    Notice(consent::Notice),
    /// Decide which records are of one person, take it back, and see why
    #[command(subcommand)]
    Steward(steward::Steward),
    /// Models by which the exchange weighs agreement: learn one, see what it would change, promote it
    #[command(subcommand)]
    Model(model::Model),
    /// The network's policy: write, check and try one, see what it would change, activate it
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Feed what a member knows into the exchange
    #[command(subcommand)]
    Import(import::Import),
    /// Link files of people, without a server
    #[command(subcommand)]
    People(people::People),
    /// Measure how fast it is on this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Keys that data at rest is sealed under
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The audit log: keep its checkpoints, verify it, export it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Bring database schemas up to date and exit
    Migrate {
        /// This service only; may be given several times
        #[arg(long, value_name = "SERVICE")]
        only: Vec<Service>,
    },
    /// Print the configuration in force
    Config,
    /// Make certificates and keys for development
    Pki(operate::Pki),
    /// Ask a running process whether it serves
    Health(operate::Health),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Whoever reads the output may have seen enough: `signpost locate ... | head -1` is no crash.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        if text.contains("Broken pipe") {
            std::process::exit(0);
        }
        // A full disk behind a redirected output is none either, and what was asked for is done.
        if let Some((_, cause)) = text.split_once("failed printing to stdout: ") {
            eprintln!("error: what was asked for is done, but the output could not be written: {cause}");
            std::process::exit(1);
        }
        report(panic);
    }));
    let cli = Cli::parse();
    let mut builder = match cli.command {
        // What is measured is the server: its client's calls and its connection share a thread, and do not wait for each other
        // to be woken.
        Command::Bench(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            // What was interrupted is not waited for.
            runtime.shutdown_background();
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = cli.config.as_deref();
    match cli.command {
        Command::Serve { only } => operate::serve(config, &only).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Locate(locate) => locate.run().await,
        Command::Fetch(fetch) => fetch.run().await,
        Command::Documents(documents) => documents.run().await,
        Command::Run(run) => run.run().await,
        Command::Seen(seen) => seen.run().await,
        Command::Member(member) => member.run().await,
        Command::Scoreboard(scoreboard) => scoreboard.run().await,
        Command::Summary(summary) => summary.run().await,
        Command::Emergency(emergency) => emergency.run().await,
        Command::Directive(directive) => directive.run().await,
        Command::Disclosures(disclosures) => disclosures.run().await,
        Command::Review(review) => review.run().await,
        Command::Notice(notice) => notice.run().await,
        Command::Steward(steward) => steward.run().await,
        Command::Model(model) => model.run().await,
        Command::Policy(policy) => policy.run().await,
        Command::Import(import) => import.run(config).await,
        Command::People(people) => people.run(),
        Command::Bench(bench) => bench.run().await,
        Command::Keys(keys) => keys.run(config).await,
        Command::Audit(audit) => audit.run(config).await,
        Command::Migrate { only } => operate::migrate(config, &only).await,
        Command::Config => operate::show_config(config),
        Command::Pki(pki) => pki.run(),
        Command::Health(health) => health.run(config).await,
    }
}

/// Whoever works at the command line, when it does not matter who.
const DEFAULT_USER: &str = "cli";

/// Where the exchange is, and who asks.
#[derive(Debug, Clone, Args)]
struct Who {
    /// Member in whose name to call
    #[arg(long = "as", value_name = "MEMBER")]
    member: String,
    /// User in whose name to call
    #[arg(long, default_value = DEFAULT_USER)]
    user: String,
    /// The user's role, for instance physician, nurse, system, patient
    #[arg(long)]
    role: Option<String>,
    /// Purpose of use: TREAT, ETREAT, HPAYMT, HOPERAT, PUBHLTH, HRESCH, PATRQT, BTG
    #[arg(long)]
    purpose: Option<String>,
    /// Encounter that the call belongs to
    #[arg(long, default_value = "")]
    encounter: String,
    /// Address of the exchange
    #[arg(long, default_value = "https://127.0.0.1:7443", value_name = "URI")]
    endpoint: String,
    /// Name that the exchange's certificate carries
    #[arg(long, default_value = "exchange", value_name = "NAME")]
    server_name: String,
    /// Folder with the member's certificate and keys, as `signpost pki` makes it
    #[arg(long, default_value = ".signpost/pki", value_name = "DIR")]
    pki: PathBuf,
}

impl Who {
    fn client(&self) -> anyhow::Result<Client> {
        Client::new(&Party {
            endpoint: self.endpoint.clone(),
            server_name: self.server_name.clone(),
            pki: self.pki.clone(),
            member_id: self.member.parse().with_context(|| format!("member {:?}", self.member))?,
        })
    }

    fn user(&self, role: Role, purpose: PurposeOfUse) -> anyhow::Result<User> {
        let role = match &self.role {
            Some(text) => named_role(text)?,
            None => role,
        };
        let purpose = match &self.purpose {
            Some(text) => named_purpose(text)?,
            None => purpose,
        };
        Ok(User { name: self.user.clone(), role, purpose, encounter: self.encounter.clone() })
    }
}

/// Reads a role.
fn named_role(text: &str) -> anyhow::Result<Role> {
    token::role(text).with_context(|| {
        let all = (1..).map_while(|number| Role::try_from(number).ok()).map(token::role_name);
        format!("{text:?} is not a role: there are {}", all.collect::<Vec<_>>().join(", "))
    })
}

/// Reads a purpose of use, in upper or lower case.
fn named_purpose(text: &str) -> anyhow::Result<PurposeOfUse> {
    token::purpose(&text.to_ascii_uppercase()).with_context(|| {
        let all = (1..).map_while(|number| PurposeOfUse::try_from(number).ok()).map(token::purpose_code);
        format!("{text:?} is not a purpose of use: there are {}", all.collect::<Vec<_>>().join(", "))
    })
}

/// Turns an error of a call into one that people can act on.
fn explain(error: &Status) -> anyhow::Error {
    let code = format!("{:?}", error.code());
    let hint = match error.code() {
        // Without a reason it is the transport that speaks.
        tonic::Code::Unavailable if status::reason(error).is_empty() => {
            "; is the exchange running, and is --endpoint right?"
        }
        tonic::Code::Unknown if status::reason(error).is_empty() => "; the connection broke off",
        tonic::Code::Unimplemented if status::reason(error).is_empty() => {
            "; the process at --endpoint does not run the service that this needs"
        }
        _ => "",
    };
    let message = if error.message().is_empty() { "no message" } else { error.message() };
    match status::reason(error).as_str() {
        "" => anyhow::anyhow!("{code}: {message}{hint}"),
        reason => anyhow::anyhow!("{code} ({reason}): {message}"),
    }
}

/// Makes an empty table with a header.
pub(crate) fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    table
}

/// Counts things as people do.
fn counted(count: u32, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Makes a fresh request id.
pub(crate) fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
