// Models; included by `sqlite` and by `postgres` after `register.rs`.

use super::model::{self, ModelChange, Models, StoredModel};

/// Changes that one statement writes.
const CHANGES_AT_ONCE: usize = 1_000;

/// A model as its columns have it; `model_columns` names them.
#[derive(sqlx::FromRow)]
struct ModelRow {
    model_row: i64,
    version: String,
    state: i64,
    compared_with: String,
    records: i64,
    step: String,
    done: i64,
    total: i64,
    failure: String,
    created_at: i64,
    promoted_at: Option<i64>,
    touched_at: i64,
    pending: i64,
    decided_by: String,
    decided_why: String,
}

/// Models; a condition follows.
macro_rules! model_columns {
    () => {
        "SELECT model_row, version, state, compared_with, records, step, done, total, failure, created_at,
            promoted_at, touched_at, decided_by, decided_why, (
                SELECT COUNT(*) FROM model_change c
                WHERE c.model_row = model.model_row AND c.carried_out = 0 AND model.state = 3) AS pending
        FROM model"
    };
}

fn stored_model(row: ModelRow) -> Result<StoredModel, db::Error> {
    Ok(StoredModel {
        row: row.model_row,
        version: row.version,
        state: number(row.state, "state of a model")?,
        compared_with: row.compared_with,
        records: row.records,
        progress: model::Progress { step: row.step, done: row.done, total: row.total },
        failure: row.failure,
        created_us: row.created_at,
        promoted_us: row.promoted_at,
        touched_us: row.touched_at,
        pending: row.pending,
        decided: (row.decided_by, row.decided_why),
    })
}

async fn find_model(c: &mut Connection, version: &str) -> Result<Option<StoredModel>, Error> {
    let row: Option<ModelRow> = sqlx::query_as(concat!(model_columns!(), " WHERE version = $1"))
        .bind(version)
        .fetch_optional(c)
        .await?;
    Ok(row.map(stored_model).transpose()?)
}

async fn known_model(c: &mut Connection, version: &str) -> Result<StoredModel, Error> {
    find_model(c, version).await?.ok_or(Error::ModelUnknown)
}

async fn set_state(c: &mut Connection, row: i64, state: ModelState, now_us: i64) -> Result<(), Error> {
    sqlx::query(
        "UPDATE model SET state = $2, touched_at = $3, step = '', done = 0, total = 0 WHERE model_row = $1",
    )
    .bind(row)
    .bind(i64::from(state as i32))
    .bind(now_us)
    .execute(c)
    .await?;
    Ok(())
}

async fn note_decider(c: &mut Connection, row: i64, by: &Decider<'_>) -> Result<(), Error> {
    sqlx::query("UPDATE model SET decided_by = $2, decided_why = $3 WHERE model_row = $1")
        .bind(row)
        .bind(by.actor)
        .bind(by.reason)
        .execute(c)
        .await?;
    Ok(())
}

