//! `signpost bench`: measures a real server on this machine, over mutual TLS on loopback.
//!
//! The server is a process of its own, so that its memory and processor time are not those of the load. It always
//! ends with the bench, and so does everything else that was started. Absent on purpose: load from other machines.

use std::{
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use signpost_common::clock::{Clock, SystemClock};
use signpost_people::output;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

mod audit;
mod database;
mod load;
mod locate;
mod postgres;
mod report;
mod sample;
mod seed;
mod server;
mod table;

use database::Database;
use load::Parties;
use report::{Conditions, FORM, Found, Report};
use sample::Sample;
use seed::Seeded;
use server::Server;

use crate::{cli::Bars, config::Service, pki};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Measure the master patient index: import, feeding, matching, registering, memory, disk
    ///
    /// It makes synthetic people and takes N records of them into an empty index as `import people --bulk` does. Then it
    /// starts a server of its own with keys of its own on that index and calls it over mutual TLS on loopback: it feeds as
    /// many new records again, at most 20,000, asks who people are, and registers further records one by one. At the end
    /// nothing of it is left.
    Mpi(Options),
    /// Measure the locator: first pointer, complete answer, throughput, a member that hangs, a large document
    ///
    /// It makes synthetic people and pointers to documents of theirs, fills the databases of an exchange of its own, starts
    /// that and a document source for each member, and locates as an emergency department does, over mutual TLS on
    /// loopback. Each locate is in the audit log, on disk, before it is answered. At the end nothing of it is left.
    Locate(locate::Options),
    /// Measure trust: the audit log, what it costs in a locate, new connections, and verifying a million entries
    ///
    /// It starts a server of its own with keys of its own, makes connections to it, calls it as a member and appends as the
    /// locator does, over mutual TLS on loopback. Then it fills the log and verifies it as an operator does. At the end nothing
    /// of it is left.
    Audit(audit::Options),
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many source records the import brings: records, not persons, who are fewer. What is fed comes on top
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=PEOPLE_MAX))]
    people: u32,
    /// Database of the server
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Kind,
    /// PostgreSQL to make a scratch database on [default: a private one, started here]
    ///
    /// As `postgres://user:password@host:port/database`. The database that it names is not written to, and must
    /// hold no index with records: a bench takes all that a server has.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Write what was measured to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show beside it what an earlier bench wrote with --json, and the ratio
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// How long each of the four measurements takes; import and feeding come before them
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// Most source records.
const PEOPLE_MAX: i64 = 10_000_000;

/// What the index needs.
const INDEX: [Service; 3] = [Service::Mpi, Service::Directory, Service::Audit];

/// Matches before anything counts.
const WARM_TIME: Duration = Duration::from_secs(1);

/// Matches under way at once when the server is to be busy.
const IN_FLIGHT: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Bench {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Mpi(options) => mpi(options).await,
            Self::Locate(options) => locate::run(options).await,
            Self::Audit(options) => audit::run(options).await,
        }
    }
}

async fn mpi(options: Options) -> anyhow::Result<ExitCode> {
    let given = options.postgres.is_some();
    ensure!(!given || options.database == Kind::Postgres, "--postgres URL needs --database postgres");
    output::check(&named("--compare", &options.compare), &named("--json", &options.json))?;
    let before = options.compare.as_deref().map(|path| FORM.read(path)).transpose()?;
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build, many times slower than `cargo build --release`");
    }
    let mut stop = Stop::new()?;
    let folder = tempfile::Builder::new().prefix("signpost-bench-").tempdir().context("making a folder")?;
    let database = stop.or(Database::prepare(options.database, options.postgres.as_deref(), &folder)).await?;
    let measured = on_server(&options, &folder, &database, &mut stop).await;
    database.end().await;
    let report = measured?;
    if let Some(path) = &options.json {
        output::write(path, &table::to_json(&report)?)?;
    }
    if let Some(before) = &before {
        let now = table::fields(&report)?;
        FORM.warnings(before, &now).iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    writeln!(std::io::stdout(), "{}", report.shown(before.as_ref())?)?;
    Ok(ExitCode::SUCCESS)
}

