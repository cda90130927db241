//! Where pointers are kept. Every method is one transaction.

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt},
    id::{DocumentId, MemberId},
};
use signpost_proto::registry::v1::Liveness;
use sqlx::migrate::Migrator;

use crate::domain::{Document, Pointer, Position, Query, Registered};
pub use crate::error::Error;

pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/registry/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/registry/postgres");

/// Opens the database of the registry.
pub async fn open(location: &db::Location) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::new(pools)),
    })
}

/// Keeps pointers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Registers pointers and returns one result each, in order. A pointer that conflicts with a stored one fails
    /// alone.
    async fn register(
        &self,
        pointers: &[Pointer],
        now_us: i64,
    ) -> Result<Vec<Result<Registered, Error>>, Error>;

    /// Registers a pointer that supersedes a current one of the same record.
    async fn replace(
        &self,
        old: &DocumentId,
        new: &Pointer,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<DocumentId, Error>;

    /// Withdraws a custodian's pointer. The same again is harmless.
    async fn deprecate(&self, custodian: &MemberId, id: &DocumentId) -> Result<Document, Error>;

    /// Returns a pointer.
    async fn document(&self, id: &DocumentId) -> Result<Option<Document>, Error>;

    /// Returns pointers, newest first, after `after`.
    async fn search(
        &self,
        query: &Query,
        after: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Document>, Error>;

    /// Returns the number of pointers that a search finds.
    async fn count(&self, query: &Query) -> Result<i64, Error>;

    /// Records whether a retrieval succeeded, and returns what to believe of the pointer.
    async fn report(
        &self,
        id: &DocumentId,
        succeeded: bool,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<Liveness, Error>;
}
