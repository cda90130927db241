// The one SQL text; included by `sqlite` and by `postgres`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt, shelf::Shelf},
    id::{PersonId, RecordId, RecordRef, TaskId},
};
use signpost_linkage::Packed;
use signpost_proto::mpi::v1::{LinkEventKind, ModelState, ReviewState};
use sqlx::{Database, QueryBuilder};

use super::{
    By, Compared, DataKey, Decider, Error, Evidence, LinkEvent, Of, Person, Progress, Reference, Registered,
    ReviewTask, Rotation, Sealed, Stewards, Store, StoredRecord, TaskFilter,
};
use crate::{
    domain::{CANDIDATES_MAX, Decide, Incoming, Known, Review},
    watch::Position,
};

type Connection = <Db as Database>::Connection;

/// How often a transaction is tried that met another the other way round.
const TRIES: usize = 4;

/// Code of an error: two writers wait for each other (deadlock_detected); SQLite has one writer.
const DEADLOCK: &str = "40P01";

/// Does a transaction again when it and another waited for each other, which undid it.
macro_rules! untangled {
    ($call:expr) => {{
        let mut tries = 1;
        loop {
            match $call {
                Err(Error::Database(db::Error::Database(sqlx::Error::Database(error))))
                    if tries < TRIES && error.code().as_deref() == Some(DEADLOCK) =>
                {
                    tries += 1;
                }
                done => break done,
            }
        }
    }};
}

/// Keeps the index in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
    /// For the reads that everybody waits for.
    shelf: Shelf<Db>,
    keys: KeyRing,
    wrapping: Arc<dyn KeyEncryption>,
    /// When the data keys were read, microseconds since 1970.
    keys_read_us: AtomicI64,
}

fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, db::Error> {
    text.parse().map_err(|_| db::Error::Corrupt(what))
}

fn number<T: TryFrom<i32>>(value: i64, what: &'static str) -> Result<T, db::Error> {
    i32::try_from(value).ok().and_then(|v| T::try_from(v).ok()).ok_or(db::Error::Corrupt(what))
}

fn reference(member_id: &str, local_id: &str) -> Result<RecordRef, db::Error> {
    RecordRef::new(parse(member_id, "member")?, local_id).map_err(|_| db::Error::Corrupt("local id"))
}

fn pack_keys(keys: &[i64]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_be_bytes()).collect()
}

/// Returns the blocking keys of a record, which stand with it so that no index from record to key is needed.
async fn stored_keys(c: &mut Connection, row: i64) -> Result<Vec<i64>, Error> {
    let (bytes,): (Vec<u8>,) =
        sqlx::query_as("SELECT keys FROM source_record WHERE record_row = $1").bind(row).fetch_one(c).await?;
    Ok(unpack_keys(&bytes)?)
}

fn unpack_keys(bytes: &[u8]) -> Result<Vec<i64>, db::Error> {
    let (keys, rest) = bytes.as_chunks();
    if rest.is_empty() {
        Ok(keys.iter().map(|key| i64::from_be_bytes(*key)).collect())
    } else {
        Err(db::Error::Corrupt("list of keys"))
    }
}

/// Returns a record's row, id and person.
async fn record_by_id(c: &mut Connection, record: RecordId) -> Result<(i64, String, String), Error> {
    sqlx::query_as("SELECT record_row, record_id, person_id FROM source_record WHERE record_id = $1")
        .bind(record.to_string())
        .fetch_optional(c)
        .await?
        .ok_or(Error::RecordUnknown)
}

async fn find_candidates(
    c: &mut Connection,
    ring: &KeyRing,
    keys: &[i64],
) -> Result<(Vec<Known>, bool), Error> {
    const { assert!(CANDIDATES_MAX == 400, "the statement says one more") };
    let rows: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as(CANDIDATES).bind(key_list(keys)).fetch_all(c).await?;
    let mut candidates = Vec::with_capacity(rows.len());
    for (row, person, prepared) in rows {
        let record = open_comparison(ring, row, &prepared)?;
        candidates.push(Known { person: parse(&person, "person")?, record });
    }
    let overfull = candidates.len() > CANDIDATES_MAX;
    candidates.truncate(CANDIDATES_MAX);
    Ok((candidates, overfull))
}

async fn is_alone(c: &mut Connection, person: &str) -> Result<bool, Error> {
    let rows: Vec<(i64,)> =
        sqlx::query_as("SELECT record_row FROM source_record WHERE person_id = $1 LIMIT 2")
            .bind(person)
            .fetch_all(c)
            .await?;
    Ok(rows.len() == 1)
}

