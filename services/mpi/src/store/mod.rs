//! Where records, persons and decisions are kept. Every method is one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt},
    id::{MemberId, PersonId, RecordId, RecordRef, TaskId},
    seal::KeyEncryption,
};
use signpost_linkage::Packed;
use signpost_proto::mpi::v1::{LinkEventKind, LinkOutcome, ReviewState};
use sqlx::migrate::Migrator;

use crate::domain::{Decide, Incoming, Known};
pub use crate::{error::Error, watch::Position};

/// Decisions with the references of their records; a condition follows.
macro_rules! event_columns {
    () => {
        "SELECT e.sequence, e.record_id, r.member_id, r.local_id, e.from_person, e.to_person, e.kind,
            e.weight_bits, e.model_version, e.actor, e.reason, e.decided_at, e.candidate_id, e.undoes,
            e.transaction_id
        FROM link_event e JOIN source_record r ON r.record_id = e.record_id"
    };
}

pub mod bulk;
pub mod model;
pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/mpi/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/mpi/postgres");

/// Opens the database of the index; what stands in it is sealed under data keys that `wrapping` unwraps.
pub async fn open(
    location: &db::Location,
    wrapping: Arc<dyn KeyEncryption>,
    now_us: i64,
) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::open(pools, wrapping, now_us).await?),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::open(pools, wrapping, now_us).await?),
    })
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(location: &db::Location) -> Result<(), db::Error> {
    db::open(location, &SQLITE, &POSTGRES).await.map(drop)
}

