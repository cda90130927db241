// Registration, in few statements however many records; included by `sqlite` and by `postgres` after `sql.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};

use signpost_proto::mpi::v1::LinkOutcome;

use crate::domain::{Change, Snapshot, Stored, Target};

/// How many keys two alike records share, at most times.
const KEYS_SHARED: usize = 8;

/// Splits a batch so that no record comes twice in one part: the second is an update of the first.
fn without_repeats(batch: &[Incoming]) -> Vec<&[Incoming]> {
    let mut parts = vec![];
    let (mut seen, mut start) = (HashSet::new(), 0);
    for (i, incoming) in batch.iter().enumerate() {
        if !seen.insert(&incoming.reference) {
            parts.push(&batch[start..i]);
            seen = HashSet::from([&incoming.reference]);
            start = i;
        }
    }
    parts.push(&batch[start..]);
    parts
}

/// Locks all keys that writers of alike records lock: those of the records as they come, and as they are stored.
///
/// What is stored may change before the lock is there; then what it changed to is locked as well.
async fn lock_batch(c: &mut Connection, batch: &[Incoming]) -> Result<(), Error> {
    let mut keys: Vec<i64> =
        batch.iter().flat_map(|record| record.keys.iter().copied().chain([record.identity])).collect();
    if ONE_WRITER {
        return Ok(());
    }
    let mut stored = keys_of_stored(c, batch).await?;
    loop {
        keys.extend_from_slice(&stored);
        lock_stripes(c, &keys).await?;
        let now = keys_of_stored(c, batch).await?;
        if now == stored {
            return Ok(());
        }
        stored = now;
    }
}

async fn keys_of_stored(c: &mut Connection, batch: &[Incoming]) -> Result<Vec<i64>, Error> {
    let mut query =
        QueryBuilder::<Db>::new("SELECT keys FROM source_record WHERE (member_id, local_id) IN (");
    push_references(&mut query, batch);
    query.push(") ORDER BY record_row");
    let rows: Vec<(Vec<u8>,)> = query.build_query_as().persistent(false).fetch_all(c).await?;
    let mut keys = vec![];
    for (bytes,) in rows {
        keys.extend(unpack_keys(&bytes)?);
    }
    Ok(keys)
}

fn push_references(query: &mut QueryBuilder<Db>, batch: &[Incoming]) {
    query.push_values(batch, |mut values, incoming| {
        values.push_bind(incoming.reference.member_id.as_str().to_owned());
        values.push_bind(incoming.reference.local_id().to_owned());
    });
}

/// A response to replay: a line for each record.
fn pack_registered(registered: &[Registered]) -> Vec<u8> {
    let line = |r: &Registered| format!("{} {} {}\n", r.record, r.person, r.outcome as i32);
    registered.iter().map(line).collect::<String>().into_bytes()
}

fn unpack_registered(response: &[u8]) -> Result<Vec<Registered>, db::Error> {
    let corrupt = || db::Error::Corrupt("response");
    let registered = |line: &str| {
        let [record, person, outcome] =
            line.split(' ').collect::<Vec<_>>().try_into().map_err(|_| corrupt())?;
        let outcome: i64 = outcome.parse().map_err(|_| corrupt())?;
        let (record, person) = (parse(record, "record")?, parse(person, "person")?);
        Ok(Registered { record, person, outcome: number(outcome, "link outcome")? })
    };
    std::str::from_utf8(response).map_err(|_| corrupt())?.lines().map(registered).collect()
}

/// Why records are decided on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coming {
    /// Their members send them: what is stored and says the same is left alone.
    Sent,
    /// A model is in force that decides otherwise: what says something else by now, or was linked by a steward, is left alone.
    Again,
}

/// A stored record of the batch.
struct Place {
    row: i64,
    id: String,
    person: PersonId,
    unchanged: bool,
}

/// What the index knows that matters to a batch; decisions of the batch are added as they are made.
#[derive(Default)]
struct Knowledge {
    places: HashMap<RecordRef, Place>,
    /// Records to compare with, stored or decided earlier in the batch.
    slots: Vec<Known>,
    slot_of_row: HashMap<i64, usize>,
    slots_of_key: HashMap<i64, Vec<usize>>,
    truncated: bool,
    kept_apart: HashMap<String, Vec<PersonId>>,
    records_of_person: HashMap<PersonId, i64>,
}