async fn insert_person(c: &mut Connection, now_us: i64) -> Result<String, Error> {
    let person = PersonId::generate().to_string();
    sqlx::query("INSERT INTO person (person_id, created_at) VALUES ($1, $2)")
        .bind(&person)
        .bind(now_us)
        .execute(c)
        .await?;
    Ok(person)
}

async fn update_record(
    c: &mut Connection,
    ring: &KeyRing,
    (row, id): (i64, &str),
    incoming: &Incoming,
    sent_us: Option<i64>,
) -> Result<(), Error> {
    let old_keys = stored_keys(c, row).await?;
    sqlx::query(
        "UPDATE source_record SET demographics = $2, keys = $3, updated_at = COALESCE($4, updated_at)
         WHERE record_row = $1",
    )
    .bind(row)
    .bind(seal_record(ring, id, &incoming.demographics))
    .bind(pack_keys(&incoming.keys))
    .bind(sent_us)
    .execute(&mut *c)
    .await?;
    sqlx::query("UPDATE comparison SET prepared = $2 WHERE record_row = $1")
        .bind(row)
        .bind(seal_comparison(ring, row, &incoming.prepared))
        .execute(&mut *c)
        .await?;
    sqlx::query(DELETE_KEYS).bind(key_list(&old_keys)).bind(row).execute(&mut *c).await?;
    let rows = vec![row; incoming.keys.len()];
    Ok(insert_keys(c, &incoming.keys, &rows).await?)
}

/// Moves a record to a person. A person that is left without records goes on to resolve to where the last of them is.
async fn move_record(c: &mut Connection, row: i64, from: &str, to: &str) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    for update in [
        "UPDATE source_record SET person_id = $2 WHERE record_row = $1",
        "UPDATE comparison SET person_id = $2 WHERE record_row = $1",
        // Who left with it before follows it; who is come to stands for itself.
        "UPDATE person SET merged_into = $2 WHERE left_by = $1 AND person_id <> $2",
    ] {
        sqlx::query(update).bind(row).bind(to).execute(&mut *c).await?;
    }
    sqlx::query(
        "UPDATE person SET merged_into = NULL, left_by = NULL WHERE person_id = $1 AND left_by IS NOT NULL",
    )
    .bind(to)
    .execute(&mut *c)
    .await?;
    sqlx::query(
        "UPDATE person SET merged_into = $2, left_by = $3 WHERE person_id = $1
           AND NOT EXISTS (SELECT 1 FROM source_record WHERE source_record.person_id = $1)",
    )
    .bind(from)
    .bind(to)
    .bind(row)
    .execute(c)
    .await?;
    Ok(())
}

/// A steward's word that a decision speaks, and the state in which the question stood before, if it was one.
struct Word<'a> {
    candidate: &'a str,
    before: Option<i64>,
}

struct NewEvent<'a> {
    record: &'a str,
    from: Option<&'a str>,
    to: &'a str,
    kind: LinkEventKind,
    bits: f64,
    word: Option<Word<'a>>,
    undoes: Option<i64>,
}

