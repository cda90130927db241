//! The audit log: what it promised, whether it kept that, and what it says, for other programs.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use signpost_audit::domain::checkpoint::Verifier;

mod checkpoint;
mod export;
mod flags;
mod kept;
mod verify;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Fetch the log's signed checkpoint, verify it, and keep it
    ///
    /// Whoever keeps checkpoints outside of the exchange can tell later whether the log was changed. Each is verified: the
    /// signature, and that the log continues the last one kept in the folder.
    Checkpoint(checkpoint::Checkpoint),
    /// Verify the whole log, offline, against all checkpoints, and name the first bad entry
    ///
    /// Reads the database of the configuration, also while the exchange runs, or a file of `export --format raw`. Every entry is
    /// hashed and compared with what is stored of it and with what was signed. The exit code is 1 when something is wrong.
    Verify(verify::Verify),
    /// Export entries as FHIR AuditEvents, as syslog, or raw
    ///
    /// The file is there as a whole or not at all. Patients' records are keyed hashes in every form.
    Export(export::Export),
    /// Show signs of misuse: what was raised, what is raised now, or what the past raises under another policy
    Flags(flags::Flags),
    /// Acknowledge a sign of misuse, with a note of what came of it
    Acknowledge(flags::Acknowledge),
}

impl Audit {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.run().await,
            Self::Verify(verify) => verify.run(config).await,
            Self::Export(export) => export.run(config).await,
            Self::Flags(flags) => flags.run().await,
            Self::Acknowledge(acknowledge) => acknowledge.run().await,
        }
    }
}

/// Reads verifier keys: each is a file of lines, or the key itself.
fn keys(given: &[String], usual: PathBuf) -> anyhow::Result<Vec<Verifier>> {
    let named = match given {
        [] => vec![usual.display().to_string()],
        given => given.to_vec(),
    };
    let mut keys = vec![];
    for text in named {
        if let Ok(key) = text.parse() {
            keys.push(key);
            continue;
        }
        let lines = std::fs::read_to_string(&text).with_context(|| {
            format!("reading the verifier key {text}; the operator publishes it as audit.pub")
        })?;
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            keys.push(line.parse().with_context(|| format!("reading the verifier key {text}"))?);
        }
    }
    Ok(keys)
}

/// Writes a file so that it is there as a whole or not at all.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(writing)?;
    file.write_all(text.as_bytes()).with_context(writing)?;
    file.as_file().sync_all().with_context(writing)?;
    file.persist(path).map(drop).with_context(writing)
}
