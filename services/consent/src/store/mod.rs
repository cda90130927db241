//! Where directives, emergency sessions, policies and past decisions are kept. Every method is one transaction.
//!
//! Directives hang on members' own identifiers of patients, never on persons: what the index thinks of who is who
//! may change, what a patient said at a member does not.

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt},
    id::{DirectiveId, MemberId, RecordRef, SessionId},
};
use sqlx::migrate::Migrator;

use crate::domain::{Directive, Session, notice::Notice, session::Review};
pub use crate::error::Error;

pub mod notice;
pub mod policy;
pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/consent/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/consent/postgres");

/// Most directives of one record that are in force or will be: a decision reads them all.
pub const STANDING_MAX: i64 = 100;

/// Where a page begins: the time of the row before it, and its id.
pub type Position = (i64, String);

/// Which state of things a decision rests on. Both numbers only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Grows whenever a directive on one of the records is created or revoked.
    pub directives: i64,
    /// The last activation of a policy; 0 as long as there was none.
    pub policy: i64,
}

/// Opens the database of the consent service.
pub async fn open(location: &db::Location) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::new(pools)),
    })
}

/// Keeps directives and emergency sessions.
#[async_trait]
pub trait Store: policy::Policies + notice::Notices {
    /// Returns the id of what an earlier attempt of the same request made.
    async fn replayed(&self, attempt: &Attempt) -> Result<Option<String>, Error>;

    /// Adds a directive. The same attempt again returns what the first one made.
    async fn create_directive(
        &self,
        directive: &Directive,
        attempt: Option<&Attempt>,
    ) -> Result<Directive, Error>;

    /// Returns a directive.
    async fn directive(&self, id: DirectiveId) -> Result<Option<Directive>, Error>;

    /// Returns the directives of one record, newest first, revoked ones included.
    async fn directives(
        &self,
        patient: &RecordRef,
        before: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Directive>, Error>;

    /// Revokes a directive; the first revocation counts.
    async fn revoke_directive(&self, id: DirectiveId, now_us: i64) -> Result<Directive, Error>;

    /// Returns which state of things holds for a patient with these records; at most 200, each of them once.
    ///
    /// Whoever reads directives and policy after it decides by that state or by a later one.
    async fn epoch(&self, records: &[RecordRef]) -> Result<Epoch, Error>;

    /// Returns the directives on these records that were not revoked and have not ended.
    async fn standing(&self, records: &[RecordRef], now_us: i64) -> Result<Vec<Directive>, Error>;

    /// Returns whether the user of a session has opened fewer in the day before it than may be; 0 stands for any number.
    async fn may_open(&self, session: &Session, per_day: u32) -> Result<bool, Error>;

    /// Adds a session with its notices, unless its user has opened as many in the last day as may be; 0 stands for any
    /// number. The same attempt again returns what the first one made.
    async fn open_session(
        &self,
        session: &Session,
        notices: &[Notice],
        per_day: u32,
        attempt: Option<&Attempt>,
    ) -> Result<Session, Error>;

    /// Returns a session.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, Error>;

    /// Closes a session; one that is closed or has ended stays as it is.
    async fn close_session(&self, id: SessionId, now_us: i64) -> Result<Session, Error>;

    /// Returns sessions, oldest first: those of one member or of all, those to be reviewed or all.
    async fn sessions(
        &self,
        member_id: Option<&MemberId>,
        include_completed: bool,
        after: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Session>, Error>;

    /// Records a review and closes the session. The same review again is harmless and changes nothing.
    async fn review_session(&self, id: SessionId, review: &Review, now_us: i64) -> Result<Session, Error>;
}
