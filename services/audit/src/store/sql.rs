// The one SQL text; included by `sqlite` and by `postgres`.

use std::collections::HashMap;

use async_trait::async_trait;
use signpost_common::{
    db,
    id::{EventId, MemberId},
};
use sqlx::{Database, QueryBuilder};

use super::{Error, Store};
use crate::domain::{
    self, DISCLOSING, Entry, Logged, Placement, Query,
    merkle::{self, Hash, Node, Subtree},
};

type Connection = <Db as Database>::Connection;

/// Most rows of one insert, so that its values stay below the limits of both databases.
const ROWS_MAX: usize = 4000;

/// Keeps the log in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
}

impl SqlStore {
    /// Keeps it in this one.
    pub fn new(pools: Pools) -> Self {
        Self { pools }
    }
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read<T: TryFrom<i64>>(number: i64) -> Result<T, db::Error> {
    number.try_into().map_err(|_| db::Error::Corrupt("position"))
}

fn logged(rows: Vec<(i64, Vec<u8>)>) -> Result<Vec<Logged>, Error> {
    let row = |(sequence, leaf)| Ok(Logged { sequence: read(sequence)?, leaf });
    rows.into_iter().map(row).collect()
}

/// Returns the events of the log that share an id with one of a batch.
async fn known(c: &mut Connection, batch: &[Entry]) -> Result<HashMap<EventId, Logged>, Error> {
    let mut sql = QueryBuilder::<Db>::new("SELECT event_id, sequence, leaf FROM event WHERE event_id IN (");
    let mut ids = sql.separated(", ");
    for entry in batch {
        ids.push_bind(entry.id.to_string());
    }
    let rows: Vec<(String, i64, Vec<u8>)> = sql.push(")").build_query_as().fetch_all(c).await?;
    let row = |(id, sequence, leaf): (String, i64, Vec<u8>)| {
        let id = id.parse().map_err(|_| db::Error::Corrupt("event id"))?;
        Ok((id, Logged { sequence: read(sequence)?, leaf }))
    };
    rows.into_iter().map(row).collect()
}

async fn nodes(c: &mut Connection, nodes: &[Node]) -> Result<HashMap<Node, Hash>, Error> {
    if nodes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql =
        QueryBuilder::<Db>::new("SELECT level, position, hash FROM node WHERE (level, position) IN (");
    sql.push_values(nodes, |mut row, node| {
        row.push_bind(i64::from(node.level)).push_bind(stored(node.position));
    });
    let rows: Vec<(i64, i64, Vec<u8>)> = sql.push(")").build_query_as().fetch_all(c).await?;
    let row = |(level, position, hash): (i64, i64, Vec<u8>)| {
        let hash = hash.try_into().map_err(|_| db::Error::Corrupt("hash"))?;
        Ok((Node { level: read(level)?, position: read(position)? }, hash))
    };
    rows.into_iter().map(row).collect()
}

async fn insert_events(c: &mut Connection, size: u64, new: &[&Entry]) -> Result<(), Error> {
    for (first, chunk) in (size..).step_by(ROWS_MAX).zip(new.chunks(ROWS_MAX)) {
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO event (sequence, event_id, kind, outcome, member_id, occurred_at, leaf) ",
        );
        sql.push_values((first..).zip(chunk), |mut row, (sequence, entry)| {
            row.push_bind(stored(sequence))
                .push_bind(entry.id.to_string())
                .push_bind(i64::from(entry.kind as i32))
                .push_bind(i64::from(entry.outcome as i32))
                .push_bind(entry.member_id.as_ref().map(MemberId::as_str))
                .push_bind(entry.occurred_us)
                .push_bind(&entry.leaf);
        });
        sql.build().execute(&mut *c).await?;
    }
    Ok(())
}

async fn insert_subjects(c: &mut Connection, size: u64, new: &[&Entry]) -> Result<(), Error> {
    let subjects =
        (size..).zip(new).flat_map(|(sequence, entry)| entry.subjects.iter().map(move |s| (*s, sequence)));
    for chunk in subjects.collect::<Vec<_>>().chunks(ROWS_MAX) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO event_subject (token, sequence) ");
        sql.push_values(chunk, |mut row, (subject, sequence)| {
            row.push_bind(*subject).push_bind(stored(*sequence));
        });
        sql.push(" ON CONFLICT DO NOTHING").build().execute(&mut *c).await?;
    }
    Ok(())
}

async fn insert_nodes(c: &mut Connection, size: u64, new: &[&Entry]) -> Result<(), Error> {
    let edge = nodes(c, &Subtree::whole(size).parts()).await?;
    let leaves = new.iter().map(|entry| merkle::leaf_hash(&entry.leaf));
    let made = merkle::grow(size, leaves, |node| edge.get(node).copied());
    let made = made.ok_or(db::Error::Corrupt("node of the log"))?;
    for chunk in made.chunks(ROWS_MAX) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO node (level, position, hash) ");
        sql.push_values(chunk, |mut row, (node, hash)| {
            row.push_bind(i64::from(node.level)).push_bind(stored(node.position)).push_bind(&hash[..]);
        });
        sql.build().execute(&mut *c).await?;
    }
    Ok(())
}

