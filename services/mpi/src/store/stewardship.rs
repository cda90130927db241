// What stewards decide; included by `sqlite` and by `postgres` after `sql.rs`.

#[async_trait]
impl Stewards for SqlStore {
    async fn link(
        &self,
        record: RecordId,
        person: PersonId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(event) = replayed_event(&mut tx, attempt).await? {
            return Ok(event);
        }
        let (row, record_text, _) = record_by_id(&mut tx, record).await?;
        lock_decision(&mut tx, row, Some(person)).await?;
        let (to, _) = resolve_person(&mut tx, &By::Person(person)).await?.ok_or(Error::PersonUnknown)?;
        let event = relink(&mut tx, record, parse(&to, "person")?, LinkEventKind::Link, by).await?;
        settle(&mut tx, &record_text, &to, ReviewState::Linked, by).await?;
        keep_response(&mut tx, attempt, &event.sequence.to_be_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(event)
    }

    async fn unlink(
        &self,
        record: RecordId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(event) = replayed_event(&mut tx, attempt).await? {
            return Ok(event);
        }
        let (row, ..) = record_by_id(&mut tx, record).await?;
        lock_decision(&mut tx, row, None).await?;
        let (_, record_text, from) = record_by_id(&mut tx, record).await?;
        if is_alone(&mut tx, &from).await? {
            return Err(Error::AlreadyAlone);
        }
        let to = insert_person(&mut tx, by.now_us).await?;
        let event = relink(&mut tx, record, to, LinkEventKind::Unlink, by).await?;
        settle(&mut tx, &record_text, &from, ReviewState::KeptApart, by).await?;
        keep_response(&mut tx, attempt, &event.sequence.to_be_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(event)
    }

    async fn resolve_task(
        &self,
        id: TaskId,
        resolution: ReviewState,
        by: &Decider<'_>,
    ) -> Result<ReviewTask, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let mut select = QueryBuilder::<Db>::new(TASK_COLUMNS);
        select.push(" WHERE t.task_id = ").push_bind(id.to_string());
        let row: Option<TaskRow> = select.build_query_as().fetch_optional(&mut *tx).await?;
        let open = task(row.ok_or(Error::TaskUnknown)?)?;
        if open.state == resolution {
            return Ok(open);
        }
        if !matches!(open.state, ReviewState::Open | ReviewState::Deferred) {
            return Err(Error::TaskResolved);
        }
        let (row, record, _) = record_by_id(&mut tx, open.record).await?;
        lock_decision(&mut tx, row, Some(open.candidate)).await?;
        // Another steward may have been faster.
        let (now,): (i64,) = sqlx::query_as("SELECT state FROM review_task WHERE task_id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        if now != i64::from(open.state as i32) {
            return Err(Error::TaskResolved);
        }
        if resolution == ReviewState::Linked {
            let to = survivor(&mut tx, open.candidate).await?;
            relink(&mut tx, open.record, parse(&to, "person")?, LinkEventKind::Link, by).await?;
        }
        settle(&mut tx, &record, &open.candidate.to_string(), resolution, by).await?;
        tx.commit().await?;
        Ok(ReviewTask { state: resolution, ..open })
    }

    async fn linked_since(&self, left: &LinkEvent) -> Result<i64, Error> {
        let (since,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(decided_at) FROM link_event WHERE record_id = $1 AND sequence < $2")
                .bind(left.record.to_string())
                .bind(left.sequence)
                .fetch_one(&self.pools.read)
                .await?;
        Ok(since.unwrap_or(left.decided_us))
    }

    async fn merge(
        &self,
        from: PersonId,
        into: PersonId,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<LinkEvent>, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(events) = replayed_events(&mut tx, attempt).await? {
            return Ok(events);
        }
        lock_persons(&mut tx, &[from, into]).await?;
        let (from, into) = (survivor(&mut tx, from).await?, survivor(&mut tx, into).await?);
        if from == into {
            return Err(Error::OnePerson);
        }
        let mut events = vec![];
        for record in records_of(&mut tx, &from).await? {
            settle(&mut tx, &record, &into, ReviewState::Linked, by).await?;
            let (record, to) = (parse(&record, "record")?, parse(&into, "person")?);
            events.push(relink(&mut tx, record, to, LinkEventKind::Merge, by).await?);
        }
        keep_response(&mut tx, attempt, &pack_sequences(&events), by.now_us).await?;
        tx.commit().await?;
        Ok(events)
    }

    async fn split(
        &self,
        person: PersonId,
        records: &[RecordId],
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<LinkEvent>, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(events) = replayed_events(&mut tx, attempt).await? {
            return Ok(events);
        }
        lock_persons(&mut tx, &[person]).await?;
        let person = survivor(&mut tx, person).await?;
        let held = records_of(&mut tx, &person).await?;
        if records.iter().any(|record| !held.contains(&record.to_string())) {
            return Err(Error::RecordUnknown);
        }
        if records.len() == held.len() {
            return Err(Error::AlreadyAlone);
        }
        let to = insert_person(&mut tx, by.now_us).await?;
        let mut events = vec![];
        for record in records {
            settle(&mut tx, &record.to_string(), &person, ReviewState::KeptApart, by).await?;
            events.push(relink(&mut tx, *record, to, LinkEventKind::Split, by).await?);
        }
        keep_response(&mut tx, attempt, &pack_sequences(&events), by.now_us).await?;
        tx.commit().await?;
        Ok(events)
    }

    async fn undo(
        &self,
        sequence: i64,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<LinkEvent, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(event) = replayed_event(&mut tx, attempt).await? {
            return Ok(event);
        }
        let undone = find_event(&mut tx, sequence).await?;
        let before = undone.from.ok_or(Error::NothingBefore)?;
        lock_persons(&mut tx, &[before, undone.to]).await?;
        let (_, record, now) = record_by_id(&mut tx, undone.record).await?;
        if now != undone.to.to_string() {
            return Err(Error::DecidedSince);
        }
        revive(&mut tx, &before.to_string()).await?;
        let event = relink(&mut tx, undone.record, before, LinkEventKind::Undo, by).await?;
        sqlx::query("UPDATE link_event SET undoes = $2 WHERE sequence = $1")
            .bind(event.sequence)
            .bind(sequence)
            .execute(&mut *tx)
            .await?;
        match undone.kind {
            // The engine would say it again, unless somebody keeps the two apart.
            _ if undone.actor == ENGINE => settle(&mut tx, &record, &now, ReviewState::KeptApart, by).await?,
            LinkEventKind::Unlink | LinkEventKind::Split => {
                unsettle(&mut tx, &record, &before.to_string()).await?;
            }
            _ => unsettle(&mut tx, &record, &now).await?,
        }
        keep_response(&mut tx, attempt, &event.sequence.to_be_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(event)
    }

    async fn person_as_of(
        &self,
        by: &By,
        at_us: i64,
        limit: i64,
    ) -> Result<Option<(Person, Vec<StoredRecord>)>, Error> {
        let mut c = self.pools.read.acquire().await?;
        let person: Option<(String,)> =
            match by {
                By::Person(id) => Some((id.to_string(),)),
                By::Record(record) => sqlx::query_as(
                    "SELECT e.to_person FROM link_event e JOIN source_record r ON r.record_id = e.record_id
                     WHERE r.member_id = $1 AND r.local_id = $2 AND e.decided_at <= $3
                     ORDER BY e.sequence DESC LIMIT 1",
                )
                .bind(record.member_id.as_str())
                .bind(record.local_id())
                .bind(at_us)
                .fetch_optional(&mut *c)
                .await?,
            };
        let Some((person,)) = person else { return Ok(None) };
        let created: Option<(i64,)> =
            sqlx::query_as("SELECT created_at FROM person WHERE person_id = $1 AND created_at <= $2")
                .bind(&person)
                .bind(at_us)
                .fetch_optional(&mut *c)
                .await?;
        let Some((created_us,)) = created else { return Ok(None) };
        let rows: Vec<RecordRow> =
            sqlx::query_as(RECORDS_AS_OF).bind(&person).bind(at_us).bind(limit).fetch_all(&mut *c).await?;
        // It goes back before new keys are read, which takes another.
        drop(c);
        let records: Result<Vec<_>, Error> =
            with_new_keys!(self, async { rows.iter().map(|row| stored_record(&self.keys, row)).collect() });
        let records = records?;
        let record_count = records.len() as i64;
        Ok(Some((Person { id: parse(&person, "person")?, created_us, record_count }, records)))
    }

    async fn review_tasks(
        &self,
        filter: &TaskFilter,
        after: Option<(i64, String)>,
        limit: i64,
    ) -> Result<Vec<ReviewTask>, Error> {
        let (opened_us, id) = after.unwrap_or((i64::MIN, String::new()));
        let mut query = QueryBuilder::<Db>::new(TASK_COLUMNS);
        push_filter(&mut query, filter);
        query.push(" AND (t.opened_at, t.task_id) > (").push_bind(opened_us).push(", ").push_bind(id);
        query.push(") ORDER BY t.opened_at, t.task_id LIMIT ").push_bind(limit);
        let rows: Vec<TaskRow> = query.build_query_as().persistent(false).fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(task).collect::<Result<_, _>>()?)
    }

    async fn review_counts(&self, filter: &TaskFilter) -> Result<Vec<(String, i64)>, Error> {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT t.reason, COUNT(*) FROM review_task t JOIN source_record r ON r.record_id = t.record_id",
        );
        push_filter(&mut query, filter);
        query.push(" GROUP BY t.reason ORDER BY COUNT(*) DESC, t.reason");
        Ok(query.build_query_as().persistent(false).fetch_all(&self.pools.read).await?)
    }
}

/// Records whose last decision until a time says that they are a person's.
const RECORDS_AS_OF: &str =
    "SELECT r.record_row, r.record_id, r.member_id, r.local_id, r.demographics, r.updated_at
    FROM source_record r WHERE r.record_id IN (
        SELECT e.record_id FROM link_event e WHERE e.to_person = $1 AND e.decided_at <= $2 AND NOT EXISTS (
            SELECT 1 FROM link_event l
            WHERE l.record_id = e.record_id AND l.sequence > e.sequence AND l.decided_at <= $2))
    ORDER BY r.record_row LIMIT $3";

/// Columns of a review task; a filter follows.
const TASK_COLUMNS: &str =
    "SELECT t.task_id, t.record_id, t.candidate_id, t.probability, t.reason, t.state, t.opened_at,
    r.member_id, r.local_id
    FROM review_task t JOIN source_record r ON r.record_id = t.record_id";

fn push_filter(query: &mut QueryBuilder<Db>, filter: &TaskFilter) {
    let TaskFilter { state, reason, member_id, probability_min, opened_before_us } = filter;
    query.push(" WHERE t.state = ").push_bind(i64::from(*state as i32));
    query.push(" AND t.probability >= ").push_bind(*probability_min);
    if let Some(reason) = reason {
        query.push(" AND t.reason = ").push_bind(reason.clone());
    }
    if let Some(member_id) = member_id {
        query.push(" AND r.member_id = ").push_bind(member_id.as_str().to_owned());
    }
    if let Some(opened_before_us) = opened_before_us {
        query.push(" AND t.opened_at < ").push_bind(*opened_before_us);
    }
}

async fn survivor(c: &mut Connection, person: PersonId) -> Result<String, Error> {
    Ok(resolve_person(c, &By::Person(person)).await?.ok_or(Error::PersonUnknown)?.0)
}

async fn records_of(c: &mut Connection, person: &str) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT record_id FROM source_record WHERE person_id = $1 ORDER BY record_row")
            .bind(person)
            .fetch_all(c)
            .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Locks the keys of all records of some persons.
async fn lock_persons(c: &mut Connection, persons: &[PersonId]) -> Result<(), Error> {
    let mut keys = vec![];
    for person in persons {
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
            "SELECT keys FROM source_record WHERE person_id = $1
             OR person_id = (SELECT merged_into FROM person WHERE person_id = $1)",
        )
        .bind(person.to_string())
        .fetch_all(&mut *c)
        .await?;
        for (bytes,) in rows {
            keys.extend(unpack_keys(&bytes)?);
        }
    }
    Ok(lock_stripes(c, &keys).await?)
}