impl Knowledge {
    /// Reads it in five statements.
    async fn load(
        c: &mut Connection,
        ring: &KeyRing,
        batch: &[Incoming],
        coming: Coming,
    ) -> Result<Self, Error> {
        let mut known = Self::default();
        known.load_places(c, ring, batch, coming).await?;
        if coming == Coming::Again {
            known.leave_linked(c).await?;
        }
        known.load_slots(c, ring, batch).await?;
        known.load_decisions(c).await?;
        Ok(known)
    }

    async fn load_places(
        &mut self,
        c: &mut Connection,
        ring: &KeyRing,
        batch: &[Incoming],
        coming: Coming,
    ) -> Result<(), Error> {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT record_row, record_id, member_id, local_id, person_id, demographics FROM source_record
             WHERE (member_id, local_id) IN (",
        );
        push_references(&mut query, batch);
        query.push(")");
        let rows: Vec<(i64, String, String, String, String, Vec<u8>)> =
            query.build_query_as().persistent(false).fetch_all(c).await?;
        let sent: HashMap<&RecordRef, &Incoming> = batch.iter().map(|i| (&i.reference, i)).collect();
        for (row, id, member_id, local_id, person, demographics) in rows {
            let reference = reference(&member_id, &local_id)?;
            let demographics = open_record(ring, &id, &demographics)?;
            let same = sent.get(&reference).is_some_and(|incoming| incoming.demographics == demographics);
            let unchanged = same == (coming == Coming::Sent);
            let person = parse(&person, "person")?;
            self.places.insert(reference, Place { row, id, person, unchanged });
        }
        Ok(())
    }

