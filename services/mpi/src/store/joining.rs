// Persons of one record that a newcomer shows to be parts of another; included by `sqlite` and by `postgres` after `register.rs`.

use crate::domain::join::{Join, Whole};

/// Most records of the persons that a newcomer bridges.
const JOINED_MAX: i64 = 64;

/// Records that move with a newcomer, each with its row, its id, the person that it leaves, and its weight with the newcomer.
struct Joining {
    into: PersonId,
    bits: f64,
    moved: Vec<(i64, String, PersonId, f64)>,
    /// How many records the person that remains has had.
    records: i64,
}

/// Returns persons with all their records, and the keys of these; nothing when they are too many.
async fn wholes(
    c: &mut Connection,
    ring: &KeyRing,
    persons: &[PersonId],
) -> Result<Option<(Vec<Whole>, Vec<i64>)>, Error> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT r.record_row, r.person_id, c.prepared, r.keys FROM source_record r
         JOIN comparison c ON c.record_row = r.record_row WHERE r.person_id IN (",
    );
    push_persons(&mut query, persons);
    query.push(") ORDER BY r.record_row LIMIT ").push_bind(JOINED_MAX + 1);
    let rows: Vec<(i64, String, Vec<u8>, Vec<u8>)> =
        query.build_query_as().persistent(false).fetch_all(c).await?;
    if rows.len() as i64 > JOINED_MAX {
        return Ok(None);
    }
    let (mut wholes, mut keys): (Vec<Whole>, Vec<i64>) = Default::default();
    for (row, person, prepared, own) in rows {
        let (person, record) = (parse(&person, "person")?, open_comparison(ring, row, &prepared)?);
        keys.extend(unpack_keys(&own)?);
        match wholes.iter_mut().find(|whole| whole.person == person) {
            Some(whole) => whole.records.push((row, record)),
            None => wholes.push(Whole { person, records: vec![(row, record)] }),
        }
    }
    Ok(Some((wholes, keys)))
}

fn push_persons(query: &mut QueryBuilder<Db>, persons: &[PersonId]) {
    let mut ids = query.separated(", ");
    persons.iter().for_each(|person| {
        ids.push_bind(person.to_string());
    });
}

/// True when a steward has said something of a record of some persons, put off to say it, or is asked about a conflict: then
/// what follows is a steward's to say.
async fn spoken_of(c: &mut Connection, persons: &[PersonId]) -> Result<bool, Error> {
    let mut query = QueryBuilder::<Db>::new(
        "SELECT t.task_id FROM source_record r JOIN review_task t ON t.record_id = r.record_id
         WHERE (t.state <> 1 OR t.reason NOT IN ('UNCERTAIN', 'TWO_PERSONS')) AND r.person_id IN (",
    );
    push_persons(&mut query, persons);
    query.push(") UNION ALL SELECT task_id FROM review_task WHERE state = 3 AND candidate_id IN (");
    push_persons(&mut query, persons);
    query.push(") LIMIT 1");
    let row: Option<(String,)> = query.build_query_as().persistent(false).fetch_optional(c).await?;
    Ok(row.is_some())
}

/// Finds out whether a newcomer shows records that are alone to be another person's, and locks all that it looked at.
async fn joining(
    c: &mut Connection,
    ring: &KeyRing,
    incoming: &Incoming,
    (bridges, rivals): (&[PersonId], &[Known]),
    decide: &dyn Decide,
) -> Result<Option<Joining>, Error> {
    let Some(before) = wholes(c, ring, bridges).await? else { return Ok(None) };
    let Some(Join { into, lone, bits }) = decide.join(incoming, &before.0, rivals) else { return Ok(None) };
    lock_stripes(c, &before.1).await?;
    // Somebody may have been faster.
    if wholes(c, ring, bridges).await?.as_ref() != Some(&before) || spoken_of(c, bridges).await? {
        return Ok(None);
    }
    let remains = before.0.iter().find(|whole| whole.person == into);
    let records = remains.map_or(0, |whole| whole.records.len() as i64);
    let mut moved = vec![];
    for (person, weight) in lone {
        let rows = before.0.iter().filter(|whole| whole.person == person).flat_map(|whole| &whole.records);
        for (row, _) in rows {
            let (id,): (String,) =
                sqlx::query_as("SELECT record_id FROM source_record WHERE record_row = $1")
                    .bind(row)
                    .fetch_one(&mut *c)
                    .await?;
            moved.push((*row, id, person, weight));
        }
    }
    Ok(Some(Joining { into, bits, moved, records }))
}

/// Moves the records that join with a newcomer, after it is there.
async fn carry_joining(
    c: &mut Connection,
    known: &mut Knowledge,
    joining: Joining,
    by: &Decider<'_>,
) -> Result<(), Error> {
    let Joining { into, moved, mut records, .. } = joining;
    let to = into.to_string();
    // The newcomer is one of them by now.
    records += 1;
    for (row, id, from, bits) in moved {
        let before = from.to_string();
        move_record(c, row, &before, &to).await?;
        let (kind, from_text) = (LinkEventKind::Link, Some(&*before));
        let event = NewEvent { record: &id, from: from_text, to: &to, kind, bits, word: None, undoes: None };
        insert_event(c, event, by).await?;
        records += 1;
        known.moved(from, into);
    }
    known.records_of_person.insert(into, records);
    Ok(())
}
