//! Where the log is kept. Every method is one transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use signpost_common::db;
use sqlx::migrate::Migrator;

use crate::domain::{
    Entry, Logged, Query,
    merkle::{Hash, Node, Subtree},
};
pub use crate::error::Error;

pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/audit/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/audit/postgres");

/// Opens the database of the log.
pub async fn open(location: &db::Location) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::new(pools)),
    })
}

/// Keeps the log.
#[async_trait]
pub trait Store: Send + Sync {
    /// Appends events and returns the position of each, in order. An event that is there already is not appended
    /// again and keeps its position.
    async fn append(&self, batch: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error>;

    /// Returns the number of events.
    async fn size(&self) -> Result<u64, Error>;

    /// Returns the event at a position.
    async fn event(&self, sequence: u64) -> Result<Option<Logged>, Error>;

    /// Returns the hashes of complete subtrees, as far as they are complete.
    async fn nodes(&self, nodes: &[Node]) -> Result<HashMap<Node, Hash>, Error>;

    /// Returns events before a position, newest first.
    async fn search(&self, query: &Query, before: Option<i64>, limit: i64) -> Result<Vec<Logged>, Error>;

    /// Returns the disclosures on a record, by its keyed hash, before a position, newest first.
    async fn disclosures(&self, subject: i64, before: Option<i64>, limit: i64) -> Result<Vec<Logged>, Error>;

    /// Returns the hashes of subtrees, in order.
    async fn hashes(&self, subtrees: &[Subtree]) -> Result<Vec<Hash>, Error> {
        let parts: Vec<_> = subtrees.iter().flat_map(|subtree| subtree.parts()).collect();
        let nodes = self.nodes(&parts).await?;
        let hash = |subtree: &Subtree| subtree.hash(|node| nodes.get(node).copied());
        let hashes: Option<Vec<_>> = subtrees.iter().map(hash).collect();
        Ok(hashes.ok_or(db::Error::Corrupt("node of the log"))?)
    }
}
