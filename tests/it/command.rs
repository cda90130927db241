//! Runs the command `signpost` as people do: a real process, with what it prints and how it ends.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use signpost_tests::binary;
use tokio::process::Command;

/// Longest time that a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Returns what it printed; it must have done well.
    pub(crate) fn well(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0), "the command failed: {self:#?}");
        Ok(self.out)
    }

    /// Returns what it printed and complained of; it must have failed, and not by a crash.
    pub(crate) fn badly(self) -> anyhow::Result<(String, String)> {
        ensure!(self.code == Some(1), "the command did not fail with code 1: {self:#?}");
        Ok((self.out, self.err))
    }
}

/// Returns the command, to be run in a folder.
pub(crate) fn command(
    folder: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> anyhow::Result<Command> {
    let mut command = Command::new(binary()?);
    // What tests are told, and what whoever runs them has set, is not what a user has.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNPOST_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
    Ok(command)
}

/// Runs a command in a folder.
pub(crate) async fn run_with(
    folder: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> anyhow::Result<Ran> {
    let mut command = command(folder, environment, arguments)?;
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, running).await;
    let output = ended.with_context(|| format!("{arguments:?} does not end"))??;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

pub(crate) async fn run(folder: &Path, arguments: &[&str]) -> anyhow::Result<Ran> {
    run_with(folder, &[], arguments).await
}