async fn insert_event(c: &mut Connection, event: NewEvent<'_>, by: &Decider<'_>) -> Result<i64, Error> {
    let (sequence,): (i64,) = sqlx::query_as(
        "INSERT INTO link_event
           (record_id, from_person, to_person, kind, weight_bits, model_version, actor, reason, decided_at,
            candidate_id, word_before, undoes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING sequence",
    )
    .bind(event.record)
    .bind(event.from)
    .bind(event.to)
    .bind(i64::from(event.kind as i32))
    .bind(event.bits)
    .bind(by.model_version)
    .bind(by.actor)
    .bind(by.reason)
    .bind(by.now_us)
    .bind(event.word.as_ref().map(|word| word.candidate))
    .bind(event.word.as_ref().and_then(|word| word.before))
    .bind(event.undoes)
    .fetch_one(c)
    .await?;
    Ok(sequence)
}

/// A decision as its columns have it; `event_columns` names them.
#[derive(sqlx::FromRow)]
struct EventRow {
    sequence: i64,
    record_id: String,
    member_id: String,
    local_id: String,
    from_person: Option<String>,
    to_person: String,
    kind: i64,
    weight_bits: f64,
    model_version: String,
    actor: String,
    reason: String,
    decided_at: i64,
    candidate_id: Option<String>,
    undoes: Option<i64>,
    transaction_id: i64,
}

fn link_event(row: EventRow) -> Result<(Position, LinkEvent), db::Error> {
    let person = |id: Option<String>| id.map(|id| parse(&id, "person")).transpose();
    let event = LinkEvent {
        sequence: row.sequence,
        record: parse(&row.record_id, "record")?,
        reference: reference(&row.member_id, &row.local_id)?,
        from: person(row.from_person)?,
        to: parse(&row.to_person, "person")?,
        kind: number(row.kind, "link event")?,
        bits: row.weight_bits,
        model_version: row.model_version,
        actor: row.actor,
        reason: row.reason,
        decided_us: row.decided_at,
        candidate: person(row.candidate_id)?,
        undoes: row.undoes,
    };
    Ok((Position { transaction: row.transaction_id, sequence: event.sequence }, event))
}

async fn find_event(c: &mut Connection, sequence: i64) -> Result<LinkEvent, Error> {
    let row: EventRow = sqlx::query_as(concat!(event_columns!(), " WHERE e.sequence = $1"))
        .bind(sequence)
        .fetch_optional(c)
        .await?
        .ok_or(Error::EventUnknown)?;
    Ok(link_event(row)?.1)
}

/// Opens a question, unless it is open or was decided; true when it waits then.
async fn open_review(c: &mut Connection, record: &str, review: &Review, now_us: i64) -> Result<bool, Error> {
    let candidate = review.candidate.to_string();
    let opened = sqlx::query(
        "INSERT INTO review_task (task_id, record_id, candidate_id, probability, reason, state, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (record_id, candidate_id) DO NOTHING",
    )
    .bind(TaskId::generate().to_string())
    .bind(record)
    .bind(&candidate)
    .bind(review.probability)
    .bind(review.reason)
    .bind(i64::from(ReviewState::Open as i32))
    .bind(now_us)
    .execute(&mut *c)
    .await?;
    if opened.rows_affected() > 0 {
        return Ok(true);
    }
    let (state,): (i64,) =
        sqlx::query_as("SELECT state FROM review_task WHERE record_id = $1 AND candidate_id = $2")
            .bind(record)
            .bind(&candidate)
            .fetch_one(c)
            .await?;
    Ok([ReviewState::Open, ReviewState::Deferred].iter().any(|waits| i64::from(*waits as i32) == state))
}

/// Writes a steward's word on a record and a person, whether it was asked for or not; returns what stood there before.
async fn settle<'a>(
    c: &mut Connection,
    record: &str,
    candidate: &'a str,
    state: ReviewState,
    by: &Decider<'_>,
) -> Result<Word<'a>, Error> {
    let before: Option<(i64,)> =
        sqlx::query_as("SELECT state FROM review_task WHERE record_id = $1 AND candidate_id = $2")
            .bind(record)
            .bind(candidate)
            .fetch_optional(&mut *c)
            .await?;
    sqlx::query(
        "INSERT INTO review_task
           (task_id, record_id, candidate_id, probability, reason, state, opened_at, resolved_at, resolved_by)
         VALUES ($1, $2, $3, 0, 'BY_HAND', $4, $5, $5, $6)
         ON CONFLICT (record_id, candidate_id) DO UPDATE
           SET state = excluded.state, resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by",
    )
    .bind(TaskId::generate().to_string())
    .bind(record)
    .bind(candidate)
    .bind(i64::from(state as i32))
    .bind(by.now_us)
    .bind(by.actor)
    .execute(c)
    .await?;
    Ok(Word { candidate, before: before.map(|(state,)| state) })
}

async fn resolve_person(c: &mut Connection, by: &By) -> Result<Option<(String, i64)>, Error> {
    let person = match by {
        By::Person(id) => Some((id.to_string(),)),
        By::Record(record) => {
            sqlx::query_as("SELECT person_id FROM source_record WHERE member_id = $1 AND local_id = $2")
                .bind(record.member_id.as_str())
                .bind(record.local_id())
                .fetch_optional(&mut *c)
                .await?
        }
    };
    let Some((person,)) = person else { return Ok(None) };
    // Merged persons point straight at their survivor, so one step is enough.
    let row = sqlx::query_as(
        "SELECT s.person_id, s.created_at FROM person p
         JOIN person s ON s.person_id = COALESCE(p.merged_into, p.person_id) WHERE p.person_id = $1",
    )
    .bind(person)
    .fetch_optional(c)
    .await?;
    Ok(row)
}