    /// Leaves records where they are that a steward linked with their person.
    async fn leave_linked(&mut self, c: &mut Connection) -> Result<(), Error> {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT r.member_id, r.local_id FROM review_task t
             JOIN source_record r ON r.record_id = t.record_id JOIN person p ON p.person_id = t.candidate_id
             WHERE r.person_id = COALESCE(p.merged_into, p.person_id) AND t.state = ",
        );
        query.push_bind(i64::from(ReviewState::Linked as i32)).push(" AND t.record_id IN (");
        let mut ids = query.separated(", ");
        self.places.values().for_each(|place| {
            ids.push_bind(place.id.clone());
        });
        query.push(")");
        let rows: Vec<(String, String)> = query.build_query_as().persistent(false).fetch_all(c).await?;
        for (member_id, local_id) in rows {
            if let Some(place) = self.places.get_mut(&reference(&member_id, &local_id)?) {
                place.unchanged = true;
            }
        }
        Ok(())
    }

    async fn load_slots(
        &mut self,
        c: &mut Connection,
        ring: &KeyRing,
        batch: &[Incoming],
    ) -> Result<(), Error> {
        let keys: HashSet<i64> = batch.iter().flat_map(|incoming| incoming.keys.iter().copied()).collect();
        let keys: Vec<i64> = keys.into_iter().collect();
        // Records share several keys; a bound on all pairs keeps a batch in memory whatever its blocks are like.
        let limit = batch.len().saturating_mul(CANDIDATES_MAX + 2).saturating_mul(KEYS_SHARED);
        let rows: Vec<(i64, i64)> =
            sqlx::query_as(ROWS_OF_KEYS).bind(key_list(&keys)).bind(limit as i64).fetch_all(&mut *c).await?;
        self.truncated = rows.len() >= limit;
        let changed = self.places.values().filter(|place| !place.unchanged).map(|place| place.row);
        let distinct: HashSet<i64> = rows.iter().map(|(_, row)| *row).chain(changed).collect();
        let distinct: Vec<i64> = distinct.into_iter().collect();
        let comparisons: Vec<(i64, String, Vec<u8>)> =
            sqlx::query_as(COMPARISONS).bind(key_list(&distinct)).fetch_all(c).await?;
        for (row, person, prepared) in comparisons {
            self.slot_of_row.insert(row, self.slots.len());
            let record = open_comparison(ring, row, &prepared)?;
            self.slots.push(Known { person: parse(&person, "person")?, record });
        }
        for (key, row) in rows {
            if let Some(slot) = self.slot_of_row.get(&row) {
                self.slots_of_key.entry(key).or_default().push(*slot);
            }
        }
        Ok(())
    }

    /// Reads what a change of a stored record must respect: stewards' decisions, and how many records a person has.
    async fn load_decisions(&mut self, c: &mut Connection) -> Result<(), Error> {
        let changed: Vec<&Place> = self.places.values().filter(|place| !place.unchanged).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut query = QueryBuilder::<Db>::new(
            "SELECT t.record_id, COALESCE(p.merged_into, p.person_id) FROM review_task t
             JOIN person p ON p.person_id = t.candidate_id JOIN source_record r ON r.record_id = t.record_id
             WHERE r.person_id <> COALESCE(p.merged_into, p.person_id) AND t.state = ",
        );
        query.push_bind(i64::from(ReviewState::KeptApart as i32)).push(" AND t.record_id IN (");
        let mut ids = query.separated(", ");
        changed.iter().for_each(|place| {
            ids.push_bind(place.id.clone());
        });
        query.push(")");
        let rows: Vec<(String, String)> = query.build_query_as().persistent(false).fetch_all(&mut *c).await?;
        for (record, person) in rows {
            self.kept_apart.entry(record).or_default().push(parse(&person, "person")?);
        }
        // Who is kept apart from a person is so from each of its records, whichever of the two comes again.
        let mut query = QueryBuilder::<Db>::new(
            "SELECT COALESCE(p.merged_into, p.person_id), r.person_id FROM review_task t
             JOIN person p ON p.person_id = t.candidate_id JOIN source_record r ON r.record_id = t.record_id
             WHERE t.state = ",
        );
        query
            .push_bind(i64::from(ReviewState::KeptApart as i32))
            .push(" AND t.candidate_id IN (SELECT person_id FROM person WHERE person_id IN (");
        let mut ids = query.separated(", ");
        changed.iter().for_each(|place| {
            ids.push_bind(place.person.to_string());
        });
        query.push(") OR merged_into IN (");
        let mut ids = query.separated(", ");
        changed.iter().for_each(|place| {
            ids.push_bind(place.person.to_string());
        });
        query.push("))");
        let rows: Vec<(String, String)> = query.build_query_as().persistent(false).fetch_all(&mut *c).await?;
        for (held_by, other) in rows {
            let (held_by, other) = (parse(&held_by, "person")?, parse::<PersonId>(&other, "person")?);
            for place in changed.iter().filter(|place| place.person == held_by && other != held_by) {
                self.kept_apart.entry(place.id.clone()).or_default().push(other);
            }
        }
        let mut query =
            QueryBuilder::<Db>::new("SELECT person_id, COUNT(*) FROM source_record WHERE person_id IN (");
        let mut ids = query.separated(", ");
        changed.iter().for_each(|place| {
            ids.push_bind(place.person.to_string());
        });
        query.push(") GROUP BY person_id");
        let rows: Vec<(String, i64)> = query.build_query_as().persistent(false).fetch_all(c).await?;
        for (person, count) in rows {
            self.records_of_person.insert(parse(&person, "person")?, count);
        }
        Ok(())
    }

    /// Returns what a decision on one record of the batch needs.
    fn snapshot(&self, incoming: &Incoming) -> Snapshot {
        let place = self.places.get(&incoming.reference);
        let own = place.and_then(|place| self.slot_of_row.get(&place.row));
        let stored = place.map(|place| Stored {
            person: place.person,
            unchanged: place.unchanged,
            alone: self.records_of_person.get(&place.person).is_none_or(|count| *count <= 1),
            before: own.map(|slot| self.slots[*slot].record.clone()),
        });
        if stored.as_ref().is_some_and(|stored| stored.unchanged) {
            return Snapshot { stored, ..Snapshot::default() };
        }
        let slots: BTreeSet<usize> =
            incoming.keys.iter().filter_map(|key| self.slots_of_key.get(key)).flatten().copied().collect();
        let others = slots.iter().filter(|slot| Some(*slot) != own);
        let overfull = self.truncated || slots.len() > CANDIDATES_MAX;
        let kept_apart = place.and_then(|place| self.kept_apart.get(&place.id)).cloned().unwrap_or_default();
        Snapshot {
            stored,
            candidates: others.take(CANDIDATES_MAX).map(|slot| self.slots[*slot].clone()).collect(),
            overfull,
            kept_apart,
        }
    }

    /// Puts the one record of a person to another, so that later records of the batch see it there.
    fn moved(&mut self, from: PersonId, into: PersonId) {
        self.slots.iter_mut().filter(|slot| slot.person == from).for_each(|slot| slot.person = into);
        self.places.values_mut().filter(|place| place.person == from).for_each(|place| place.person = into);
        self.kept_apart
            .values_mut()
            .flatten()
            .filter(|person| **person == from)
            .for_each(|person| *person = into);
    }

    /// Adds a decision, so that later records of the batch see it.
    fn learn(&mut self, incoming: &Incoming, person: PersonId) {
        *self.records_of_person.entry(person).or_insert(0) += 1;
        if let Some(place) = self.places.get_mut(&incoming.reference) {
            if let Some(count) = self.records_of_person.get_mut(&place.person) {
                *count -= 1;
            }
            place.person = person;
        }
        let slot = Known { person, record: incoming.prepared.clone() };
        let own =
            self.places.get(&incoming.reference).and_then(|place| self.slot_of_row.get(&place.row)).copied();
        let at = match own {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        for key in &incoming.keys {
            self.slots_of_key.entry(*key).or_default().push(at);
        }
    }
}

