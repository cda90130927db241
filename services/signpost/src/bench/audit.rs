//! `signpost bench audit`: what trust costs in a locate, how many releases a second become durable, how long it takes to verify a
//! log, and to make a connection.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use signpost_audit::bulk::Bulk;
use signpost_common::clock::{Clock, SystemClock};
use tempfile::TempDir;
use tokio::process::Command;

mod load;
mod report;

use load::Parties;
use report::{Conditions, Found, Report};

use super::{
    database::Database,
    frame::{Frame, Stop, ended},
    server::{self, Server},
};
use crate::{cli::Bars, config::Service, pki, wiring};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many entries the log has that is verified
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    entries: u64,
    #[command(flatten)]
    frame: Frame,
    /// File for the server's journal [default: it has none]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long each measurement takes
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// What is started: an exchange as far as its log needs it.
const SERVICES: [Service; 2] = [Service::Directory, Service::Audit];

/// Calls before anything counts.
const WARM_TIME: Duration = Duration::from_secs(1);

/// Releases under way at once.
const IN_FLIGHT: usize = 256;

/// Entries that are appended at once when the log is filled.
const FILL_AT_ONCE: usize = 2_000;

/// Entries between two checkpoints of a log that is filled.
const FILL_SIGNED_EVERY: u64 = 10_000;

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let measure = async |folder: &_, database: &_, stop: &mut _| {
        let bars = Bars::default();
        let measured = on_log(&options, folder, database, stop, &bars).await;
        bars.end();
        measured
    };
    options.frame.run(measure).await
}

/// Measures a server, ends it whatever came of it, and verifies the log that it leaves, grown to its size.
async fn on_log(
    options: &Options,
    folder: &TempDir,
    database: &Database,
    stop: &mut Stop,
    bars: &Bars,
) -> anyhow::Result<Report> {
    let member = pki::NewMember {
        id: load::MEMBER.into(),
        name: load::MEMBER.into(),
        region: String::new(),
        kind: pki::Kind::Provider,
        endpoint: String::new(),
    };
    pki::create(&server::pki(folder.path()), &[member])?;
    bars.show("starting the server", 0, 0);
    let journal = options.journal.as_deref().map(std::path::absolute).transpose()?;
    let journal = journal.map(|path| ("SIGNPOST_AUDIT__JOURNAL".to_owned(), path.display().to_string()));
    let server = stop.or(Server::start(folder.path(), database, &SERVICES, journal.as_slice())).await?;
    let time = Duration::from_secs(options.seconds);
    let measured = stop.or(on_server(&server, time, bars)).await;
    let mut found = ended(measured, server.end().await)?;
    found.filled = stop.or(fill(options.entries, folder.path(), database, bars)).await?;
    bars.show("verifying the log", 0, 0);
    found.verified = stop.or(verify(folder.path(), database)).await?;
    let conditions = Conditions {
        measured_at: SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        entries: options.entries,
        database: options.frame.database.name(),
        seconds: options.seconds,
        in_flight: IN_FLIGHT,
    };
    Ok(Report::new(conditions, &found))
}

async fn on_server(server: &Server, time: Duration, bars: &Bars) -> anyhow::Result<Found> {
    let parties = Parties::new(server)?;
    load::appends(&parties, load::small, "warming up", WARM_TIME, bars).await?;
    Ok(Found {
        handshakes: load::handshakes(server, time, bars).await?,
        open: load::open(&parties, time, bars).await?,
        admitted: load::admitted(&parties, time, bars).await?,
        small: load::appends(&parties, load::small, "small events, one at a time", time, bars).await?,
        large: load::appends(&parties, load::release, "releases, one at a time", time, bars).await?,
        busy: load::appends_at_once(&parties, IN_FLIGHT, time, bars).await?,
        filled: Duration::ZERO,
        verified: Duration::ZERO,
    })
}

/// Fills the log up to so many entries, with checkpoints; returns how long that took.
async fn fill(entries: u64, folder: &Path, database: &Database, bars: &Bars) -> anyhow::Result<Duration> {
    let config = server::config(folder, database);
    let (location, blinder) = (config.location(Service::Audit)?, wiring::blinder(&config.blinding_key)?);
    let (bulk, signer) = (Bulk::open(&location, blinder).await?, wiring::log_signer(&config)?);
    let began = Instant::now();
    let mut size = bulk.size().await?;
    ensure!(size <= entries, "the server made {size} entries, more than --entries says");
    let mut signed = 0;
    while size < entries {
        let count = usize::try_from(entries - size)?.min(FILL_AT_ONCE);
        bulk.append((0..count as u64).map(|number| load::release(size + number)).collect()).await?;
        size += count as u64;
        if size >= signed + FILL_SIGNED_EVERY || size == entries {
            bulk.sign(&signer, SystemClock.now().as_microsecond()).await?;
            signed = size;
        }
        bars.show("filling the log", size, entries);
    }
    Ok(began.elapsed())
}

/// Verifies the log as an operator does; returns how long the command took.
async fn verify(folder: &Path, database: &Database) -> anyhow::Result<Duration> {
    let mut command = Command::new(std::env::current_exe().context("finding this binary")?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNPOST_")) {
        command.env_remove(name);
    }
    command.env("SIGNPOST_DATABASE", database.setting().expose()).current_dir(folder);
    command.args(["audit", "verify"]).stdin(Stdio::null()).kill_on_drop(true);
    let began = Instant::now();
    let ended = command.output().await.context("starting `signpost audit verify`")?;
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "the log does not verify: {said}");
    Ok(took)
}
