//! Where the log is kept. Every method is one transaction.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use signpost_common::{db, id::MemberId};
use sqlx::migrate::Migrator;

use crate::domain::{
    Entry, Logged, Query,
    merkle::{Hash, Node, Subtree},
    misuse::Flag,
    verify::part::Row,
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

/// Opens the database of the log, to append to it and to watch it.
pub async fn open_all(location: &db::Location) -> Result<(Arc<dyn Store>, Arc<dyn Flags>), db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => both(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => both(postgres::SqlStore::new(pools)),
    })
}

fn both<S: Store + Flags + 'static>(store: S) -> (Arc<dyn Store>, Arc<dyn Flags>) {
    let store = Arc::new(store);
    (store.clone(), store)
}

/// Opens the database of the log, to read all of it as it is.
pub async fn open_scan(location: &db::Location) -> Result<Box<dyn Scan>, db::Error> {
    Ok(match db::look(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::new(pools)),
    })
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Number of events.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was signed, microseconds since 1970.
    pub signed_us: i64,
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

    /// Returns the last checkpoint.
    async fn last_checkpoint(&self) -> Result<Option<Kept>, Error>;

    /// Returns checkpoints of sizes after one, in order.
    async fn checkpoints(&self, after: u64, limit: i64) -> Result<Vec<Kept>, Error>;

    /// Keeps a checkpoint after the last one, of the size `before` or 0 for none; false when the last one is another.
    async fn keep_checkpoint(&self, before: u64, new: &Kept) -> Result<bool, Error>;

    /// Returns the hashes of subtrees, in order.
    async fn hashes(&self, subtrees: &[Subtree]) -> Result<Vec<Hash>, Error> {
        let parts: Vec<_> = subtrees.iter().flat_map(|subtree| subtree.parts()).collect();
        let nodes = self.nodes(&parts).await?;
        let hash = |subtree: &Subtree| subtree.hash(|node| nodes.get(node).copied());
        let hashes: Option<Vec<_>> = subtrees.iter().map(hash).collect();
        Ok(hashes.ok_or(db::Error::Corrupt("node of the log"))?)
    }
}

/// How much there is, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events, as the log's head says.
    pub head: u64,
    /// Events, as the last position says.
    pub there: u64,
    /// Size of the last checkpoint that was kept.
    pub signed: u64,
}

/// A record and an event about it.
pub type Pair = (i64, u64);

/// Reads all of the log, in large pieces.
#[async_trait]
pub trait Scan: Store {
    /// Returns how much there is.
    async fn counts(&self) -> Result<Counts, Error>;

    /// Returns the events of a range.
    async fn rows(&self, from: u64, to: u64) -> Result<Vec<Row>, Error>;

    /// Returns the stored hashes of a level in a range of its positions.
    async fn stored(&self, level: u32, from: u64, to: u64) -> Result<Vec<Option<Hash>>, Error>;

    /// Returns where an event of this hash was written.
    async fn position_of(&self, hash: &Hash) -> Result<Option<u64>, Error>;

    /// Returns records with their events, in order, from one on and of records up to another.
    async fn subjects(&self, from: Pair, to: i64, limit: i64) -> Result<Vec<Pair>, Error>;

    /// Returns the records of a range of events.
    async fn subjects_of(&self, from: u64, to: u64) -> Result<Vec<Pair>, Error>;
}

/// A sign of misuse that was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// Its number, from 1.
    pub number: u64,
    /// The sign.
    pub flag: Flag,
    /// Who has looked at it.
    pub look: Option<Look>,
}

/// Who has looked at a sign of misuse, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Organisation.
    pub member_id: String,
    /// User.
    pub user: String,
    /// What came of it.
    pub note: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// Which signs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagQuery {
    /// Organisation that they are about.
    pub member_id: Option<MemberId>,
    /// Whether to leave out what somebody has looked at.
    pub open_only: bool,
}

/// How far the log was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagHead {
    /// Number of the last sign.
    pub number: u64,
    /// Events that were watched.
    pub watched: u64,
}

/// Keeps signs of misuse, and reads what raises them.
#[async_trait]
pub trait Flags: Send + Sync {
    /// Keeps signs, once the log was watched up to a position; returns how many of them are new.
    async fn raise(&self, watched: u64, flags: &[Flag]) -> Result<usize, Error>;

    /// Notes who has looked at a sign.
    async fn acknowledge(&self, number: u64, look: &Look) -> Result<(), Error>;

    /// Returns a sign.
    async fn flag(&self, number: u64) -> Result<Option<Raised>, Error>;

    /// Returns signs before a number, newest first.
    async fn flags(&self, query: &FlagQuery, before: Option<i64>, limit: i64) -> Result<Vec<Raised>, Error>;

    /// Returns signs after a number, in order.
    async fn flags_after(&self, after: i64, limit: i64) -> Result<Vec<Raised>, Error>;

    /// Returns how far the log was watched.
    async fn flag_head(&self) -> Result<FlagHead, Error>;

    /// Returns events from a position on, in order.
    async fn events_from(&self, sequence: u64, limit: i64) -> Result<Vec<Logged>, Error>;

    /// Returns the first event of the log that occurred at a moment or later. Others that occurred later may stand before it.
    async fn first_since(&self, from_us: i64) -> Result<Option<u64>, Error>;
}