/// Makes a person that lost its last record to another stand for itself again, with those that were merged into it.
async fn revive(c: &mut Connection, person: &str) -> Result<(), Error> {
    let (survivor,): (Option<String>,) =
        sqlx::query_as("SELECT merged_into FROM person WHERE person_id = $1")
            .bind(person)
            .fetch_one(&mut *c)
            .await?;
    let Some(survivor) = survivor else { return Ok(()) };
    sqlx::query("UPDATE person SET merged_into = NULL WHERE person_id = $1")
        .bind(person)
        .execute(&mut *c)
        .await?;
    sqlx::query(
        "UPDATE person SET merged_into = $1 WHERE merged_into = $2
         AND person_id IN (SELECT from_person FROM link_event WHERE to_person = $1 AND from_person IS NOT NULL)",
    )
    .bind(person)
    .bind(survivor)
    .execute(c)
    .await?;
    Ok(())
}

/// Takes back a steward's word on a record and a person: a question is open again, a word by hand was never said.
async fn unsettle(c: &mut Connection, record: &str, candidate: &str) -> Result<(), Error> {
    for statement in [
        "DELETE FROM review_task WHERE record_id = $1 AND candidate_id = $2 AND reason = 'BY_HAND'",
        "UPDATE review_task SET state = 1, resolved_at = NULL, resolved_by = NULL
         WHERE record_id = $1 AND candidate_id = $2",
    ] {
        sqlx::query(statement).bind(record).bind(candidate).execute(&mut *c).await?;
    }
    Ok(())
}

fn pack_sequences(events: &[LinkEvent]) -> Vec<u8> {
    events.iter().flat_map(|event| event.sequence.to_be_bytes()).collect()
}

/// Returns the events that an earlier attempt made.
async fn replayed_events(
    c: &mut Connection,
    attempt: Option<&Attempt>,
) -> Result<Option<Vec<LinkEvent>>, Error> {
    let Some(response) = replayed(c, attempt).await? else { return Ok(None) };
    let mut events = vec![];
    for sequence in unpack_keys(&response)? {
        events.push(find_event(c, sequence).await?);
    }
    Ok(Some(events))
}
