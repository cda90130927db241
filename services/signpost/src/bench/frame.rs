//! What every bench has around its measurements: a folder, a database, an end whatever happens, and a result that is shown, kept and
//! compared.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use signpost_people::output;
use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    database::Database,
    table::{self, Before, Form},
};

#[derive(Debug, Args)]
pub(super) struct Frame {
    /// Database of the server
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(super) database: Kind,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What a bench found; its fields are the JSON, in their order.
pub(super) trait Measured: Serialize + Sized {
    /// How it is shown.
    const FORM: Form;

    /// Returns a line that says what was measured.
    fn heading(&self) -> String;

    /// Returns the table for people, beside what was measured before.
    fn shown(&self, before: Option<&Before>) -> anyhow::Result<String> {
        let table = Self::FORM.table(&table::fields(self)?, before);
        Ok(format!("{}\n\n{table}", self.heading()))
    }
}

impl Frame {
    /// Measures in a folder and on a database that are gone afterwards, and shows what was found.
    pub(super) async fn run<R: Measured>(
        &self,
        measure: impl AsyncFnOnce(&TempDir, &Database, &mut Stop) -> anyhow::Result<R>,
    ) -> anyhow::Result<ExitCode> {
        let given = self.postgres.is_some();
        ensure!(!given || self.database == Kind::Postgres, "--postgres URL needs --database postgres");
        output::check(&named("--compare", &self.compare), &named("--json", &self.json))?;
        let before = self.compare.as_deref().map(|path| R::FORM.read(path)).transpose()?;
        if cfg!(debug_assertions) {
            eprintln!("warning: this is a debug build, many times slower than `cargo build --release`");
        }
        let mut stop = Stop::new()?;
        let folder =
            tempfile::Builder::new().prefix("signpost-bench-").tempdir().context("making a folder")?;
        let database = stop.or(Database::prepare(self.database, self.postgres.as_deref(), &folder)).await?;
        let measured = measure(&folder, &database, &mut stop).await;
        database.end().await;
        let report = measured?;
        if let Some(path) = &self.json {
            output::write(path, &table::to_json(&report)?)?;
        }
        if let Some(before) = &before {
            let now = table::fields(&report)?;
            R::FORM.warnings(before, &now).iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
        writeln!(std::io::stdout(), "{}", report.shown(before.as_ref())?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn named<'a>(name: &'static str, file: &'a Option<PathBuf>) -> Vec<(&'static str, &'a Path)> {
    file.iter().map(|path| (name, path.as_path())).collect()
}

/// Returns what was measured on a server that has ended since.
pub(super) fn ended<T>(measured: anyhow::Result<T>, ended: anyhow::Result<()>) -> anyhow::Result<T> {
    match (measured, ended) {
        (Ok(measured), Ok(())) => Ok(measured),
        // A call that fails because there is no server says less than the server's last words.
        (Err(error), Err(ended)) => Err(ended.context(format!("{error:#}"))),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
    }
}

/// What ends the bench before its time.
pub(super) struct Stop {
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
    pub(super) async fn or<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            _ = self.interrupt.recv() => bail!("stopped by Ctrl-C"),
            _ = self.terminate.recv() => bail!("stopped by SIGTERM"),
            _ = self.hangup.recv() => bail!("stopped by SIGHUP"),
        }
    }
}
