//! `signpost demo`: an exchange with four members in one process, twenty thousand people, and the story of Jane Doe.
//!
//! Everything is real: certificates, tokens, mutual TLS on loopback, files, databases, the audit log.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use signpost_common::telemetry;

mod load;
mod story;
mod world;

use world::World;

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// People in the synthetic population
    #[arg(long, default_value_t = 20_000)]
    people: usize,
    /// Seed of the population
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stay after the story, so that you can try by hand
    #[arg(long)]
    keep: bool,
    /// Folder for databases, keys and documents; a demo that was there before is replaced
    #[arg(long, default_value = ".signpost/demo", value_name = "DIR")]
    dir: PathBuf,
    /// Address to listen on [default: 127.0.0.1:7443 with --keep, otherwise any free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Marks a folder as a demo's, which the next demo may replace.
const MARKER: &str = "made-by-signpost-demo";

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let filter = "error".to_owned();
    let _telemetry = telemetry::start(&telemetry::Config { filter, ..telemetry::Config::default() })?;
    let listen = match (&options.listen, options.keep) {
        (Some(listen), _) => listen.as_str(),
        (None, true) => "127.0.0.1:7443",
        (None, false) => "127.0.0.1:0",
    };
    // What would fail later must not replace the last demo first.
    TcpListener::bind(listen)
        .with_context(|| format!("listening on {listen}; --listen names another address"))?;
    let _running = prepare(&options.dir)?;
    println!("Signpost: an exchange with four members in four states, in one process, on embedded SQLite.");
    println!(
        "Every call crosses mutual TLS on loopback; everything it leaves is in {}.\n",
        options.dir.display()
    );
    let population = load::generate(&options)?;
    let world = World::start(&options.dir, listen).await?;
    let loaded = load::feed(&world, population).await?;
    println!("{loaded}\n");
    let told = story::tell(&world).await?;
    story::measure(&world, &loaded.samples).await?;
    println!("\nIn all {:.1} s.", began.elapsed().as_secs_f64());
    try_by_hand(&options, &world, &told);
    if options.keep {
        println!("\nThe exchange keeps running; Ctrl-C ends it.");
        tokio::signal::ctrl_c().await?;
    }
    world.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Makes an empty folder; replaces only what an earlier demo made and has ended. The file returned marks it as in use.
fn prepare(dir: &Path) -> anyhow::Result<File> {
    let working = || format!("preparing the folder {}", dir.display());
    if dir.exists() {
        let empty = std::fs::read_dir(dir).with_context(working)?.next().is_none();
        let ours = dir.join(MARKER).exists();
        ensure!(empty || ours, "{} holds something that no demo made; name another --dir", dir.display());
        if ours {
            let lock = File::open(dir.join(MARKER)).with_context(working)?.try_lock();
            ensure!(lock.is_ok(), "another demo runs in {}; name another --dir", dir.display());
        }
        std::fs::remove_dir_all(dir).with_context(working)?;
    }
    std::fs::create_dir_all(dir).with_context(working)?;
    let marker = File::create(dir.join(MARKER)).with_context(working)?;
    marker.lock().with_context(working)?;
    Ok(marker)
}

/// Prints commands that work as they stand: against this exchange when it is kept, else against the next, in which ids
/// are new and are taken from what the commands print.
fn try_by_hand(options: &Options, world: &World, told: &story::Told) {
    let dir = options.dir.display();
    println!("\nTo try by hand, with `signpost` for `cargo run --release --bin signpost --`:");
    let (endpoint, person, document) = match options.keep {
        true => (world.endpoint.as_str(), told.unconscious_person_id.as_str(), told.document_id.as_str()),
        false => ("https://127.0.0.1:7443", "$person", "$document"),
    };
    if !options.keep {
        println!(
            "  signpost demo --keep --dir {dir}    # leaves the exchange running; then, in another terminal:"
        );
    }
    println!("  who='--as {} --user dr.lee --pki {} --endpoint {endpoint}'", world::ED, world.pki.display());
    let jane =
        "--given Jayne --family Doe --birth-date 1984-07-19 --address '12 Chestnut St' --postcode 78701";
    let john = "--given John --family Roe --birth-date 1961-02-11";
    println!("  signpost locate $who {jane} | tee jane.txt");
    if !options.keep {
        println!("  document=$(awk '/Allergies/ {{print $2; exit}}' jane.txt)");
    }
    println!("  signpost fetch $who --out allergies.json {document}");
    println!("  signpost locate $who {john} | tee john.txt");
    if !options.keep {
        println!("  person=$(awk '/^person/ {{print $2}}' john.txt)");
    }
    println!(
        "  signpost emergency $who --text 'found unconscious at the roadside' {person} | tee session.txt"
    );
    println!("  signpost locate $who {john} --emergency $(awk '/^emergency/ {{print $3}}' session.txt)");
}

/// Shows a duration as people read it.
fn shown(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
