//! A private PostgreSQL that lives as long as the bench: a cluster in a folder of its own, as `tests/run` makes it.
//!
//! What is written is durable (fsync is on), as in production.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use signpost_common::db::Secret;
use tempfile::TempDir;

/// Oldest version that the services work on.
const VERSION_MIN: u32 = 15;

/// How often another port is tried: somebody else may take one between asking and listening.
const PORTS_MAX: usize = 5;

/// Role that owns everything in the cluster.
const ROLE: &str = "signpost";

const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nshared_buffers = 1GB\nmax_connections = 100\n";

/// A private cluster. It is stopped and removed when this is dropped.
pub(super) struct Cluster {
    bin: PathBuf,
    owner: Option<(u32, u32)>,
    folder: TempDir,
    /// Its database.
    pub(super) url: Secret,
}

impl Cluster {
    /// Makes and starts a cluster. Takes some seconds, and blocks.
    pub(super) fn start() -> anyhow::Result<Self> {
        let bin = find().with_context(|| {
            format!(
                "PostgreSQL {VERSION_MIN} or newer is not in PATH or /usr/lib/postgresql: install it, or name a server \
                 with --postgres URL"
            )
        })?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("signpost-bench-postgres-");
        let folder = builder.tempdir().context("making a folder")?;
        // PostgreSQL refuses to run as root, and root's own temporary folder may be closed to others.
        let is_root = folder.path().metadata()?.uid() == 0;
        let folder = if is_root { builder.tempdir_in("/tmp").context("making a folder")? } else { folder };
        let owner = if is_root { Some(unprivileged()?) } else { None };
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key)?;
        let password = hex::encode(key);
        let mut cluster = Self { bin, owner, folder, url: Secret::new("") };
        cluster.init(&password).with_context(|| cluster.last_words())?;
        for _ in 0..PORTS_MAX {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let port_option = format!("-p {port}");
            let arguments = ["-D", "data", "-l", "data/log", "-s", "-w", "-o", &port_option, "start"];
            if cluster.run("pg_ctl", arguments).is_ok() {
                // The socket is what a service on the same machine would use.
                let socket = cluster.folder.path().display();
                let url = format!("postgres://{ROLE}:{password}@localhost:{port}/postgres?host={socket}");
                cluster.url = Secret::new(url);
                return Ok(cluster);
            }
        }
        bail!("{}", cluster.last_words())
    }

    fn init(&self, password: &str) -> anyhow::Result<()> {
        let (dir, file) = (self.folder.path(), self.folder.path().join("password"));
        fs::write(&file, password)?;
        if let Some((user, group)) = self.owner {
            chown(dir, Some(user), Some(group))?;
            chown(&file, Some(user), Some(group))?;
        }
        let auth = ["-A", "scram-sha-256", "--pwfile=password", "-U", ROLE];
        let form = ["-D", "data", "-E", "UTF8", "--locale=C", "--no-sync"];
        self.run("initdb", auth.into_iter().chain(form))?;
        fs::remove_file(file)?;
        let settings = dir.join("data/postgresql.conf");
        let socket = format!("unix_socket_directories = '{}'\n", dir.display());
        let before = fs::read_to_string(&settings)?;
        // Written in place: it belongs to whom the server runs as.
        Ok(fs::write(settings, before + SETTINGS + &socket)?)
    }

    /// Runs a program of PostgreSQL in the cluster's folder, as its owner.
    fn run(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> anyhow::Result<()> {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("setup.log"))?;
        let mut command = Command::new(self.bin.join(program));
        // In a group of its own, Ctrl-C reaches the bench alone, which then ends the cluster.
        command.args(arguments).current_dir(self.folder.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        let status = command.status().with_context(|| format!("running {program}"))?;
        if !status.success() {
            bail!("{program} failed ({status})");
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let read = |file| fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        let (setup, log) = (read("setup.log"), read("data/log"));
        format!("starting a private PostgreSQL; its log says:\n{setup}{log}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing in the cluster is worth a checkpoint.
        if self.folder.path().join("data/postmaster.pid").exists()
            && let Err(error) = self.run("pg_ctl", ["-D", "data", "-m", "immediate", "-s", "-w", "stop"])
        {
            eprintln!(
                "warning: the private PostgreSQL in {} still runs: {error:#}",
                self.folder.path().display()
            );
        }
    }
}

/// Finds the programs: those in PATH, or the newest that a distribution installed.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("initdb")).find(|file| file.exists());
    // What is in PATH may be a link; its neighbours are where it leads.
    let in_path = in_path.and_then(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()));
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).chain(in_path).collect();
    folders.retain(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).exists()));
    let versions = folders.into_iter().filter_map(|folder| Some((version(&folder)?, folder)));
    versions.filter(|(version, _)| *version >= VERSION_MIN).max().map(|(_, folder)| folder)
}

fn version(bin: &Path) -> Option<u32> {
    let said = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// Returns user and group of somebody who is not root.
fn unprivileged() -> anyhow::Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| user(&passwd, name));
    found.context(
        "there is no user postgres or nobody to run PostgreSQL as: run the bench as another user than root",
    )
}

/// Finds user and group in the text of `/etc/passwd` (passwd(5)).
fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields =
        passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    let mut number = |skip| fields.nth(skip)?.parse().ok();
    Some((number(2)?, number(0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        assert_eq!(user(passwd, "postgres"), Some((101, 104)));
        assert_eq!(user(passwd, "nobody"), None);
    }
}
