// What stewards decide; included by `sqlite` and by `postgres` after `sql.rs`.

/// Records in the form that is compared; a condition follows.
macro_rules! compared_columns {
    () => {
        "SELECT r.record_row, r.record_id, r.updated_at, c.prepared
        FROM source_record r JOIN comparison c ON c.record_row = r.record_row"
    };
}

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
        lock_decision(&mut tx, Some(row), &[&person.to_string()]).await?;
        let to = survivor(&mut tx, person).await?;
        let word = settle(&mut tx, &record_text, &to, ReviewState::Linked, by).await?;
        let event = relink(&mut tx, record, &to, (LinkEventKind::Link, None), word, by).await?;
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
        lock_decision(&mut tx, Some(row), &[]).await?;
        let (_, record_text, from) = record_by_id(&mut tx, record).await?;
        if is_alone(&mut tx, &from).await? {
            return Err(Error::AlreadyAlone);
        }
        let to = insert_person(&mut tx, by.now_us).await?;
        let word = settle(&mut tx, &record_text, &from, ReviewState::KeptApart, by).await?;
        let event = relink(&mut tx, record, &to, (LinkEventKind::Unlink, None), word, by).await?;
        keep_response(&mut tx, attempt, &event.sequence.to_be_bytes(), by.now_us).await?;
        tx.commit().await?;
        Ok(event)
    }

    async fn resolve_task(
        &self,
        id: TaskId,
        resolution: ReviewState,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<(ReviewTask, Option<LinkEvent>), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let before = replayed_event(&mut tx, attempt).await?;
        let mut select = QueryBuilder::<Db>::new(TASK_COLUMNS);
        select.push(" WHERE t.task_id = ").push_bind(id.to_string());
        let row: Option<TaskRow> = select.build_query_as().fetch_optional(&mut *tx).await?;
        let open = task(row.ok_or(Error::TaskUnknown)?)?;
        if open.state == resolution {
            return Ok((open, before));
        }
        if !matches!(open.state, ReviewState::Open | ReviewState::Deferred) {
            return Err(Error::TaskResolved);
        }
        let candidate = open.candidate.to_string();
        let (row, record, _) = record_by_id(&mut tx, open.record).await?;
        lock_decision(&mut tx, Some(row), &[&candidate]).await?;
        // Another steward may have been faster.
        let (now,): (i64,) = sqlx::query_as("SELECT state FROM review_task WHERE task_id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        if now != i64::from(open.state as i32) {
            return Err(Error::TaskResolved);
        }
        let to = survivor(&mut tx, open.candidate).await?;
        let (_, _, stays) = record_by_id(&mut tx, open.record).await?;
        let joined = stays == to;
        if joined && resolution == ReviewState::KeptApart && is_alone(&mut tx, &stays).await? {
            return Err(Error::AlreadyAlone);
        }
        let word = settle(&mut tx, &record, &candidate, resolution, by).await?;
        let (kind, to) = match resolution {
            ReviewState::Linked => (Some(LinkEventKind::Link), to),
            ReviewState::KeptApart if joined => {
                (Some(LinkEventKind::Unlink), insert_person(&mut tx, by.now_us).await?)
            }
            ReviewState::KeptApart => (Some(LinkEventKind::KeepApart), stays),
            // It is put off, which decides nothing.
            _ => (None, stays),
        };
        let mut event = None;
        if let Some(kind) = kind {
            let decided = relink(&mut tx, open.record, &to, (kind, None), word, by).await?;
            keep_response(&mut tx, attempt, &decided.sequence.to_be_bytes(), by.now_us).await?;
            event = Some(decided);
        }
        tx.commit().await?;
        Ok((ReviewTask { state: resolution, ..open }, event))
    }

    async fn linked_since(&self, left: &LinkEvent) -> Result<i64, Error> {
        let (since,): (Option<i64>,) = sqlx::query_as(
            "SELECT MAX(decided_at) FROM link_event WHERE record_id = $1 AND sequence < $2
             AND (from_person IS NULL OR from_person <> to_person)",
        )
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
        lock_decision(&mut tx, None, &[&from.to_string(), &into.to_string()]).await?;
        let (from, into) = (survivor(&mut tx, from).await?, survivor(&mut tx, into).await?);
        if from == into {
            return Err(Error::OnePerson);
        }
        let mut events = vec![];
        for record in records_of(&mut tx, &from).await? {
            let word = settle(&mut tx, &record, &into, ReviewState::Linked, by).await?;
            let record = parse(&record, "record")?;
            events.push(relink(&mut tx, record, &into, (LinkEventKind::Merge, None), word, by).await?);
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
        lock_decision(&mut tx, None, &[&person.to_string()]).await?;
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
            let word = settle(&mut tx, &record.to_string(), &person, ReviewState::KeptApart, by).await?;
            events.push(relink(&mut tx, *record, &to, (LinkEventKind::Split, None), word, by).await?);
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
        let before = undone.from.map(|person| person.to_string());
        if before.is_none() && undone.kind == LinkEventKind::Create {
            return Err(Error::NothingBefore);
        }
        let (row, record, _) = record_by_id(&mut tx, undone.record).await?;
        lock_decision(&mut tx, Some(row), before.as_deref().as_slice()).await?;
        if !stands_last(&mut tx, &record, sequence).await? {
            return Err(Error::DecidedSince);
        }
        let (_, _, now) = record_by_id(&mut tx, undone.record).await?;
        let before = match before {
            Some(before) => before,
            None if is_alone(&mut tx, &now).await? => return Err(Error::AlreadyAlone),
            // It came to its person at once: without that it is a person of its own.
            None => insert_person(&mut tx, by.now_us).await?,
        };
        let spoken = undone.candidate.map(|person| person.to_string());
        let word = match &spoken {
            Some(candidate) => {
                let before = word_before(&mut tx, sequence).await?;
                restore(&mut tx, &record, candidate, before, by).await?
            }
            // The engine would say it again, unless somebody keeps the two apart.
            None => settle(&mut tx, &record, &now, ReviewState::KeptApart, by).await?,
        };
        let event =
            relink(&mut tx, undone.record, &before, (LinkEventKind::Undo, Some(sequence)), word, by).await?;
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
        let mut rows = records_as_of(&mut c, &person, at_us, limit).await?;
        let mut person = person;
        if rows.is_empty()
            && let Some(survivor) = survivor_as_of(&mut c, &person, at_us).await?
        {
            rows = records_as_of(&mut c, &survivor, at_us, limit).await?;
            person = survivor;
        }
        let created: Option<(i64,)> =
            sqlx::query_as("SELECT created_at FROM person WHERE person_id = $1 AND created_at <= $2")
                .bind(&person)
                .bind(at_us)
                .fetch_optional(&mut *c)
                .await?;
        // It goes back before new keys are read, which takes another.
        drop(c);
        let Some((created_us,)) = created else { return Ok(None) };
        let records: Result<Vec<_>, Error> =
            with_new_keys!(self, async { rows.iter().map(|row| stored_record(&self.keys, row)).collect() });
        let records = records?;
        let record_count = records.len() as i64;
        Ok(Some((Person { id: parse(&person, "person")?, created_us, record_count }, records)))
    }

    async fn decisions(&self, of: &Of, before: i64, limit: i64) -> Result<Vec<LinkEvent>, Error> {
        let mut query = QueryBuilder::<Db>::new(concat!(event_columns!(), " WHERE e.sequence < "));
        query.push_bind(before);
        match of {
            Of::Record(record) => query.push(" AND e.record_id = ").push_bind(record.to_string()),
            Of::Person(person) => {
                let person = person.to_string();
                query.push(" AND (e.to_person = ").push_bind(person.clone());
                query.push(" OR e.from_person = ").push_bind(person).push(")")
            }
        };
        query.push(" ORDER BY e.sequence DESC LIMIT ").push_bind(limit);
        let rows: Vec<EventRow> =
            query.build_query_as().persistent(false).fetch_all(&self.pools.read).await?;
        rows.into_iter().map(|row| Ok(link_event(row)?.1)).collect()
    }

    async fn evidence(&self, sequence: i64) -> Result<Evidence, Error> {
        let mut c = self.pools.read.acquire().await?;
        let event = find_event(&mut c, sequence).await?;
        let person = event.candidate.unwrap_or(event.to);
        let record: ComparedRow = sqlx::query_as(concat!(compared_columns!(), " WHERE r.record_id = $1"))
            .bind(event.record.to_string())
            .fetch_one(&mut *c)
            .await?;
        let others: Vec<ComparedRow> = sqlx::query_as(COMPARED_BEFORE)
            .bind(person.to_string())
            .bind(sequence)
            .bind(event.record.to_string())
            .bind(CANDIDATES_MAX as i64)
            .fetch_all(&mut *c)
            .await?;
        // It goes back before new keys are read, which takes another.
        drop(c);
        let opened: Result<_, Error> = with_new_keys!(self, async {
            let others = others.iter().map(|other| compared(&self.keys, other)).collect::<Result<_, _>>();
            Ok((compared(&self.keys, &record)?, others?))
        });
        let (record, others) = opened?;
        Ok(Evidence { event, record, others })
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

type ComparedRow = (i64, String, i64, Vec<u8>);

fn compared(ring: &KeyRing, (row, id, updated_us, prepared): &ComparedRow) -> Result<Compared, Error> {
    let prepared = open_comparison(ring, *row, prepared)?;
    Ok(Compared { id: parse(id, "record")?, updated_us: *updated_us, prepared })
}

/// Records but one whose last decision before another says that they are a person's.
const COMPARED_BEFORE: &str = concat!(
    compared_columns!(),
    " WHERE r.record_id IN (
        SELECT e.record_id FROM link_event e WHERE e.to_person = $1 AND e.sequence < $2 AND e.record_id <> $3
        AND NOT EXISTS (SELECT 1 FROM link_event l
            WHERE l.record_id = e.record_id AND l.sequence > e.sequence AND l.sequence < $2))
    ORDER BY r.record_row LIMIT $4"
);

/// Returns records that were with a person at a time.
async fn records_as_of(
    c: &mut Connection,
    person: &str,
    at_us: i64,
    limit: i64,
) -> Result<Vec<RecordRow>, Error> {
    Ok(sqlx::query_as(RECORDS_AS_OF).bind(person).bind(at_us).bind(limit).fetch_all(c).await?)
}

/// Returns whom the id of a person without records resolved to at a time: where the record was that had left it last.
async fn survivor_as_of(c: &mut Connection, person: &str, at_us: i64) -> Result<Option<String>, Error> {
    let survivor: Option<(String,)> = sqlx::query_as(
        "SELECT to_person FROM link_event WHERE decided_at <= $2 AND record_id = (
            SELECT record_id FROM link_event WHERE from_person = $1 AND to_person <> $1 AND decided_at <= $2
            ORDER BY sequence DESC LIMIT 1)
         ORDER BY sequence DESC LIMIT 1",
    )
    .bind(person)
    .bind(at_us)
    .fetch_optional(c)
    .await?;
    Ok(survivor.map(|(person,)| person))
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

/// Leaves out what another decision has settled: the record is with the candidate, unless just that is the question.
const STILL_ASKED: &str = " AND (t.reason IN ('NO_LONGER_ALIKE', 'IDENTITY_CHANGED') OR r.person_id <> (
    SELECT COALESCE(p.merged_into, p.person_id) FROM person p WHERE p.person_id = t.candidate_id))";