/// Merged persons point straight at their survivor, so one step is enough.
const REFERENCES: &str =
    "SELECT s.person_id, r.record_row, r.record_id, r.member_id, r.local_id, r.updated_at FROM person p
     JOIN person s ON s.person_id = COALESCE(p.merged_into, p.person_id)
     JOIN source_record r ON r.person_id = s.person_id WHERE p.person_id = ";

type ReferenceRow = (String, i64, String, String, String, i64);

type TaskRow = (String, String, String, f64, String, i64, i64, String, String);

fn task(row: TaskRow) -> Result<ReviewTask, db::Error> {
    let (id, record, candidate, probability, reason, state, opened_us, member_id, local_id) = row;
    Ok(ReviewTask {
        id: parse(&id, "task")?,
        record: parse(&record, "record")?,
        reference: reference(&member_id, &local_id)?,
        candidate: parse(&candidate, "person")?,
        probability,
        reason,
        state: number(state, "review state")?,
        opened_us,
    })
}

/// Returns the keys of all records of the person that a record is with, and of some persons.
async fn keys_of(c: &mut Connection, row: Option<i64>, persons: &[&str]) -> Result<Vec<i64>, Error> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT keys FROM source_record WHERE person_id = (SELECT person_id FROM source_record WHERE record_row = ",
    );
    query.push_bind(row).push(")");
    for person in persons {
        query.push(" OR person_id = ").push_bind((*person).to_owned());
        query.push(" OR person_id = (SELECT merged_into FROM person WHERE person_id = ");
        query.push_bind((*person).to_owned()).push(")");
    }
    query.push(" ORDER BY record_row");
    let rows: Vec<(Vec<u8>,)> = query.build_query_as().persistent(false).fetch_all(c).await?;
    let mut keys = vec![];
    for (bytes,) in rows {
        keys.extend(unpack_keys(&bytes)?);
    }
    Ok(keys)
}

/// Locks what a steward's decision touches, so that it crosses neither a registration nor another decision: the keys of
/// all records of the person that a record is with, and of some persons.
///
/// Who they are may change before the lock is there; then what it changed to is locked as well.
async fn lock_decision(c: &mut Connection, row: Option<i64>, persons: &[&str]) -> Result<(), Error> {
    if ONE_WRITER {
        return Ok(());
    }
    let mut keys = keys_of(c, row, persons).await?;
    loop {
        lock_stripes(c, &keys).await?;
        let now = keys_of(c, row, persons).await?;
        if now == keys {
            return Ok(());
        }
        keys = now;
    }
}

/// Moves a record by a steward's word and returns the event.
async fn relink(
    c: &mut Connection,
    record: RecordId,
    to: &str,
    (kind, undoes): (LinkEventKind, Option<i64>),
    word: Word<'_>,
    by: &Decider<'_>,
) -> Result<LinkEvent, Error> {
    let (row, id, from) = record_by_id(c, record).await?;
    move_record(c, row, &from, to).await?;
    let event = NewEvent { record: &id, from: Some(&from), to, kind, bits: 0.0, word: Some(word), undoes };
    let sequence = insert_event(c, event, by).await?;
    find_event(c, sequence).await
}

/// Returns the event that an earlier attempt made.
async fn replayed_event(c: &mut Connection, attempt: Option<&Attempt>) -> Result<Option<LinkEvent>, Error> {
    let Some(response) = replayed(c, attempt).await? else { return Ok(None) };
    let sequence = response.try_into().map_err(|_| db::Error::Corrupt("response"))?;
    find_event(c, i64::from_be_bytes(sequence)).await.map(Some)
}

type RecordRow = (i64, String, String, String, Vec<u8>, i64);

fn stored_record(ring: &KeyRing, row: &RecordRow) -> Result<StoredRecord, Error> {
    let (row, id, member_id, local_id, demographics, updated_us) = row;
    Ok(StoredRecord {
        row: *row,
        id: parse(id, "record")?,
        reference: reference(member_id, local_id)?,
        demographics: open_record(ring, id, demographics)?,
        updated_us: *updated_us,
    })
}

