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

/// Opens a database and brings its schema up to date.
pub async fn open(location: &Location, sqlite: &Migrator, postgres: &Migrator) -> Result<Database, Error> {
    match location {
        Location::Memory => Ok(Database::Sqlite(sqlite::open(None, sqlite).await?)),
        Location::File(path) => Ok(Database::Sqlite(sqlite::open(Some(path), sqlite).await?)),
        Location::Postgres { url, schema, connections_max } => {
            Ok(Database::Postgres(postgres::open(url, schema, *connections_max, postgres).await?))
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
