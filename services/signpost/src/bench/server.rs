//! The server under measurement: processes of this very binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::database::Database;
use crate::config::{Config, Service};

/// What a server is told. All else is as by default, in the bench's folder, where the server works.
///
/// One user asks for as many matches as it can.
const CONFIG: &str = "listen = \"127.0.0.1:0\"\ntelemetry = { filter = \"warn\" }\n\
    matching = { user_per_minute = 0, member_per_minute = 0 }\n\
    limits = { user_per_second = 0, member_per_second = 0 }\nlocator = { probe_seconds = 0 }\n";

/// Longest time that a server takes to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Ticks of a second in `/proc`; Linux has shown this many on every machine since 2.6.
const TICKS_PER_S: u64 = 100;

/// How much of its log is shown when it ends by itself.
const LOG_LINES_MAX: usize = 10;

/// A running server. It is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    proc: PathBuf,
    folder: PathBuf,
    name: String,
    /// `https://host:port`.
    pub(super) endpoint: String,
}

/// Returns what an import is told that fills the server's index.
pub(super) fn config(folder: &Path, database: &Database) -> Config {
    let keys = pki(folder);
    Config {
        database: database.setting(),
        data_dir: folder.join(".signpost/data"),
        blinding_key: keys.join("blinding.key"),
        sealing_key: keys.join("sealing.key"),
        audit_signing_key: keys.join("audit.key"),
        ..Config::default()
    }
}

/// Returns the folder of keys inside the bench's folder.
pub(super) fn pki(folder: &Path) -> PathBuf {
    folder.join(".signpost/pki")
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

impl Server {
    /// Starts a server of these services, of all when none is named, with more settings, and waits until it listens. The keys
    /// must be there.
    pub(super) async fn start(
        folder: &Path,
        database: &Database,
        only: &[Service],
        settings: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let file = folder.join("signpost.toml");
        fs::write(&file, CONFIG).context("writing the server's configuration")?;
        let mut command = Command::new(std::env::current_exe().context("finding this binary")?);
        // Settings of whoever runs the bench are not this server's.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SIGNPOST_"))
        {
            command.env_remove(name);
        }
        command.env("SIGNPOST_DATABASE", database.setting().expose()).arg("serve").arg("--config").arg(file);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        for service in only {
            command.args(["--only", service.name()]);
        }
        let name = only.first().map_or("server", |service| service.name()).to_owned();
        // In a group of its own, Ctrl-C reaches the bench alone, which then ends the server.
        let command = command.current_dir(folder).process_group(0).kill_on_drop(true);
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(log(folder, &name))?);
        let mut child = command.spawn().context("starting the server")?;
        let pid = child.id().context("the server ended at once")?;
        let out = child.stdout.take().context("the server has no standard output")?;
        let line = tokio::time::timeout(START_TIMEOUT, BufReader::new(out).lines().next_line()).await;
        let line = line.context("the server does not say where it listens")??.unwrap_or_default();
        let Some(address) = line.strip_prefix("listening on ") else {
            bail!("the server did not start; {}", last_words(folder, &name));
        };
        let endpoint = format!("https://{address}");
        Ok(Self { child, proc: format!("/proc/{pid}").into(), folder: folder.to_owned(), name, endpoint })
    }

    /// Returns the folder with everybody's keys.
    pub(super) fn pki(&self) -> PathBuf {
        pki(&self.folder)
    }

    /// Returns the processor time that it has used.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = ticks(&stat).context("reading the server's processor time")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
    }

    /// Returns the most memory that it has had, in MB (2^20 bytes).
    pub(super) fn peak_rss_mb(&self) -> anyhow::Result<f64> {
        self.memory_mb("VmHWM:")
    }

    /// Returns the memory that it has now, in MB, without files that are mapped into it.
    pub(super) fn anonymous_rss_mb(&self) -> anyhow::Result<f64> {
        self.memory_mb("RssAnon:")
    }

    fn memory_mb(&self, name: &str) -> anyhow::Result<f64> {
        let status = self.read("status")?;
        let kb = memory_kb(&status, name).context("reading the server's memory")?;
        Ok(kb as f64 / 1024.0)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = self.proc.join(file);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Ends it, and waits until it has ended. Fails when it had ended before, with its last words.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself ({status}); {}", last_words(&self.folder, &self.name));
        }
        // Nothing that it holds is worth an orderly end.
        self.child.kill().await.context("ending the server")
    }
}

fn last_words(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(log(folder, name)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    match lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n").as_str() {
        "" => "its log is empty".into(),
        words => format!("its log says:\n{words}"),
    }
}

/// Reads user and system time of `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15). The name of the program is in
/// brackets and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Reads an amount of memory of `/proc/PID/status`.
fn memory_kb(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 3 0 250 17 0 0 20 0 9 0 1234 5678 90";
        assert_eq!(ticks(stat), Some(267));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(memory_kb("VmPeak:\t 9 kB\nVmHWM:\t   51200 kB\n", "VmHWM:"), Some(51_200));
        assert_eq!(memory_kb("VmRSS:\t 1 kB\n", "VmHWM:"), None);
    }
}
