//! Exporting the log: a file that is there as a whole or not at all.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use signpost_audit::{
    domain::verify::{PART, part::Row},
    export::{self, fhir, syslog},
    raw,
    store::{self, Scan},
};
use signpost_common::clock::{Clock, SystemClock};

use super::{
    super::{bars::Bars, counted},
    verify::{known, location},
};
use crate::config::Config;

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// Form of the file
    #[arg(long, value_enum)]
    format: Format,
    /// First entry
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
    from: u64,
    /// Before this entry [default: all that is there; in raw form, all that is signed]
    #[arg(long, value_name = "SEQUENCE")]
    to: Option<u64>,
    /// File to write; one that is there is replaced when all is done
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// FHIR R4 AuditEvent after IHE BALP, one a line
    Fhir,
    /// Syslog (RFC 5424) with messages of IHE ATNA
    Syslog,
    /// Entries as they were hashed, to be verified again
    Raw,
}

impl Export {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let config = Config::load(file)?;
        let scan = store::open_scan(&location(&config)?).await.context("opening the database of audit")?;
        let there = scan.counts().await.context("reading the audit log")?.head;
        let to = match self.to {
            Some(to) => to.min(there),
            None if self.format == Format::Raw => self.signed(&*scan).await?.unwrap_or(there),
            None => there,
        };
        ensure!(self.from <= to, "the log has {there} entries: --from must not be after --to or after them");
        let log = known(&[], &config)?.first().map(|key| key.name().to_owned()).unwrap_or_default();
        let bars = Bars::default();
        let written = self.write(&*scan, to, &log, &bars).await;
        bars.end();
        let unreadable = written?;
        let count = u32::try_from(to - self.from).unwrap_or(u32::MAX);
        println!(
            "{} in {}; to go on later: --from {to}",
            counted(count, "entry", "entries"),
            self.out.display()
        );
        Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Returns the size of the last checkpoint, where it is of more than what is left out: it vouches for all of the file.
    async fn signed(&self, scan: &dyn Scan) -> anyhow::Result<Option<u64>> {
        let last = scan.last_checkpoint().await.context("reading the audit log")?;
        Ok(last.map(|kept| kept.size).filter(|size| *size > self.from))
    }

    /// Writes the file; returns how many entries are none that this service writes.
    async fn write(&self, scan: &dyn Scan, to: u64, log: &str, bars: &Bars) -> anyhow::Result<u32> {
        let writing = || format!("writing {}", self.out.display());
        let folder =
            self.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        if self.format == Format::Raw {
            for line in export::raw_head(scan, self.from, to).await.context("reading the audit log")? {
                writeln!(out, "{}", serde_json::to_string(&line)?).with_context(writing)?;
            }
        }
        let (mut next, mut unreadable) = (self.from, 0);
        while next < to {
            let end = (next + PART).min(to);
            let rows = scan.rows(next, end).await.context("reading the audit log")?;
            ensure!(
                rows.len() as u64 == end - next,
                "entries from {next} to {end} are missing: `signpost audit verify` tells which"
            );
            for row in rows {
                let sequence = row.sequence;
                let (line, good) = self.line(log, row)?;
                if !good {
                    bars.end();
                    eprintln!("entry {sequence} is none that this service writes");
                    unreadable += 1;
                }
                writeln!(out, "{line}").with_context(writing)?;
            }
            next = end;
            bars.show("exporting", next - self.from, to - self.from);
        }
        let file = out.into_inner().map_err(|error| error.into_error()).with_context(writing)?;
        file.as_file().sync_all().with_context(writing)?;
        file.persist(&self.out).with_context(writing)?;
        Ok(unreadable)
    }

    /// Writes an entry as a line, and says whether it could be read: another line tells of one that could not. In raw form entries
    /// are not read.
    fn line(&self, log: &str, row: Row) -> anyhow::Result<(String, bool)> {
        let Row { sequence, leaf, .. } = row;
        let form = |entry: &export::Entry<'_>| match self.format {
            Format::Fhir => fhir::audit_event(entry).map(|event| event.to_string()),
            Format::Syslog | Format::Raw => syslog::line(entry),
        };
        if self.format == Format::Raw {
            let line = raw::Line::Entry(raw::Entry::of(sequence, &leaf));
            return Ok((serde_json::to_string(&line)?, true));
        }
        if let Some(line) = export::entry(log, sequence, leaf.clone()).as_ref().and_then(form) {
            return Ok((line, true));
        }
        let instead = export::unreadable(log, sequence, &leaf, SystemClock.now());
        Ok((form(&instead).context("writing an entry")?, false))
    }
}
