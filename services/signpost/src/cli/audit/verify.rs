//! Verifying a whole log offline.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use signpost_audit::{
    domain::checkpoint::Verifier,
    journal, store,
    verify::{self, Note, Verdict},
};
use signpost_common::db::Location;

use super::{
    super::{bars::Bars, table},
    kept::Kept,
    keys, write_whole,
};
use crate::{
    config::{Config, Service},
    wiring,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// File that `audit export --format raw` wrote [default: the database of the configuration]
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    /// Folder of checkpoints that were kept outside of the exchange, as `audit checkpoint --out` writes it
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Verifier key, or a file with it; may be given several times [default: audit.pub beside `audit_signing_key`]
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Write what was found to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was found, for programs.
#[derive(Debug, Serialize)]
struct Report {
    good: bool,
    first: u64,
    entries: u64,
    root: String,
    checkpoints: usize,
    checkpoints_proved: usize,
    /// Entries up to which checkpoints vouch for the log.
    vouched: u64,
    /// Events that wait in the journal and are not in the log yet.
    waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    first: u64,
    last: u64,
    what: &'static str,
    text: String,
}

impl Verify {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let config = Config::load(file)?;
        let keys = known(&self.keys, &config)?;
        let elsewhere = match &self.checkpoints {
            Some(folder) => elsewhere(folder)?,
            None => vec![],
        };
        let journal = &config.audit.journal;
        // What waits comes into the log, and not out of it.
        let waiting = match self.raw.is_none() && !journal.as_os_str().is_empty() {
            true => journal::waiting(journal)?.map_or(0, |waiting| waiting.entries),
            false => 0,
        };
        let bars = Arc::new(Bars::default());
        let verified = match self.raw {
            Some(path) => of_file(path, keys, elsewhere, bars.clone()).await,
            None => of_database(&config, &keys, &elsewhere, &bars).await,
        };
        bars.end();
        let mut report = Report::from(verified?);
        report.waiting = waiting;
        if let Some(path) = &self.json {
            write_whole(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
        }
        report.show();
        Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Returns the keys that may have signed: those given, or those of the configuration.
pub(super) fn known(given: &[String], config: &Config) -> anyhow::Result<Vec<Verifier>> {
    let usual = config.audit_signing_key.with_file_name("audit.pub");
    let mut known = match given.is_empty() && !usual.exists() {
        true => vec![wiring::log_signer(config)?.verifier().clone()],
        false => keys(given, usual)?,
    };
    if given.is_empty() {
        known.extend(wiring::log_keys_before(config)?);
    }
    Ok(known)
}

/// Returns the database of the configuration, which must be there.
pub(super) fn location(config: &Config) -> anyhow::Result<Location> {
    let location = config.location(Service::Audit)?;
    match &location {
        Location::Memory => {
            bail!("the database of the configuration is in memory: it is gone with its process")
        }
        Location::File(path) if !path.exists() => bail!("there is no audit log at {}", path.display()),
        Location::File(_) | Location::Postgres { .. } => Ok(location),
    }
}

fn elsewhere(folder: &Path) -> anyhow::Result<Vec<Note>> {
    let found = Kept::all(folder)?;
    if found.is_empty() {
        bail!("there is no checkpoint in {}", folder.display());
    }
    Ok(found
        .into_iter()
        .map(|found| Note { name: found.path.display().to_string(), note: found.note })
        .collect())
}

async fn of_database(
    config: &Config,
    keys: &[Verifier],
    elsewhere: &[Note],
    bars: &Bars,
) -> anyhow::Result<Verdict> {
    let scan = store::open_scan(&location(config)?).await.context("opening the database of audit")?;
    let progress = |done, all| bars.show("verifying", done, all);
    let verified = verify::database::verify(Arc::from(scan), keys, elsewhere, &progress).await;
    verified.context("verifying the audit log")
}

async fn of_file(
    path: PathBuf,
    keys: Vec<Verifier>,
    elsewhere: Vec<Note>,
    bars: Arc<Bars>,
) -> anyhow::Result<Verdict> {
    let shown = path.display().to_string();
    let work = move || {
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let progress = |done, all| bars.show("verifying", done, all);
        anyhow::Ok(verify::raw::verify(
            BufReader::with_capacity(1 << 20, file),
            &keys,
            &elsewhere,
            &progress,
        )?)
    };
    tokio::task::spawn_blocking(work).await?.with_context(|| format!("verifying {shown}"))
}

impl From<Verdict> for Report {
    fn from(verdict: Verdict) -> Self {
        let Verdict { first, size, root, checkpoints, proved, vouched, finding } = verdict;
        Self {
            good: finding.is_none(),
            first,
            entries: size,
            root: hex::encode(root),
            checkpoints,
            checkpoints_proved: proved,
            vouched,
            waiting: 0,
            finding: finding.map(|found| Found {
                first: found.first,
                last: found.last,
                what: found.fault.name(),
                text: found.to_string(),
            }),
        }
    }
}

impl Report {
    fn show(&self) {
        let mut rows = table(&["the log", if self.good { "is good" } else { "is not good" }]);
        if self.first > 0 {
            rows.add_row(["first entry".to_owned(), self.first.to_string()]);
        }
        match &self.finding {
            None => {
                rows.add_row(["entries".to_owned(), (self.entries - self.first).to_string()]);
                rows.add_row(["root hash".to_owned(), self.root.clone()]);
                if self.vouched < self.entries {
                    let from = format!("for entry {} and those after it", self.vouched);
                    rows.add_row(["nothing vouches".to_owned(), from]);
                }
            }
            Some(found) => {
                let place = if found.first == found.last {
                    found.first.to_string()
                } else {
                    format!("{} to {}", found.first, found.last)
                };
                rows.add_row(["first bad entry".to_owned(), place]);
                rows.add_row(["what happened".to_owned(), found.text.clone()]);
            }
        }
        let proved = format!("{} of {}", self.checkpoints_proved, self.checkpoints);
        rows.add_row(["checkpoints proved".to_owned(), proved]);
        if self.waiting > 0 {
            rows.add_row(["wait in the journal".to_owned(), self.waiting.to_string()]);
        }
        println!("{}", rows.trim_fmt());
    }
}
