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

use super::{Attempt, Durability, Error, shelf::Shelf};

/// The database that SQL in an including module is for.
pub type Db = sqlx::Sqlite;

/// Begins a transaction that writes: takes the write lock at once, so that it never fails half way.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// True: the one writer keeps rows from changing between two statements of a transaction.
pub const ONE_WRITER: bool = true;

const READERS_MAX: u32 = 4;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// 64 MiB.
const CACHE_SIZE: &str = "-65536";

/// Whatever SQLite takes, just under 2 GiB: what the system keeps of the file is read where it lies.
const MMAP_SIZE: &str = "2147418112";

/// Pages of 4 KiB in a write-ahead log that is carried over besides, after which it begins again.
const LOG_PAGES_MAX: i64 = 2048;

/// Connections of one service.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For statements that only read.
    pub read: SqlitePool,
    /// For transactions that write: one connection, so that writers queue here and not in the file.
    pub write: SqlitePool,
}

impl Pools {
    /// Carries the write-ahead log over into the file while others write: for files whose commits do not wait for the disk. A log
    /// that has grown long begins again.
    pub async fn carry_over(&self) -> Result<(), Error> {
        let carry = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
        let (_, pages, _): (i64, i64, i64) = carry.fetch_one(&self.read).await?;
        if pages > LOG_PAGES_MAX {
            // While others write there is always something that is not carried over, and the log goes on. Little of it is left:
            // whoever writes waits for that alone.
            sqlx::query("PRAGMA wal_checkpoint(RESTART)").execute(&self.write).await?;
        }
        Ok(())
    }

    /// Returns the connections that write, kept at hand: whoever calls this takes them from nowhere else.
    pub fn writers(&self) -> Shelf<Db> {
        match self.read.options().get_max_connections() {
            // In memory reads have no other connection.
            1 => Shelf::new(self.write.clone()),
            _ => Shelf::keeping(self.write.clone(), 1),
        }
    }
}

/// Makes the folder and the file when they are missing, for their owner alone. SQLite gives the write-ahead log the
/// permissions of its file.
fn make_private(folder: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file).map(drop)
}

/// Opens a file, or a database in memory, and brings its schema up to date.
pub async fn open(path: Option<&Path>, migrations: &Migrator) -> Result<Pools, Error> {
    open_as(path, Durability::PowerCut, migrations).await
}

/// Opens a file whose commits survive this much, or a database in memory, and brings its schema up to date.
pub async fn open_as(
    path: Option<&Path>,
    durability: Durability,
    migrations: &Migrator,
) -> Result<Pools, Error> {
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
        .synchronous(match durability {
            Durability::PowerCut => SqliteSynchronous::Full,
            // The file stays whole: the disk is waited for when the log is carried over.
            Durability::ProcessEnd => SqliteSynchronous::Normal,
        })
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", CACHE_SIZE)
        .pragma("mmap_size", MMAP_SIZE);
    // Whoever writes would wait for the disk now and then after all: the service carries the log over besides.
    let options = match durability {
        Durability::PowerCut => options,
        Durability::ProcessEnd => {
            // What a flood made of it is given back when it begins again.
            let kept_bytes = (LOG_PAGES_MAX * 8192).to_string();
            options.pragma("wal_autocheckpoint", "0").pragma("journal_size_limit", kept_bytes)
        }
    };
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await?;
    migrations.run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    Ok(Pools { read, write })
}

/// Opens a file to read it as it is.
pub async fn look(path: &Path) -> Result<Pools, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", CACHE_SIZE)
        .pragma("mmap_size", MMAP_SIZE);
    let only = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    Ok(Pools { read: only.clone(), write: only })
}

include!("replay.rs");