fn push_filter(query: &mut QueryBuilder<Db>, filter: &TaskFilter) {
    let TaskFilter { state, reason, member_id, probability_min, opened_before_us } = filter;
    query.push(" WHERE t.state = ").push_bind(i64::from(*state as i32));
    query.push(" AND t.probability >= ").push_bind(*probability_min);
    if matches!(state, ReviewState::Open | ReviewState::Deferred) {
        query.push(STILL_ASKED);
    }
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

/// True when nothing was decided on a record after a decision that was not taken back.
async fn stands_last(c: &mut Connection, record: &str, sequence: i64) -> Result<bool, Error> {
    let later: Vec<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT sequence, undoes FROM link_event WHERE record_id = $1 AND sequence > $2 ORDER BY sequence DESC",
    )
    .bind(record)
    .bind(sequence)
    .fetch_all(c)
    .await?;
    // Between a decision and what takes it back, all is taken back: whoever took it back saw to that.
    let mut until = i64::MAX;
    for (at, undoes) in later {
        match undoes {
            _ if at >= until => {}
            Some(undone) if undone > sequence => until = undone,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Returns the state in which a question stood before a decision spoke a word on it.
async fn word_before(c: &mut Connection, sequence: i64) -> Result<Option<i64>, Error> {
    let (before,): (Option<i64>,) = sqlx::query_as("SELECT word_before FROM link_event WHERE sequence = $1")
        .bind(sequence)
        .fetch_one(c)
        .await?;
    Ok(before)
}

/// Puts a word on a record and a person back to what it was; one that was never said is not there.
async fn restore<'a>(
    c: &mut Connection,
    record: &str,
    candidate: &'a str,
    state: Option<i64>,
    by: &Decider<'_>,
) -> Result<Word<'a>, Error> {
    if let Some(state) = state {
        return settle(c, record, candidate, number(state, "review state")?, by).await;
    }
    let now: Option<(i64,)> =
        sqlx::query_as("DELETE FROM review_task WHERE record_id = $1 AND candidate_id = $2 RETURNING state")
            .bind(record)
            .bind(candidate)
            .fetch_optional(c)
            .await?;
    Ok(Word { candidate, before: now.map(|(state,)| state) })
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