fn named<'a>(name: &'static str, file: &'a Option<PathBuf>) -> Vec<(&'static str, &'a Path)> {
    file.iter().map(|path| (name, path.as_path())).collect()
}

/// Starts the server, measures, and ends the server whatever came of it.
async fn on_server(
    options: &Options,
    folder: &TempDir,
    database: &Database,
    stop: &mut Stop,
) -> anyhow::Result<Report> {
    let bars = Arc::new(Bars::default());
    let people = options.people as usize;
    bars.show("making people", 0, 0);
    let made = tokio::task::spawn_blocking(move || sample::make(people, 0));
    let mut sample = stop.or(async { made.await? }).await?;
    pki::create(&server::pki(folder.path()), &sample.members())?;
    let (config, seed) = (server::config(folder.path(), database), std::mem::take(&mut sample.seed));
    // Linking lets nobody else have its thread for a while; a signal must be heard all the same.
    let filling = tokio::task::spawn_blocking({
        let (bars, runtime) = (bars.clone(), tokio::runtime::Handle::current());
        move || runtime.block_on(seed::fill(&config, seed, &bars))
    });
    let seeded = stop.or(async { filling.await? }).await?;
    bars.show("starting the server", 0, 0);
    let server = stop.or(Server::start(folder.path(), database, &INDEX, &[])).await?;
    let measured = stop.or(measure(options, seeded, sample, &server, database, &bars)).await;
    bars.end();
    let ended = server.end().await;
    match (measured, ended) {
        (Ok(report), Ok(())) => Ok(report),
        // A call that fails because there is no server says less than the server's last words.
        (Err(error), Err(ended)) => Err(ended.context(format!("{error:#}"))),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
    }
}

async fn measure(
    options: &Options,
    seeded: Seeded,
    mut sample: Sample,
    server: &Server,
    database: &Database,
    bars: &Bars,
) -> anyhow::Result<Report> {
    let time = Duration::from_secs(options.seconds);
    let parties = Parties::new(server, &sample.members())?;
    let (feed, later) = (std::mem::take(&mut sample.feed), std::mem::take(&mut sample.later));
    let began = server.cpu()?;
    let fed = load::feed(&parties, feed, bars).await?;
    let fed_cpu = server.cpu()?.saturating_sub(began);
    load::matches(&parties, &sample, "warming up", WARM_TIME, bars).await?;
    let alone = load::matches(&parties, &sample, "matching, one at a time", time, bars).await?;
    let began = server.cpu()?;
    let busy = load::matches_at_once(&parties, &sample, IN_FLIGHT, time, bars).await?;
    let busy_cpu = server.cpu()?.saturating_sub(began);
    let audited = load::matches_of_a_member(&parties, &sample, time, bars).await?;
    let registered = load::registrations(&parties, later, time, bars).await?;
    let found = Found {
        seeded,
        fed,
        fed_cpu,
        alone,
        busy,
        busy_cpu,
        audited,
        registered,
        peak_rss_mb: server.peak_rss_mb()?,
        anonymous_rss_mb: server.anonymous_rss_mb()?,
        index_bytes: database.index_bytes().await?,
    };
    let conditions = Conditions {
        measured_at: SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        people: options.people,
        database: options.database.name(),
        seconds: options.seconds,
        members: parties.members(),
        in_flight: IN_FLIGHT,
    };
    Report::new(conditions, &found)
}

/// What ends the bench before its time.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    /// From here on a signal no longer ends the process at once.
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Does some work, unless a signal comes first.
    async fn or<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            _ = self.interrupt.recv() => bail!("stopped by Ctrl-C"),
            _ = self.terminate.recv() => bail!("stopped by SIGTERM"),
            _ = self.hangup.recv() => bail!("stopped by SIGHUP"),
        }
    }
}