fn any_of(sql: &mut QueryBuilder<Db>, column: &str, values: impl IntoIterator<Item = i64>) {
    sql.push(" AND ").push(column).push(" IN (");
    let mut list = sql.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    sql.push(")");
}

#[async_trait]
impl Store for SqlStore {
    async fn append(&self, batch: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error> {
        if batch.is_empty() {
            return Ok(vec![]);
        }
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        // Locks the head, so that writers in several processes take turns.
        let (grown,): (i64,) =
            sqlx::query_as("UPDATE log_head SET size = size + $1 WHERE id = 1 RETURNING size")
                .bind(stored(batch.len() as u64))
                .fetch_one(&mut *tx)
                .await?;
        let size = read::<u64>(grown - stored(batch.len() as u64))?;
        let known = known(&mut tx, batch).await?;
        let Placement { new, results } = domain::place(size, batch, &known);
        if new.len() < batch.len() {
            sqlx::query("UPDATE log_head SET size = $1 WHERE id = 1")
                .bind(stored(size + new.len() as u64))
                .execute(&mut *tx)
                .await?;
        }
        insert_events(&mut tx, size, &new).await?;
        insert_subjects(&mut tx, size, &new).await?;
        insert_nodes(&mut tx, size, &new).await?;
        tx.commit().await?;
        Ok(results)
    }

    async fn size(&self) -> Result<u64, Error> {
        let (size,) =
            sqlx::query_as("SELECT size FROM log_head WHERE id = 1").fetch_one(&self.pools.read).await?;
        Ok(read(size)?)
    }

    async fn event(&self, sequence: u64) -> Result<Option<Logged>, Error> {
        let rows = sqlx::query_as("SELECT sequence, leaf FROM event WHERE sequence = $1")
            .bind(stored(sequence))
            .fetch_all(&self.pools.read)
            .await?;
        Ok(logged(rows)?.pop())
    }

    async fn nodes(&self, wanted: &[Node]) -> Result<HashMap<Node, Hash>, Error> {
        nodes(&mut *self.pools.read.acquire().await?, wanted).await
    }

    async fn search(&self, query: &Query, before: Option<i64>, limit: i64) -> Result<Vec<Logged>, Error> {
        let mut sql = QueryBuilder::<Db>::new("SELECT sequence, leaf FROM event WHERE sequence < ");
        sql.push_bind(before.unwrap_or(i64::MAX));
        if !query.kinds.is_empty() {
            any_of(&mut sql, "kind", query.kinds.iter().map(|kind| i64::from(*kind as i32)));
        }
        if let Some(member_id) = &query.member_id {
            sql.push(" AND member_id = ").push_bind(member_id.as_str());
        }
        if let Some(from_us) = query.from_us {
            sql.push(" AND occurred_at >= ").push_bind(from_us);
        }
        if let Some(to_us) = query.to_us {
            sql.push(" AND occurred_at < ").push_bind(to_us);
        }
        sql.push(" ORDER BY sequence DESC LIMIT ").push_bind(limit);
        logged(sql.build_query_as().fetch_all(&self.pools.read).await?)
    }

    async fn disclosures(&self, subject: i64, before: Option<i64>, limit: i64) -> Result<Vec<Logged>, Error> {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT e.sequence, e.leaf FROM event_subject s JOIN event e ON e.sequence = s.sequence
             WHERE s.token = ",
        );
        sql.push_bind(subject).push(" AND s.sequence < ").push_bind(before.unwrap_or(i64::MAX));
        any_of(&mut sql, "e.kind", DISCLOSING.map(|kind| i64::from(kind as i32)));
        sql.push(" ORDER BY s.sequence DESC LIMIT ").push_bind(limit);
        logged(sql.build_query_as().fetch_all(&self.pools.read).await?)
    }
}

#[cfg(test)]
mod tests {
    use signpost_proto::audit::v1::{EventKind, EventOutcome};

    use super::*;

    #[tokio::test]
    async fn the_database_refuses_changes() {
        let Some(store) = scratch().await else { return };
        let entry = Entry {
            id: EventId::generate(),
            kind: EventKind::Locate,
            outcome: EventOutcome::Success,
            member_id: None,
            occurred_us: 0,
            subjects: vec![1],
            leaf: vec![],
        };
        store.append(&[entry]).await.unwrap();
        for change in [
            "UPDATE event SET kind = 2",
            "DELETE FROM event",
            "UPDATE event_subject SET token = 2",
            "DELETE FROM event_subject",
            "UPDATE node SET level = 2",
            "DELETE FROM node",
        ] {
            let error = sqlx::query(change).execute(&store.pools.write).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{change}: {error}");
        }
    }
}