/// Keeps the index.
#[async_trait]
pub trait Store: bulk::Import + Stewards + model::Models + Send + Sync {
    /// Stores records in order, each linked as `decide` says, all in one transaction. When two writers bring the same
    /// newcomer at once, the later one sees the earlier one's record. An attempt that was carried out before is
    /// answered as it was then.
    async fn register(
        &self,
        batch: &[Incoming],
        decide: &dyn Decide,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<Registered>, Error>;

    /// Returns records that share a blocking key with a query, at most
    /// [`CANDIDATES_MAX`](crate::domain::CANDIDATES_MAX), and whether there were more.
    async fn candidates(&self, keys: &[i64]) -> Result<(Vec<Known>, bool), Error>;

    /// Returns a person; one that was merged away resolves to its survivor.
    async fn person(&self, by: &By) -> Result<Option<Person>, Error>;

    /// Returns a person and its records, without what they say, at most so many; `None` when there is no such person or it has
    /// no records. One that was merged away resolves to its survivor.
    async fn references(&self, by: &By, limit: i64) -> Result<Option<(PersonId, Vec<Reference>)>, Error>;

    /// Returns records of a person, after a position.
    async fn person_records(
        &self,
        person: PersonId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredRecord>, Error>;

    /// Returns a record in the form that is compared.
    async fn prepared(&self, record: RecordId) -> Result<Option<Packed>, Error>;

    /// Returns decisions after a position, in the order in which they became visible: none comes later before one that was
    /// returned.
    async fn changes(&self, after: Position, limit: i64) -> Result<Vec<(Position, LinkEvent)>, Error>;

    /// Returns what tells the log of decisions from one whose positions mean something else: the same on another server.
    async fn log_id(&self) -> Result<String, Error>;

    /// Returns the position of the last decision in the log, 0 when there is none.
    async fn last_decision(&self) -> Result<i64, Error>;

    /// Returns the data keys, the one that seals last.
    async fn data_keys(&self) -> Result<Vec<DataKey>, Error>;

    /// Wraps all data keys by the key-encryption key in force and seals everything under a new data key, while others read
    /// and write. What was cut short goes on where it was.
    async fn rotate_keys(&self, now_us: i64, progress: &Progress<'_>) -> Result<Rotation, Error>;
}

/// What stewards decide and look at.
#[async_trait]
pub trait Stewards: Send + Sync {
    /// Moves a record to a person, by a steward's word.
    async fn link(
        &self,
        record: RecordId,
        person: PersonId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error>;

    /// Takes a record out of its person and keeps it apart, by a steward's word.
    async fn unlink(
        &self,
        record: RecordId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error>;

    /// Decides a review task or puts it off, and returns the event of the decision; the same decision again is harmless and has
    /// none, unless it is the same attempt.
    async fn resolve_task(
        &self,
        task: TaskId,
        resolution: ReviewState,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<(ReviewTask, Option<LinkEvent>), Error>;

    /// Returns when a record came to the person that it left with a decision, microseconds since 1970.
    async fn linked_since(&self, left: &LinkEvent) -> Result<i64, Error>;

    /// Returns a person as the links were at a time, with at most so many records.
    async fn person_as_of(
        &self,
        by: &By,
        at_us: i64,
        limit: i64,
    ) -> Result<Option<(Person, Vec<StoredRecord>)>, Error>;

    /// Moves all records of a person to another, by a steward's word.
    async fn merge(
        &self,
        from: PersonId,
        into: PersonId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<LinkEvent>, Error>;

    /// Makes some records of a person a person of their own, by a steward's word.
    async fn split(
        &self,
        person: PersonId,
        records: &[RecordId],
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<LinkEvent>, Error>;

    /// Takes a decision back: the record is where it was, and the word of a steward is what it was. Refused when the record was
    /// decided on since, unless that was taken back, too.
    async fn undo(
        &self,
        sequence: i64,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error>;

    /// Returns decisions that a person or a record was part of, the latest first, before a position.
    async fn decisions(&self, of: &Of, before: i64, limit: i64) -> Result<Vec<LinkEvent>, Error>;

    /// Returns what spoke for a decision: the record, and those that were with the person that the decision is about.
    async fn evidence(&self, sequence: i64) -> Result<Evidence, Error>;

    /// Returns review tasks, oldest first, after a position.
    async fn review_tasks(
        &self,
        filter: &TaskFilter,
        after: Option<(i64, String)>,
        limit: i64,
    ) -> Result<Vec<ReviewTask>, Error>;

    /// Counts review tasks by reason, the most frequent first.
    async fn review_counts(&self, filter: &TaskFilter) -> Result<Vec<(String, i64)>, Error>;
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Demographics of source records.
    Records,
    /// Comparison records.
    Comparisons,
    /// Models.
    Models,
}

impl Sealed {
    /// Returns the place that a value of a row is sealed for.
    pub(crate) fn place(self, row: i64, id: String) -> (&'static str, Vec<u8>) {
        match self {
            Self::Records => ("mpi.record", id.into_bytes()),
            Self::Comparisons => ("mpi.comparison", row.to_be_bytes().to_vec()),
            Self::Models => ("mpi.model", id.into_bytes()),
        }
    }
}

/// Is told how many rows of what have been looked at.
pub type Progress<'a> = dyn Fn(Sealed, u64) + Send + Sync + 'a;

/// A data key, without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKey {
    /// Number.
    pub key_id: u32,
    /// Name of the key-encryption key that wraps it.
    pub wrapped_by: String,
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
    /// Since when nothing is sealed under it; none for the one that seals, and for one that a rotation did not finish with.
    pub retired_us: Option<i64>,
}

/// What a rotation of keys did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Number of the data key that seals now.
    pub newest: u32,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Values that were sealed anew.
    pub resealed: u64,
}

/// Which review tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFilter {
    /// In this state.
    pub state: ReviewState,
    /// With this reason.
    pub reason: Option<String>,
    /// On records of this member.
    pub member_id: Option<MemberId>,
    /// Of at least this probability.
    pub probability_min: f64,
    /// Opened before, microseconds since 1970.
    pub opened_before_us: Option<i64>,
}

impl TaskFilter {
    /// All tasks in a state.
    pub fn in_state(state: ReviewState) -> Self {
        Self { state, reason: None, member_id: None, probability_min: 0.0, opened_before_us: None }
    }
}

/// Who decides when nobody does.
pub const ENGINE: &str = "engine";

/// Who decides, and when.
#[derive(Debug, Clone, Copy)]
pub struct Decider<'a> {
    /// `engine`, or a steward as `member/user`.
    pub actor: &'a str,
    /// Why, where a steward says.
    pub reason: &'a str,
    /// Version of the model that scored.
    pub model_version: &'a str,
    /// When, microseconds since 1970.
    pub now_us: i64,
}

/// How to name a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// By id.
    Person(PersonId),
    /// By one of its records.
    Record(RecordRef),
}

/// Whose decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those on a record.
    Record(RecordId),
    /// Those by which records came to a person or left it.
    Person(PersonId),
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(record) => record.fmt(f),
            Self::Person(person) => person.fmt(f),
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The record.
    pub record: RecordId,
    /// Its person.
    pub person: PersonId,
    /// What was decided.
    pub outcome: LinkOutcome,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub id: PersonId,
    /// When it was created.
    pub created_us: i64,
    /// Number of records.
    pub record_count: i64,
}

/// A record without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Position, for pages.
    pub row: i64,
    /// Id.
    pub id: RecordId,
    /// Whose it is.
    pub reference: RecordRef,
    /// When it was written last, microseconds since 1970.
    pub updated_us: i64,
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Position, for pages.
    pub row: i64,
    /// Id.
    pub id: RecordId,
    /// Whose it is.
    pub reference: RecordRef,
    /// What the member sent, encoded.
    pub demographics: Vec<u8>,
    /// When.
    pub updated_us: i64,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkEvent {
    /// Position in the log.
    pub sequence: i64,
    /// The record.
    pub record: RecordId,
    /// Whose record it is.
    pub reference: RecordRef,
    /// Person before, when there was one.
    pub from: Option<PersonId>,
    /// Person after.
    pub to: PersonId,
    /// What kind.
    pub kind: LinkEventKind,
    /// Weight in bits.
    pub bits: f64,
    /// Version of the model.
    pub model_version: String,
    /// Who decided.
    pub actor: String,
    /// Why, where a steward said.
    pub reason: String,
    /// When.
    pub decided_us: i64,
    /// Person that a steward's word is about: the record is theirs, or is kept apart from them.
    pub candidate: Option<PersonId>,
    /// Decision that this one took back.
    pub undoes: Option<i64>,
}

/// What spoke for a decision.
#[derive(Debug)]
pub struct Evidence {
    /// The decision.
    pub event: LinkEvent,
    /// The record decided on.
    pub record: Compared,
    /// Records that were with the person, at most [`CANDIDATES_MAX`](crate::domain::CANDIDATES_MAX).
    pub others: Vec<Compared>,
}

/// A record in the form that is compared.
#[derive(Debug)]
pub struct Compared {
    /// Id.
    pub id: RecordId,
    /// When the member sent it last, microseconds since 1970.
    pub updated_us: i64,
    /// What it says now.
    pub prepared: Packed,
}

/// A question for a steward.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewTask {
    /// Id.
    pub id: TaskId,
    /// The record.
    pub record: RecordId,
    /// Whose record it is.
    pub reference: RecordRef,
    /// The person it may belong to.
    pub candidate: PersonId,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// Why it was not decided.
    pub reason: String,
    /// State.
    pub state: ReviewState,
    /// When it was opened.
    pub opened_us: i64,
}