/// A new record that waits to be written with others.
struct NewRecord<'a> {
    incoming: &'a Incoming,
    id: RecordId,
    person: PersonId,
    founds: bool,
    bits: f64,
}

/// Stores records of which none comes twice, each as decided.
async fn register_part(
    c: &mut Connection,
    ring: &KeyRing,
    batch: &[Incoming],
    decide: &dyn Decide,
    by: &Decider<'_>,
    coming: Coming,
) -> Result<Vec<Registered>, Error> {
    if batch.is_empty() {
        return Ok(vec![]);
    }
    let mut known = Knowledge::load(c, ring, batch, coming).await?;
    let mut new: Vec<NewRecord<'_>> = vec![];
    let mut registered = Vec::with_capacity(batch.len());
    for incoming in batch {
        let mut change = decide.decide(incoming, known.snapshot(incoming));
        let mut joined = None;
        if !change.bridges.is_empty() {
            insert_new(c, ring, &std::mem::take(&mut new), by).await?;
            let mut rivals = known.snapshot(incoming).candidates;
            rivals.retain(|rival| !change.bridges.contains(&rival.person));
            joined = joining(c, ring, incoming, (&change.bridges, &rivals), decide).await?;
        }
        if let Some(Joining { into, bits, .. }) = &joined {
            change = Change::new(Target::Person(*into), *bits, None);
        }
        let review = change.review.clone();
        let mut done = if known.places.contains_key(&incoming.reference) {
            // It may move to a person of a new record, which must be there first.
            if !matches!(change.target, Target::Stay) {
                insert_new(c, ring, &std::mem::take(&mut new), by).await?;
            }
            update_stored(c, ring, &mut known, incoming, &change, by, coming).await?
        } else {
            let (person, founds) = match change.target {
                Target::Person(person) => (person, false),
                Target::NewPerson | Target::Stay => (PersonId::generate(), true),
            };
            let id = RecordId::generate();
            new.push(NewRecord { incoming, id, person, founds, bits: change.bits });
            known.learn(incoming, person);
            if let Some(joined) = joined {
                insert_new(c, ring, &std::mem::take(&mut new), by).await?;
                carry_joining(c, &mut known, joined, by).await?;
            }
            let outcome = if founds { LinkOutcome::NewPerson } else { LinkOutcome::Attached };
            Registered { record: id, person, outcome }
        };
        if let Some(review) = review
            && open_review(c, &done.record.to_string(), &review, by.now_us).await?
        {
            done.outcome = LinkOutcome::Review;
        }
        registered.push(done);
    }
    insert_new(c, ring, &new, by).await?;
    Ok(registered)
}

/// Brings a stored record up to date and moves it when that was decided.
async fn update_stored(
    c: &mut Connection,
    ring: &KeyRing,
    known: &mut Knowledge,
    incoming: &Incoming,
    change: &Change,
    by: &Decider<'_>,
    coming: Coming,
) -> Result<Registered, Error> {
    let Some(Place { row, id, person, unchanged }) = known.places.get(&incoming.reference) else {
        return Err(Error::RecordUnknown);
    };
    let (row, id, person, unchanged) = (*row, id.clone(), *person, *unchanged);
    let record = parse(&id, "record")?;
    if unchanged {
        return Ok(Registered { record, person, outcome: LinkOutcome::Unchanged });
    }
    let sent_us = (coming == Coming::Sent).then_some(by.now_us);
    update_record(c, ring, (row, &id), incoming, sent_us).await?;
    let (to, outcome) = match change.target {
        Target::Person(to) if to != person => {
            let (from, to_text) = (person.to_string(), to.to_string());
            move_record(c, row, &from, &to_text).await?;
            let event = NewEvent {
                record: &id,
                from: Some(&from),
                to: &to_text,
                kind: LinkEventKind::Link,
                bits: change.bits,
                word: None,
                undoes: None,
            };
            insert_event(c, event, by).await?;
            // Who was kept apart from a record that was alone is so from where it went.
            if known.records_of_person.get(&person).is_none_or(|count| *count <= 1) {
                known.moved(person, to);
            }
            (to, LinkOutcome::Attached)
        }
        _ => (person, LinkOutcome::Unchanged),
    };
    known.learn(incoming, to);
    Ok(Registered { record, person: to, outcome })
}