/// Puts a model in force and retires the one that was; what that one has not carried out, it never will.
async fn put_in_force(c: &mut Connection, version: &str, now_us: i64) -> Result<(), Error> {
    sqlx::query(
        "UPDATE model_change SET carried_out = 1 WHERE carried_out = 0
         AND model_row IN (SELECT model_row FROM model WHERE state = 3 AND version <> $1)",
    )
    .bind(version)
    .execute(&mut *c)
    .await?;
    for (statement, state) in [
        (
            "UPDATE model SET state = $1, touched_at = $2 WHERE state = 3 AND version <> $3",
            ModelState::Retired,
        ),
        (
            // Nobody works on it yet: whoever comes first takes it over.
            "UPDATE model SET state = $1, promoted_at = $2, touched_at = 0 WHERE version = $3",
            ModelState::InForce,
        ),
    ] {
        sqlx::query(statement)
            .bind(i64::from(state as i32))
            .bind(now_us)
            .bind(version)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

async fn fail_silent(c: &mut Connection, alive_us: i64) -> Result<u64, Error> {
    let failed = sqlx::query(
        "UPDATE model SET state = $1, failure = 'CUT_SHORT', step = '' WHERE state = $2 AND touched_at < $3",
    )
    .bind(i64::from(ModelState::Failed as i32))
    .bind(i64::from(ModelState::Training as i32))
    .bind(alive_us)
    .execute(c)
    .await?;
    Ok(failed.rows_affected())
}

/// Returns the model of an earlier attempt.
async fn replayed_model(c: &mut Connection, attempt: Option<&Attempt>) -> Result<Option<StoredModel>, Error> {
    let Some(response) = replayed(c, attempt).await? else { return Ok(None) };
    let version = String::from_utf8(response).map_err(|_| db::Error::Corrupt("response"))?;
    known_model(c, &version).await.map(Some)
}

#[async_trait]
impl Models for SqlStore {
    async fn model(&self, version: &str) -> Result<Option<StoredModel>, Error> {
        find_model(&mut *self.pools.read.acquire().await?, version).await
    }

    async fn model_in_force(&self) -> Result<Option<StoredModel>, Error> {
        let row: Option<ModelRow> = sqlx::query_as(concat!(model_columns!(), " WHERE state = 3"))
            .fetch_optional(&self.pools.read)
            .await?;
        Ok(row.map(stored_model).transpose()?)
    }

    async fn models(&self, before: i64, limit: i64) -> Result<Vec<StoredModel>, Error> {
        let page = concat!(model_columns!(), " WHERE model_row < $1 ORDER BY model_row DESC LIMIT $2");
        let rows: Vec<ModelRow> =
            sqlx::query_as(page).bind(before).bind(limit).fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(stored_model).collect::<Result<_, _>>()?)
    }

    async fn model_body(&self, version: &str) -> Result<Option<String>, Error> {
        let row: Option<(Option<Vec<u8>>,)> = sqlx::query_as("SELECT body FROM model WHERE version = $1")
            .bind(version)
            .fetch_optional(&self.pools.read)
            .await?;
        let Some((Some(sealed),)) = row else { return Ok(None) };
        with_new_keys!(self, async {
            let body = open_model(&self.keys, version, &sealed)?;
            Ok(Some(String::from_utf8(body).map_err(|_| db::Error::Corrupt("model"))?))
        })
    }

    async fn keep_model(&self, version: &str, body: &str, in_force: bool, now_us: i64) -> Result<(), Error> {
        self.refresh_keys(now_us).await?;
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        lock_stripes(&mut tx, &[MODELS]).await?;
        sqlx::query(
            "INSERT INTO model (version, body, state, compared_with, records, step, done, total, failure,
                created_at, touched_at)
             VALUES ($1, $2, $3, '', 0, '', 0, 0, '', $4, $4) ON CONFLICT (version) DO NOTHING",
        )
        .bind(version)
        .bind(seal_model(&self.keys, version, body))
        .bind(i64::from(ModelState::Retired as i32))
        .bind(now_us)
        .execute(&mut *tx)
        .await?;
        if in_force {
            put_in_force(&mut tx, version, now_us).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn begin_model(
        &self,
        version: &str,
        compared_with: &str,
        alive_us: i64,
        now_us: i64,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(model) = replayed_model(&mut tx, attempt).await? {
            return Ok(model);
        }
        lock_stripes(&mut tx, &[MODELS]).await?;
        if find_model(&mut tx, version).await?.is_some() {
            return Err(Error::ModelExists);
        }
        fail_silent(&mut tx, alive_us).await?;
        let (others,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM model WHERE state = $1")
            .bind(i64::from(ModelState::Training as i32))
            .fetch_one(&mut *tx)
            .await?;
        if others > 0 {
            return Err(Error::TrainingUnderWay);
        }
        sqlx::query(
            "INSERT INTO model (version, state, compared_with, records, step, done, total, failure, created_at,
                touched_at)
             VALUES ($1, $2, $3, 0, '', 0, 0, '', $4, $4)",
        )
        .bind(version)
        .bind(i64::from(ModelState::Training as i32))
        .bind(compared_with)
        .bind(now_us)
        .execute(&mut *tx)
        .await?;
        let model = known_model(&mut tx, version).await?;
        keep_response(&mut tx, attempt, version.as_bytes(), now_us).await?;
        tx.commit().await?;
        Ok(model)
    }

    async fn fail_silent(&self, alive_us: i64) -> Result<u64, Error> {
        fail_silent(&mut *self.pools.write.acquire().await?, alive_us).await
    }

    async fn touch_model(
        &self,
        version: &str,
        progress: &model::Progress,
        now_us: i64,
    ) -> Result<bool, Error> {
        let touched = sqlx::query(
            "UPDATE model SET step = $2, done = $3, total = $4, touched_at = $5
             WHERE version = $1 AND state IN (1, 3)",
        )
        .bind(version)
        .bind(&progress.step)
        .bind(progress.done)
        .bind(progress.total)
        .bind(now_us)
        .execute(&self.pools.write)
        .await?;
        Ok(touched.rows_affected() > 0)
    }

    async fn take_over(&self, version: &str, alive_us: i64, now_us: i64) -> Result<bool, Error> {
        let taken = sqlx::query("UPDATE model SET touched_at = $3 WHERE version = $1 AND touched_at < $2")
            .bind(version)
            .bind(alive_us)
            .bind(now_us)
            .execute(&self.pools.write)
            .await?;
        Ok(taken.rows_affected() > 0)
    }

    async fn model_learnt(
        &self,
        version: &str,
        body: &str,
        records: i64,
        changes: &[ModelChange],
        now_us: i64,
    ) -> Result<(), Error> {
        self.refresh_keys(now_us).await?;
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        lock_stripes(&mut tx, &[MODELS]).await?;
        let model = known_model(&mut tx, version).await?;
        if model.state != ModelState::Training {
            return Err(Error::ModelNotReady);
        }
        for part in changes.chunks(CHANGES_AT_ONCE) {
            let mut query = QueryBuilder::<Db>::new(
                "INSERT INTO model_change (model_row, record_id, person_id, before_code, after_code,
                    candidate_id, probability, carried_out) ",
            );
            query.push_values(part, |mut values, change| {
                values
                    .push_bind(model.row)
                    .push_bind(change.record.to_string())
                    .push_bind(change.person.to_string())
                    .push_bind(change.before.clone())
                    .push_bind(change.after.clone())
                    .push_bind(change.candidate.map(|person| person.to_string()))
                    .push_bind(change.probability)
                    .push_bind(0i64);
            });
            query.build().persistent(false).execute(&mut *tx).await?;
        }
        sqlx::query("UPDATE model SET body = $2, records = $3 WHERE model_row = $1")
            .bind(model.row)
            .bind(seal_model(&self.keys, version, body))
            .bind(records)
            .execute(&mut *tx)
            .await?;
        set_state(&mut tx, model.row, ModelState::Ready, now_us).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn model_failed(&self, version: &str, failure: &'static str, now_us: i64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE model SET state = $2, failure = $3, step = '', touched_at = $4
             WHERE version = $1 AND state = $5",
        )
        .bind(version)
        .bind(i64::from(ModelState::Failed as i32))
        .bind(failure)
        .bind(now_us)
        .bind(i64::from(ModelState::Training as i32))
        .execute(&self.pools.write)
        .await?;
        Ok(())
    }

    async fn promote_model(
        &self,
        version: &str,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(model) = replayed_model(&mut tx, attempt).await? {
            return Ok(model);
        }
        lock_stripes(&mut tx, &[MODELS]).await?;
        let model = known_model(&mut tx, version).await?;
        match model.state {
            ModelState::InForce => return Ok(model),
            ModelState::Ready => {
                let force: Option<(String,)> = sqlx::query_as("SELECT version FROM model WHERE state = 3")
                    .fetch_optional(&mut *tx)
                    .await?;
                if force.is_none_or(|(force,)| force != model.compared_with) {
                    return Err(Error::ModelOutdated);
                }
            }
            ModelState::Retired => {}
            _ => return Err(Error::ModelNotReady),
        }
        put_in_force(&mut tx, version, by.now_us).await?;
        note_decider(&mut tx, model.row, by).await?;
        let model = known_model(&mut tx, version).await?;
        keep_response(&mut tx, attempt, version.as_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(model)
    }

    async fn discard_model(
        &self,
        version: &str,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<StoredModel, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(model) = replayed_model(&mut tx, attempt).await? {
            return Ok(model);
        }
        lock_stripes(&mut tx, &[MODELS]).await?;
        let model = known_model(&mut tx, version).await?;
        match model.state {
            ModelState::Discarded => return Ok(model),
            ModelState::Training | ModelState::Ready => {}
            _ => return Err(Error::ModelNotReady),
        }
        set_state(&mut tx, model.row, ModelState::Discarded, by.now_us).await?;
        note_decider(&mut tx, model.row, by).await?;
        let model = known_model(&mut tx, version).await?;
        keep_response(&mut tx, attempt, version.as_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(model)
    }

    async fn model_changes(
        &self,
        version: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, RecordRef, ModelChange)>, Error> {
        type Row = (i64, String, String, String, String, String, String, Option<String>, f64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT c.change_row, r.member_id, r.local_id, c.record_id, c.person_id, c.before_code, c.after_code,
                c.candidate_id, c.probability
             FROM model_change c JOIN source_record r ON r.record_id = c.record_id
             WHERE c.model_row = (SELECT model_row FROM model WHERE version = $1) AND c.change_row > $2
             ORDER BY c.change_row LIMIT $3",
        )
        .bind(version)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pools.read)
        .await?;
        let change = |row: Row| {
            let (at, member_id, local_id, record, person, before, after, candidate, probability) = row;
            let change = ModelChange {
                record: parse(&record, "record")?,
                person: parse(&person, "person")?,
                before,
                after,
                candidate: candidate.map(|id| parse(&id, "person")).transpose()?,
                probability,
            };
            Ok((at, reference(&member_id, &local_id)?, change))
        };
        rows.into_iter().map(change).collect()
    }

    async fn model_change_counts(&self, version: &str) -> Result<Vec<(String, String, i64)>, Error> {
        Ok(sqlx::query_as(
            "SELECT before_code, after_code, COUNT(*) FROM model_change
             WHERE model_row = (SELECT model_row FROM model WHERE version = $1)
             GROUP BY before_code, after_code ORDER BY COUNT(*) DESC, before_code, after_code",
        )
        .bind(version)
        .fetch_all(&self.pools.read)
        .await?)
    }

    async fn pending_changes(&self, version: &str, limit: i64) -> Result<Vec<(i64, StoredRecord)>, Error> {
        type Row = (i64, i64, String, String, String, Vec<u8>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT c.change_row, r.record_row, r.record_id, r.member_id, r.local_id, r.demographics, r.updated_at
             FROM model_change c JOIN source_record r ON r.record_id = c.record_id
             WHERE c.model_row = (SELECT model_row FROM model WHERE version = $1) AND c.carried_out = 0
             ORDER BY c.change_row LIMIT $2",
        )
        .bind(version)
        .bind(limit)
        .fetch_all(&self.pools.read)
        .await?;
        let rows: Vec<(i64, RecordRow)> =
            rows.into_iter().map(|(change, a, b, c, d, e, f)| (change, (a, b, c, d, e, f))).collect();
        with_new_keys!(self, async {
            rows.iter().map(|(change, row)| Ok((*change, stored_record(&self.keys, row)?))).collect()
        })
    }

    async fn carry_out(
        &self,
        batch: &[Incoming],
        changes: &[i64],
        decide: &dyn Decide,
        by: &Decider<'_>,
    ) -> Result<(), Error> {
        self.refresh_keys(by.now_us).await?;
        let carried_out = async || {
            let mut tx = self.pools.write.begin_with(BEGIN).await?;
            if !batch.is_empty() {
                lock_batch(&mut tx, batch).await?;
                register_part(&mut tx, &self.keys, batch, decide, by, Coming::Again).await?;
            }
            for change in changes {
                sqlx::query("UPDATE model_change SET carried_out = 1 WHERE change_row = $1")
                    .bind(change)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            Ok(())
        };
        untangled!(with_new_keys!(self, carried_out()))
    }

    async fn words(&self) -> Result<Vec<model::Word>, Error> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT t.record_id, COALESCE(p.merged_into, p.person_id), t.state FROM review_task t
             JOIN person p ON p.person_id = t.candidate_id WHERE t.state IN (2, 3)",
        )
        .fetch_all(&self.pools.read)
        .await?;
        let word = |(record, person, state): (String, String, i64)| {
            let (record, person) = (parse(&record, "record")?, parse(&person, "person")?);
            let linked = state == i64::from(ReviewState::Linked as i32);
            Ok(model::Word { record, person, linked })
        };
        rows.into_iter().map(word).collect()
    }
}

/// What is locked by who changes which model decides; no blocking key, but what stands for one.
const MODELS: i64 = 0;

fn seal_model(keys: &KeyRing, version: &str, body: &str) -> Vec<u8> {
    let (kind, place) = Sealed::Models.place(0, version.to_owned());
    keys.seal(kind, &place, body.as_bytes())
}

fn open_model(keys: &KeyRing, version: &str, sealed: &[u8]) -> Result<Vec<u8>, db::Error> {
    let (kind, place) = Sealed::Models.place(0, version.to_owned());
    Ok(keys.open(kind, &place, sealed)?)
}
