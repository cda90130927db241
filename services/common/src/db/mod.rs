//! Databases: SQLite by default, PostgreSQL when a URL says so; one SQL text for both.
//!
//! `sqlx::Any` does not carry both, so a store's SQL stands in one file that is included by two modules. Each
//! of these imports `Db`, `Pools`, `BEGIN` and the replay functions from [`sqlite`] or from [`postgres`], which have
//! the same names with the same meaning.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{MigrateError, Migrator};

use crate::{hash::Blinder, seal};

pub mod postgres;
pub mod shelf;
pub mod sqlite;

/// Where a service keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In memory, gone with the process.
    Memory,
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database; the service has a schema of its own in it.
    Postgres {
        /// `postgres://user@host:port/database`.
        url: Secret,
        /// Schema.
        schema: &'static str,
        /// Most connections.
        connections_max: u32,
    },
}

/// A text that must not be shown: it may contain a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text; do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What goes wrong with a database. Its text is for the log and never leaves a service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not do what it was asked.
    #[error("talking to the database")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migrating the database")]
    Migrate(#[from] MigrateError),
    /// The schema is older than this program, or there is none.
    #[error("the database is of an earlier release; `signpost migrate` brings it up to date")]
    Outdated,
    /// The folder of the file could not be made.
    #[error("making the data folder {0} or a file in it")]
    Folder(PathBuf, #[source] std::io::Error),
    /// A stored row does not have the form it was written in.
    #[error("reading a stored {0}")]
    Corrupt(&'static str),
    /// A stored value could not be opened, or a value could not be sealed.
    #[error("opening a sealed value")]
    Sealing(#[from] seal::Error),
    /// The same request id came before with another body.
    #[error("the request id was used before with another request")]
    RequestIdReused,
}

/// An open database with its schema up to date.
#[derive(Debug, Clone)]
pub enum Database {
    /// SQLite.
    Sqlite(sqlite::Pools),
    /// PostgreSQL.
    Postgres(postgres::Pools),
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: it waits for the disk.
    PowerCut,
    /// The end of the process, and of the service's machine where the database is elsewhere; a power cut of the database's
    /// machine may take the last second. It waits for nothing.
    ProcessEnd,
}

impl Location {
    /// Returns a place of its own beside this one, in which a service keeps something apart.
    #[must_use]
    pub fn beside(&self, name: &str, connections_max: u32) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File(path) => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                Self::File(path.with_file_name(format!("{stem}_{name}.sqlite")))
            }
            // Once a process and service.
            Self::Postgres { url, schema, .. } => Self::Postgres {
                url: url.clone(),
                schema: format!("{schema}_{name}").leak(),
                connections_max,
            },
        }
    }
}

/// Opens a database whose commits survive a power cut, and brings its schema up to date.
pub async fn open(location: &Location, sqlite: &Migrator, postgres: &Migrator) -> Result<Database, Error> {
    open_as(location, Durability::PowerCut, sqlite, postgres).await
}

/// Opens a database to read it, and changes nothing in it. Its schema must be up to date.
pub async fn look(location: &Location, sqlite: &Migrator, postgres: &Migrator) -> Result<Database, Error> {
    let (database, needed) = match location {
        // Nothing is in it before it is made.
        Location::Memory => return open(location, sqlite, postgres).await,
        Location::File(path) => (Database::Sqlite(sqlite::look(path).await?), sqlite),
        Location::Postgres { url, schema, connections_max } => {
            (Database::Postgres(postgres::look(url, schema, *connections_max).await?), postgres)
        }
    };
    const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
    let applied = match &database {
        Database::Sqlite(pools) => sqlx::query_scalar(APPLIED).fetch_one(&pools.read).await,
        Database::Postgres(pools) => sqlx::query_scalar(APPLIED).fetch_one(&pools.read).await,
    };
    let applied: Option<i64> = match applied {
        // There is no such table.
        Err(error) if error.as_database_error().is_some() => None,
        applied => applied?,
    };
    let needed = needed.iter().map(|migration| migration.version).max();
    if applied < needed { Err(Error::Outdated) } else { Ok(database) }
}

/// Opens a database and brings its schema up to date.
pub async fn open_as(
    location: &Location,
    durability: Durability,
    sqlite: &Migrator,
    postgres: &Migrator,
) -> Result<Database, Error> {
    match location {
        Location::Memory => Ok(Database::Sqlite(sqlite::open_as(None, durability, sqlite).await?)),
        Location::File(path) => Ok(Database::Sqlite(sqlite::open_as(Some(path), durability, sqlite).await?)),
        Location::Postgres { url, schema, connections_max } => {
            let opened = postgres::open_as(url, schema, *connections_max, durability, postgres);
            Ok(Database::Postgres(opened.await?))
        }
    }
}

/// Returns a schema of its own on the PostgreSQL that tests may use, or `None` when there is none
/// (`SIGNPOST_TEST_POSTGRES`, a URL; `tests/run` sets it).
pub fn scratch_postgres(service: &str) -> Option<Location> {
    let url = Secret::new(std::env::var("SIGNPOST_TEST_POSTGRES").ok()?);
    let schema = format!("test_{service}_{}", uuid::Uuid::now_v7().simple()).leak();
    Some(Location::Postgres { url, schema, connections_max: 4 })
}

/// A mutation that may be sent again: who sent it, under which id, and what it said.
#[derive(Debug, Clone)]
pub struct Attempt {
    caller: String,
    request_id: String,
    body_hash: Vec<u8>,
}

impl Attempt {
    /// Hides what the request said under a key: a plain hash of demographics could be found by trying.
    #[must_use]
    pub fn blinded(self, blinder: &Blinder) -> Self {
        let body_hash = blinder.token("request", &[&self.body_hash]).to_be_bytes().to_vec();
        Self { body_hash, ..self }
    }

    /// Names an attempt; `None` without a request id, since then nothing can be replayed.
    pub fn new(caller: &str, method: &str, request_id: &str, body: &impl prost::Message) -> Option<Self> {
        (!request_id.is_empty()).then(|| Self {
            caller: format!("{caller} {method}"),
            request_id: request_id.to_owned(),
            body_hash: crate::hash::sha256(&body.encode_to_vec()).to_vec(),
        })
    }
}