/// Writes new records with their persons, keys and events, in six statements.
async fn insert_new(
    c: &mut Connection,
    ring: &KeyRing,
    new: &[NewRecord<'_>],
    by: &Decider<'_>,
) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    if new.iter().any(|record| record.founds) {
        let mut query = QueryBuilder::<Db>::new("INSERT INTO person (person_id, created_at) ");
        query.push_values(new.iter().filter(|record| record.founds), |mut values, record| {
            values.push_bind(record.person.to_string()).push_bind(by.now_us);
        });
        query.build().persistent(false).execute(&mut *c).await?;
    }
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO source_record (record_id, member_id, local_id, person_id, demographics, keys, updated_at) ",
    );
    query.push_values(new, |mut values, record| {
        let id = record.id.to_string();
        let demographics = seal_record(ring, &id, &record.incoming.demographics);
        values
            .push_bind(id)
            .push_bind(record.incoming.reference.member_id.as_str().to_owned())
            .push_bind(record.incoming.reference.local_id().to_owned())
            .push_bind(record.person.to_string())
            .push_bind(demographics)
            .push_bind(pack_keys(&record.incoming.keys))
            .push_bind(by.now_us);
    });
    query.push(" RETURNING record_id, record_row");
    let rows: Vec<(String, i64)> = query.build_query_as().persistent(false).fetch_all(&mut *c).await?;
    let rows: HashMap<String, i64> = rows.into_iter().collect();
    let mut compared = vec![];
    let (mut keys, mut key_rows) = (vec![], vec![]);
    for record in new {
        let row = *rows.get(&record.id.to_string()).ok_or(db::Error::Corrupt("record"))?;
        compared.push((
            row,
            record.person.to_string(),
            seal_comparison(ring, row, &record.incoming.prepared),
        ));
        keys.extend_from_slice(&record.incoming.keys);
        key_rows.resize(keys.len(), row);
    }
    let mut query = QueryBuilder::<Db>::new("INSERT INTO comparison (record_row, person_id, prepared) ");
    query.push_values(compared, |mut values, (row, person, prepared)| {
        values.push_bind(row).push_bind(person).push_bind(prepared);
    });
    query.build().persistent(false).execute(&mut *c).await?;
    insert_keys(c, &keys, &key_rows).await?;
    insert_events(c, new, by).await
}

async fn insert_events(c: &mut Connection, new: &[NewRecord<'_>], by: &Decider<'_>) -> Result<(), Error> {
    let mut query = QueryBuilder::<Db>::new(
        "INSERT INTO link_event
           (record_id, to_person, kind, weight_bits, model_version, actor, reason, decided_at) ",
    );
    query.push_values(new, |mut values, record| {
        let kind = if record.founds { LinkEventKind::Create } else { LinkEventKind::Link };
        values
            .push_bind(record.id.to_string())
            .push_bind(record.person.to_string())
            .push_bind(i64::from(kind as i32))
            .push_bind(record.bits)
            .push_bind(by.model_version.to_owned())
            .push_bind(by.actor.to_owned())
            .push_bind(by.reason.to_owned())
            .push_bind(by.now_us);
    });
    query.build().persistent(false).execute(c).await?;
    Ok(())
}

impl SqlStore {
    /// Stores a batch in one transaction.
    async fn register_all(
        &self,
        batch: &[Incoming],
        decide: &dyn Decide,
        by: &Decider<'_>,
        attempt: Option<&Attempt>,
    ) -> Result<Vec<Registered>, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(response) = replayed(&mut tx, attempt).await? {
            return Ok(unpack_registered(&response)?);
        }
        lock_batch(&mut tx, batch).await?;
        let mut registered = Vec::with_capacity(batch.len());
        for part in without_repeats(batch) {
            registered.extend(register_part(&mut tx, &self.keys, part, decide, by, Coming::Sent).await?);
        }
        keep_response(&mut tx, attempt, &pack_registered(&registered), by.now_us).await?;
        tx.commit().await?;
        Ok(registered)
    }
}
