//! `signpost bench locate`: how soon an emergency department sees the first pointer, and all of them.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use signpost_common::clock::{Clock, SystemClock};
use tempfile::TempDir;

use super::{
    database::Database,
    frame::{Frame, Kind, Stop, ended},
    sample::{self, Sample},
    seed, server,
};
use crate::{cli::Bars, client::Client, config::Service, pki};

mod load;
mod report;
mod world;

use load::Asker;
use report::{Conditions, Found, Report};
use world::{DOCUMENT_BYTES, Exchange, Sources};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many source records the index holds: records, not persons, who are fewer
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    people: u32,
    /// How many pointers the registry holds [default: five a record]
    #[arg(long, value_name = "M")]
    pointers: Option<u64>,
    /// How many members there are
    #[arg(long, default_value_t = 20, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=200))]
    members: u32,
    #[command(flatten)]
    frame: Frame,
    /// Run the exchange as six processes, a service each; needs PostgreSQL
    #[arg(long)]
    split: bool,
    /// How long each of the five measurements of locates takes
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
}

/// Locates before anything counts.
const WARM_TIME: Duration = Duration::from_secs(2);

/// Locates under way at once when the exchange is to be busy.
const IN_FLIGHT: usize = 32;

/// Connections that they share.
const CHANNELS: usize = 4;

/// Locates under way at once while members are asked.
const ASKING: usize = 8;

/// How long members are waited for, in milliseconds.
const MEMBERS_MS: u32 = 500;

/// Part of the highest rate at which locates come in the open loop.
const STEADY_PART: f64 = 0.5;

/// How often the large document is fetched; the median counts.
const FETCHES: usize = 5;

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let postgres = options.frame.database == Kind::Postgres;
    ensure!(!options.split || postgres, "--split needs --database postgres: SQLite is for one process");
    let measure =
        async |folder: &_, database: &_, stop: &mut _| on_exchange(&options, folder, database, stop).await;
    options.frame.run(measure).await
}

/// Fills the databases, starts the exchange and the members' sources, measures, and ends all of it whatever came of it.
async fn on_exchange(
    options: &Options,
    folder: &TempDir,
    database: &Database,
    stop: &mut Stop,
) -> anyhow::Result<Report> {
    let bars = Arc::new(Bars::default());
    let (people, members) = (options.people as usize, options.members as usize);
    bars.show("making people", 0, 0);
    let made = tokio::task::spawn_blocking(move || sample::make(people, members));
    let mut sample = stop.or(async { made.await? }).await?;
    pki::create(&server::pki(folder.path()), &sample.members())?;
    let config = server::config(folder.path(), database);
    let records = std::mem::take(&mut sample.seed);
    let local_ids = world::local_ids(&records);
    // Linking lets nobody else have its thread for a while; a signal must be heard all the same.
    let filling = tokio::task::spawn_blocking({
        let (bars, runtime, config) = (bars.clone(), tokio::runtime::Handle::current(), config.clone());
        move || runtime.block_on(seed::fill(&config, records, &bars))
    });
    stop.or(async { filling.await? }).await?;
    let wanted = options.pointers.unwrap_or(u64::from(options.people) * 5);
    let pointers = stop.or(world::fill(&config, &local_ids, wanted, &bars)).await?;
    let (member, local_id) = local_ids
        .iter()
        .find_map(|(member, ids)| Some((*member, ids.first()?.clone())))
        .context("nobody has a record")?;
    let large = world::write_document(folder.path(), member, &local_id)?;
    bars.show("starting the exchange", 0, 0);
    let exchange = stop.or(Exchange::start(folder.path(), database, options.split)).await?;
    let ids: Vec<&str> = local_ids.keys().copied().collect();
    let sources = stop.or(Sources::start(folder.path(), &ids, &exchange)).await?;
    let large = (member, large);
    let measured = stop.or(measure(options, pointers, &sample, &exchange, &sources, large, &bars)).await;
    bars.end();
    sources.end().await?;
    ended(measured, exchange.end().await)
}

async fn measure(
    options: &Options,
    pointers: u64,
    sample: &Sample,
    exchange: &Exchange,
    sources: &Sources,
    large: (&str, signpost_proto::registry::v1::DocumentEntry),
    bars: &Bars,
) -> anyhow::Result<Report> {
    let time = Duration::from_secs(options.seconds);
    let members = sample.members();
    // The emergency department is the last member; the one that hangs is the first.
    let (ed, ill) = (&members[members.len() - 1].id, &members[0].id);
    let client = || exchange.client(ed, Service::Locator);
    let asker = Asker { client: client()?, sample, members_ms: None };
    load::one_by_one(&asker, "warming up", WARM_TIME, bars).await?;
    let alone = load::one_by_one(&asker, "locating, one at a time", time, bars).await?;
    let clients = (0..CHANNELS).map(|_| client()).collect::<anyhow::Result<Vec<Client>>>()?;
    let busy = load::at_once(&asker, &clients, IN_FLIGHT, time, bars).await?;
    let highest = busy.count() as f64 / busy.took.as_secs_f64();
    let steady = load::at_rate(&asker, highest * STEADY_PART, time, bars).await?;
    let asking = Asker { client: client()?, sample, members_ms: Some(MEMBERS_MS) };
    load::with_one_hung(&asking, ASKING, WARM_TIME, bars).await?;
    let asked = load::with_one_hung(&asking, ASKING, time, bars).await?;
    bars.show("fetching a large document", 0, 0);
    let (member, entry) = large;
    let document_id = load::register(&exchange.client(member, Service::Registry)?, entry).await?;
    let (fetch_mb_per_s, fetch_extra_rss_mb) = fetches(&client()?, exchange, &document_id).await?;
    exchange.set_endpoint(ill, &sources.hung()?).await?;
    let hung = load::with_one_hung(&asking, ASKING, time, bars).await?;
    let peak_rss_mb = exchange.peak_rss_mb()?;
    let found = Found { alone, steady, busy, asked, hung, fetch_mb_per_s, fetch_extra_rss_mb, peak_rss_mb };
    let conditions = Conditions {
        measured_at: SystemClock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        people: options.people,
        pointers,
        members: members.len(),
        database: options.frame.database.name(),
        processes: exchange.processes(),
        seconds: options.seconds,
        in_flight: IN_FLIGHT,
    };
    Report::new(conditions, &found)
}

/// Fetches the large document several times; returns MB a second, and how much more memory the locator took meanwhile.
async fn fetches(client: &Client, exchange: &Exchange, document_id: &str) -> anyhow::Result<(f64, f64)> {
    // Connections and buffers of the first are there to stay.
    load::fetch(client, document_id, DOCUMENT_BYTES).await?;
    let before = exchange.locator_rss_mb()?;
    let (mut took, mut most) = (vec![], before);
    for _ in 0..FETCHES {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let fetch = load::fetch(client, document_id, DOCUMENT_BYTES);
        tokio::pin!(fetch);
        loop {
            tokio::select! {
                done = &mut fetch => {
                    took.push(done?);
                    break;
                }
                _ = ticks.tick() => most = most.max(exchange.locator_rss_mb()?),
            }
        }
    }
    took.sort();
    let megabytes = DOCUMENT_BYTES as f64 / f64::from(1 << 20);
    Ok((megabytes / took[took.len() / 2].as_secs_f64(), most - before))
}
