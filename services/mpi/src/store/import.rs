// Import of many records at once; included by `sqlite` and by `postgres` after `register.rs`.

use super::bulk::{self, Import};

/// Records that are read at once.
const READ_AT_ONCE: i64 = 5_000;

/// Questions that one statement opens.
const REVIEWS_AT_ONCE: usize = 1_000;

/// Keys that one statement inserts where they may be there.
const KEYS_AT_ONCE: usize = 50_000;

/// A value of a row.
enum Cell {
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Rows whose keys are pending: the first, the last, and the last key that is written.
type Pending = (i64, i64, Option<i64>);

impl SqlStore {
    async fn write_records(&self, records: &[bulk::NewRecord<'_>], by: &Decider<'_>) -> Result<(), Error> {
        let ring = &self.keys;
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let rows = take_rows(&mut tx, records.len()).await?;
        let (Some(first), Some(last)) = (rows.iter().min(), rows.iter().max()) else { return Ok(()) };
        let numbered = || records.iter().zip(&rows);
        let founders = records.iter().filter(|record| record.founds);
        let cells = founders.flat_map(|r| [Cell::Text(r.person.to_string()), Cell::Int(by.now_us)]);
        insert_rows(&mut tx, "person (person_id, created_at)", 2, cells.collect()).await?;
        let cells = numbered().flat_map(|(record, row)| {
            let id = record.id.to_string();
            let demographics = seal_record(ring, &id, record.demographics);
            [
                Cell::Int(*row),
                Cell::Text(id),
                Cell::Text(record.member.to_owned()),
                Cell::Text(record.local.to_owned()),
                Cell::Text(record.person.to_string()),
                Cell::Bytes(demographics),
                Cell::Bytes(pack_keys(record.keys)),
                Cell::Int(by.now_us),
            ]
        });
        let table = "source_record
            (record_row, record_id, member_id, local_id, person_id, demographics, keys, updated_at)";
        insert_rows(&mut tx, table, 8, cells.collect()).await?;
        let cells = numbered().flat_map(|(record, row)| {
            let prepared = seal_prepared(ring, *row, record.prepared.as_bytes());
            [Cell::Int(*row), Cell::Text(record.person.to_string()), Cell::Bytes(prepared)]
        });
        insert_rows(&mut tx, "comparison (record_row, person_id, prepared)", 3, cells.collect()).await?;
        let cells = records.iter().flat_map(|record| {
            let kind = if record.founds { LinkEventKind::Create } else { LinkEventKind::Link };
            [
                Cell::Text(record.id.to_string()),
                Cell::Text(record.person.to_string()),
                Cell::Int(i64::from(kind as i32)),
                Cell::Float(record.bits),
                Cell::Text(by.model_version.to_owned()),
                Cell::Text(by.actor.to_owned()),
                Cell::Text(by.reason.to_owned()),
                Cell::Int(by.now_us),
            ]
        });
        let table = "link_event
            (record_id, to_person, kind, weight_bits, model_version, actor, reason, decided_at)";
        insert_rows(&mut tx, table, 8, cells.collect()).await?;
        sqlx::query("INSERT INTO unindexed (first_row, last_row) VALUES ($1, $2)")
            .bind(first)
            .bind(last)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Returns the keys of all rows that wait for theirs, in order, with the first of the rows that were written last.
    async fn pending_keys(&self) -> Result<Option<(Vec<(i64, i64)>, i64)>, Error> {
        let pending: Vec<Pending> =
            sqlx::query_as("SELECT first_row, last_row, keys_until FROM unindexed ORDER BY first_row")
                .fetch_all(&self.pools.read)
                .await?;
        let Some((newest, ..)) = pending.last() else { return Ok(None) };
        let mut entries = vec![];
        for (first, last, until) in &pending {
            let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "SELECT record_row, keys FROM source_record WHERE record_row >= $1 AND record_row <= $2",
            )
            .bind(first)
            .bind(last)
            .fetch_all(&self.pools.read)
            .await?;
            for (row, keys) in rows {
                let keys = unpack_keys(&keys)?.into_iter();
                let missing = keys.filter(|key| until.is_none_or(|until| *key > until));
                entries.extend(missing.map(|key| (key, row)));
            }
        }
        // Ranges of two writers may overlap.
        entries.sort_unstable();
        entries.dedup();
        Ok(Some((entries, *newest)))
    }

    /// Writes keys and how far they are in one transaction.
    async fn write_keys(&self, entries: &[(i64, i64)], newest: i64, is_last: bool) -> Result<(), Error> {
        let Err(error) = self.try_keys(entries, newest, is_last, true).await else { return Ok(()) };
        match &error {
            // Some of the records were written anew by another way, with their keys.
            Error::Database(db::Error::Database(sqlx::Error::Database(cause)))
                if cause.is_unique_violation() =>
            {
                self.try_keys(entries, newest, is_last, false).await
            }
            _ => Err(error),
        }
    }

    async fn try_keys(
        &self,
        entries: &[(i64, i64)],
        newest: i64,
        is_last: bool,
        all_new: bool,
    ) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if all_new {
            let cells = entries.iter().flat_map(|(key, row)| [Cell::Int(*key), Cell::Int(*row)]);
            insert_rows(&mut tx, "block_key (key, record_row)", 2, cells.collect()).await?;
        } else {
            for part in entries.chunks(KEYS_AT_ONCE) {
                let (keys, rows): (Vec<i64>, Vec<i64>) = part.iter().copied().unzip();
                insert_keys(&mut tx, &keys, &rows).await?;
            }
        }
        if is_last {
            sqlx::query("DELETE FROM unindexed WHERE first_row <= $1").bind(newest).execute(&mut *tx).await?;
        } else if let Some((until, _)) = entries.last() {
            sqlx::query("UPDATE unindexed SET keys_until = $2 WHERE first_row <= $1")
                .bind(newest)
                .bind(until)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn seal_prepared(keys: &KeyRing, row: i64, prepared: &[u8]) -> Vec<u8> {
    keys.seal("mpi.comparison", &row.to_be_bytes(), prepared)
}

/// Returns where a part of sorted keys ends that holds about so many: equal keys are in one part.
fn part_end(entries: &[(i64, i64)], at_once: usize) -> usize {
    let Some((key, _)) = entries.get(at_once.max(1) - 1) else { return entries.len() };
    entries.partition_point(|(other, _)| other <= key)
}

#[async_trait]
impl Import for SqlStore {
    async fn each_record(&self, each: &mut bulk::Each<'_>) -> Result<(), Error> {
        type Row = (i64, String, String, String, String, Vec<u8>, Vec<u8>, Vec<u8>);
        self.learn_keys().await?;
        let mut after = i64::MIN;
        loop {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT r.record_row, r.record_id, r.member_id, r.local_id, r.person_id, r.demographics, c.prepared,
                    r.keys
                 FROM source_record r JOIN comparison c ON c.record_row = r.record_row
                 WHERE r.record_row > $1 ORDER BY r.record_row LIMIT $2",
            )
            .bind(after)
            .bind(READ_AT_ONCE)
            .fetch_all(&self.pools.read)
            .await?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            for (row, id, member, local, person, demographics, prepared, keys) in rows {
                let demographics = open_record(&self.keys, &id, &demographics)?;
                let prepared = open_comparison(&self.keys, row, &prepared)?;
                let (id, person) = (parse(&id, "record")?, parse(&person, "person")?);
                let keys = unpack_keys(&keys)?;
                each(bulk::StoredRecord { id, person, member, local, demographics, prepared, keys });
            }
        }
    }

    async fn asked(&self) -> Result<Vec<(PersonId, PersonId)>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT r.person_id, COALESCE(p.merged_into, p.person_id) FROM review_task t
             JOIN source_record r ON r.record_id = t.record_id JOIN person p ON p.person_id = t.candidate_id",
        )
        .fetch_all(&self.pools.read)
        .await?;
        let read = |(one, other): &(String, String)| Ok((parse(one, "person")?, parse(other, "person")?));
        rows.iter().map(read).collect()
    }

