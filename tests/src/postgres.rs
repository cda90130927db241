//! A PostgreSQL of a test's own, which it may restart.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use signpost::port::free_address;
use sqlx::Connection;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A server that lives as long as this.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    /// Whom it runs as: root may not be it.
    user: Option<&'static str>,
    dir: TempDir,
    port: String,
    password: String,
    server: Child,
}

impl Postgres {
    /// Starts a server; `None`, with a message, when PostgreSQL is not installed.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(programs) = programs() else {
            eprintln!("skipped: PostgreSQL's programs are not here");
            return Ok(None);
        };
        let id = Command::new("id").arg("-u").output().await?.stdout;
        let user = (id.trim_ascii() == b"0").then_some("nobody");
        // Root's own temporary folder may be closed to others.
        let parent = if user.is_some() { "/tmp".into() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("signpost-postgres.").tempdir_in(parent)?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        std::fs::write(dir.path().join("password"), &password)?;
        if let Some(user) = user {
            let owned = Command::new("chown").args(["-R", user]).arg(dir.path()).status().await?;
            ensure!(owned.success(), "the folder could not be given away");
        }
        let mut initdb = command(&programs, user, dir.path(), "initdb");
        initdb.args(["-D", "data", "-U", "signpost", "-A", "scram-sha-256", "--pwfile=password"]);
        let made = initdb.args(["-E", "UTF8", "--locale=C", "--no-sync"]).output().await?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_address()?.rsplit(':').next().context("no port")?.to_owned();
        let server = spawn(&programs, user, dir.path(), &port)?;
        let postgres = Self { programs, user, dir, port, password, server };
        postgres.is_up().await?;
        Ok(Some(postgres))
    }

    /// Returns the URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://signpost:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Stops it as a crash would, as `pg_ctl restart -m immediate` does, and starts it again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.quit();
        tokio::time::timeout(Duration::from_secs(10), self.server.wait()).await.context("it goes on")??;
        self.server = spawn(&self.programs, self.user, self.dir.path(), &self.port)?;
        self.is_up().await
    }

    /// Waits until it answers: after a crash it recovers first.
    async fn is_up(&self) -> anyhow::Result<()> {
        let url = self.url();
        let up = async {
            while sqlx::PgConnection::connect(&url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), up).await.context("PostgreSQL does not come up")
    }

    fn quit(&self) {
        if let Some(id) = self.server.id() {
            std::process::Command::new("kill").args(["-QUIT", &id.to_string()]).status().ok();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.quit();
    }
}

/// Returns the folder of PostgreSQL's programs, the newest where there are several.
fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = installed.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH")?));
    folders.into_iter().rev().find(|folder| folder.join("initdb").exists())
}

fn command(programs: &Path, user: Option<&str>, dir: &Path, name: &str) -> Command {
    let program = programs.join(name);
    let mut command = match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups", "--"]).arg(program);
            command
        }
    };
    command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn spawn(programs: &Path, user: Option<&str>, dir: &Path, port: &str) -> anyhow::Result<Child> {
    let mut server = command(programs, user, dir, "postgres");
    server.args(["-D", "data", "-p", port, "-h", "127.0.0.1", "-k", "", "-c", "max_connections=100"]);
    Ok(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}
