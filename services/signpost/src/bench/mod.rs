//! `signpost bench`: measures a real server on this machine, over mutual TLS on loopback.
//!
//! The server is a process of its own, so that its memory and processor time are not those of the load. It always
//! ends with the bench, and so does everything else that was started. Absent on purpose: load from other machines.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use signpost_common::clock::{Clock, SystemClock};
use tempfile::TempDir;

mod audit;
mod database;
mod frame;
mod load;
mod locate;
mod postgres;
mod report;
mod sample;
mod seed;
mod server;
mod table;

use database::Database;
use frame::{Frame, Kind, Stop, ended};
use load::Parties;
use report::{Conditions, Found, Report};
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
    #[command(flatten)]
    frame: Frame,
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
    let measure =
        async |folder: &_, database: &_, stop: &mut _| on_server(&options, folder, database, stop).await;
    options.frame.run(measure).await
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
    ended(measured, server.end().await)
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
        database: options.frame.database.name(),
        seconds: options.seconds,
        members: parties.members(),
        in_flight: IN_FLIGHT,
    };
    Report::new(conditions, &found)
}
