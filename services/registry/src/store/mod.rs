//! Where pointers are kept. Every method is one transaction.

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt},
    id::{DocumentId, MemberId},
    rpc::watch,
};
use signpost_proto::registry::v1::Liveness;
use sqlx::migrate::Migrator;

use crate::domain::{Change, Document, Position, Query, Registered, Registration, Report, score::Scores};
pub use crate::error::Error;

pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/registry/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/registry/postgres");

/// Opens the database of the registry.
pub async fn open(location: &db::Location) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::open(pools).await?),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::open(pools).await?),
    })
}

/// Keeps pointers. Every change of one is logged in its own transaction.
#[async_trait]
pub trait Store: Changes + Retrievals {
    /// Registers pointers and returns one result each, in order. A pointer that conflicts with a stored one, or relates to
    /// what it must not, fails alone.
    async fn register(
        &self,
        registrations: &[Registration],
        now_us: i64,
    ) -> Result<Vec<Result<Registered, Error>>, Error>;

    /// Registers a pointer that supersedes a current one of the same record, and all that relates to that.
    async fn replace(
        &self,
        old: &DocumentId,
        new: &Registration,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<DocumentId, Error>;

    /// Withdraws a custodian's pointer, and all that relates to it. The same again is harmless.
    async fn deprecate(&self, custodian: &MemberId, id: &DocumentId, now_us: i64) -> Result<Document, Error>;

    /// Returns a pointer, as it stands or as it stood at a moment.
    async fn document(&self, id: &DocumentId, as_of_us: Option<i64>) -> Result<Option<Document>, Error>;

    /// Returns pointers, newest first, after `after`.
    async fn search(
        &self,
        query: &Query,
        after: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Document>, Error>;

    /// Returns the number of pointers that a search finds.
    async fn count(&self, query: &Query) -> Result<i64, Error>;
}

/// Tells what changed.
#[async_trait]
pub trait Changes: Send + Sync {
    /// Returns changes after a position, in the order in which they became visible; of those of other custodians the
    /// position alone.
    async fn changes(
        &self,
        after: watch::Position,
        custodian: Option<&MemberId>,
        limit: i64,
    ) -> Result<Vec<(watch::Position, Option<Change>)>, Error>;

    /// Returns what tells this log from others.
    async fn log_id(&self) -> Result<String, Error>;

    /// Returns a number that no change goes beyond.
    async fn last_change(&self) -> Result<i64, Error>;
}

/// Learns how retrievals go.
#[async_trait]
pub trait Retrievals: Send + Sync {
    /// Counts a retrieval or probe, and returns what to believe of the pointer.
    async fn report(
        &self,
        id: &DocumentId,
        report: &Report,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<Liveness, Error>;

    /// Returns current pointers: never checked ones first, then the one that was not checked for longest.
    async fn probes(&self, limit: i64) -> Result<Vec<Document>, Error>;

    /// Returns how good the pointers of one custodian or of all are; it reads every one of them.
    async fn scores(&self, custodian: Option<&MemberId>, since_us: i64) -> Result<Scores, Error>;
}
