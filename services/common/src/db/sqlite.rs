//! SQLite: one file a service, write-ahead log, one writer.

use std::{
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Attempt, Error};

/// The database that SQL in an including module is for.
pub type Db = sqlx::Sqlite;

/// Begins a transaction that writes: takes the write lock at once, so that it never fails half way.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// True: the one writer keeps rows from changing between two statements of a transaction.
pub const ONE_WRITER: bool = true;

const READERS_MAX: u32 = 4;

/// Connections of one service.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For statements that only read.
    pub read: SqlitePool,
    /// For transactions that write: one connection, so that writers queue here and not in the file.
    pub write: SqlitePool,
}

/// Makes the folder and the file when they are missing, for their owner alone. SQLite gives the write-ahead log the
/// permissions of its file.
fn make_private(folder: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file).map(drop)
}

/// Opens a file, or a database in memory, and brings its schema up to date.
pub async fn open(path: Option<&Path>, migrations: &Migrator) -> Result<Pools, Error> {
    let Some(path) = path else {
        // A database in memory belongs to its connection, so there is exactly one and it never ends.
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let only = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        migrations.run(&only).await?;
        return Ok(Pools { read: only.clone(), write: only });
    };
    if let Some(folder) = path.parent() {
        make_private(folder, path).map_err(|error| Error::Folder(folder.to_owned(), error))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-65536")
        // Whatever SQLite takes, just under 2 GiB: what the system keeps of the file is read where it lies.
        .pragma("mmap_size", "2147418112");
    let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    migrations.run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    Ok(Pools { read, write })
}

include!("replay.rs");