    async fn insert_records(&self, records: &[bulk::NewRecord<'_>], by: &Decider<'_>) -> Result<(), Error> {
        self.refresh_keys(by.now_us).await?;
        self.write_records(records, by).await
    }

    async fn insert_pending_keys(&self, at_once: usize, done: &bulk::KeysDone<'_>) -> Result<u64, Error> {
        let Some((entries, newest)) = self.pending_keys().await? else { return Ok(0) };
        let mut rest = &entries[..];
        loop {
            done((entries.len() - rest.len()) as u64, entries.len() as u64);
            let (part, after) = rest.split_at(part_end(rest, at_once));
            self.write_keys(part, newest, after.is_empty()).await?;
            rest = after;
            if rest.is_empty() {
                return Ok(entries.len() as u64);
            }
        }
    }

    async fn insert_reviews(&self, reviews: &[(RecordId, Review)], now_us: i64) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        for part in reviews.chunks(REVIEWS_AT_ONCE) {
            let mut query = QueryBuilder::<Db>::new(
                "INSERT INTO review_task
                   (task_id, record_id, candidate_id, probability, reason, state, opened_at) ",
            );
            query.push_values(part, |mut values, (record, review)| {
                values
                    .push_bind(TaskId::generate().to_string())
                    .push_bind(record.to_string())
                    .push_bind(review.candidate.to_string())
                    .push_bind(review.probability)
                    .push_bind(review.reason)
                    .push_bind(i64::from(ReviewState::Open as i32))
                    .push_bind(now_us);
            });
            query.push(" ON CONFLICT (record_id, candidate_id) DO NOTHING");
            query.build().persistent(false).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn look_over(&self) -> Result<(), Error> {
        Ok(look_over(&self.pools).await?)
    }
}