#[async_trait]
impl Store for SqlStore {
    async fn register(
        &self,
        batch: &[Incoming],
        decide: &dyn Decide,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<Registered>, Error> {
        self.refresh_keys(by.now_us).await?;
        untangled!(with_new_keys!(self, self.register_all(batch, decide, by, attempt)))
    }

    async fn candidates(&self, keys: &[i64]) -> Result<(Vec<Known>, bool), Error> {
        // The connection goes back before new keys are read, which takes another.
        with_new_keys!(self, async {
            let mut c = self.shelf.take().await?;
            let found = find_candidates(&mut c, &self.keys, keys).await?;
            self.shelf.keep(c);
            Ok(found)
        })
    }

    async fn person(&self, by: &By) -> Result<Option<Person>, Error> {
        let mut c = self.pools.read.acquire().await?;
        let Some((id, created_us)) = resolve_person(&mut c, by).await? else { return Ok(None) };
        let (record_count,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM source_record WHERE person_id = $1")
                .bind(&id)
                .fetch_one(&mut *c)
                .await?;
        Ok(Some(Person { id: parse(&id, "person")?, created_us, record_count }))
    }

    async fn references(&self, by: &By, limit: i64) -> Result<Option<(PersonId, Vec<Reference>)>, Error> {
        let mut sql = QueryBuilder::<Db>::new(REFERENCES);
        match by {
            By::Person(id) => sql.push_bind(id.to_string()),
            By::Record(record) => sql
                .push("(SELECT person_id FROM source_record WHERE member_id = ")
                .push_bind(record.member_id.as_str())
                .push(" AND local_id = ")
                .push_bind(record.local_id())
                .push(")"),
        };
        // SQLite prepares a statement anew for every value of a bound limit.
        sql.push(" ORDER BY r.record_row LIMIT ").push(limit);
        let mut c = self.shelf.take().await?;
        let rows: Vec<ReferenceRow> = sql.build_query_as().fetch_all(&mut *c).await?;
        self.shelf.keep(c);
        let Some((person, ..)) = rows.first() else { return Ok(None) };
        let person = parse(person, "person")?;
        let read = |(_, row, id, member_id, local_id, updated_us): &ReferenceRow| {
            let (id, reference) = (parse(id, "record")?, reference(member_id, local_id)?);
            Ok(Reference { row: *row, id, reference, updated_us: *updated_us })
        };
        Ok(Some((person, rows.iter().map(read).collect::<Result<_, db::Error>>()?)))
    }

    async fn person_records(
        &self,
        person: PersonId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredRecord>, Error> {
        let rows: Vec<RecordRow> = sqlx::query_as(
            "SELECT record_row, record_id, member_id, local_id, demographics, updated_at FROM source_record
             WHERE person_id = $1 AND record_row > $2 ORDER BY record_row LIMIT $3",
        )
        .bind(person.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pools.read)
        .await?;
        with_new_keys!(self, async { rows.iter().map(|row| stored_record(&self.keys, row)).collect() })
    }

    async fn prepared(&self, record: RecordId) -> Result<Option<Packed>, Error> {
        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT c.record_row, c.prepared FROM comparison c JOIN source_record r ON r.record_row = c.record_row
             WHERE r.record_id = $1",
        )
        .bind(record.to_string())
        .fetch_optional(&self.pools.read)
        .await?;
        let Some((row, sealed)) = row else { return Ok(None) };
        with_new_keys!(self, async { Ok(Some(open_comparison(&self.keys, row, &sealed)?)) })
    }

    async fn changes(&self, after: Position, limit: i64) -> Result<Vec<(Position, LinkEvent)>, Error> {
        let rows: Vec<EventRow> = sqlx::query_as(CHANGES)
            .bind(after.transaction)
            .bind(after.sequence)
            .bind(limit)
            .fetch_all(&self.pools.read)
            .await?;
        Ok(rows.into_iter().map(link_event).collect::<Result<_, _>>()?)
    }

    async fn log_id(&self) -> Result<String, Error> {
        let (id,): (String,) = sqlx::query_as(LOG_ID).fetch_one(&self.pools.read).await?;
        Ok(id)
    }

    async fn last_decision(&self) -> Result<i64, Error> {
        let (last,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(sequence) FROM link_event").fetch_one(&self.pools.read).await?;
        Ok(last.unwrap_or_default())
    }

    async fn data_keys(&self) -> Result<Vec<DataKey>, Error> {
        self.known_data_keys().await
    }

    async fn rotate_keys(&self, now_us: i64, progress: &Progress<'_>) -> Result<Rotation, Error> {
        self.seal_anew(now_us, progress).await
    }
}
