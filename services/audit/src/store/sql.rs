// The one SQL text; included by `sqlite` and by `postgres`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use signpost_common::{
    db::{self, shelf::Shelf},
    id::{EventId, MemberId},
};
use sqlx::{Connection as _, Database, QueryBuilder};

use super::{Error, FlagHead, FlagQuery, Flags, Kept, Look, Raised, Store};
use crate::domain::{
    self, DISCLOSING, Entry, Logged, Placement, Query,
    merkle::{self, Hash, Node, Subtree},
    misuse::{Flag, Reason},
};

type Connection = <Db as Database>::Connection;

/// Most rows of one insert, so that its values stay below the limits of both databases.
const ROWS_MAX: usize = 4000;

/// Most events that are appended in one statement: it spares a small batch round trips, and costs a large one the time to write
/// and read JSON.
const ONE_STATEMENT_MAX: usize = 4;

/// Keeps the log in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
    writers: Shelf<Db>,
    /// Held while a connection that writes is in use: where there is one, it goes from hand to hand.
    turn: tokio::sync::Mutex<()>,
    edge: Mutex<Option<Edge>>,
}

/// The right edge of the tree as this process left it: as long as nobody else has appended, it need not be read.
#[derive(Debug)]
struct Edge {
    size: u64,
    nodes: HashMap<Node, Hash>,
}

impl SqlStore {
    /// Keeps it in this one.
    pub fn new(pools: Pools) -> Self {
        Self { writers: pools.writers(), pools, turn: tokio::sync::Mutex::default(), edge: Mutex::default() }
    }

    /// Takes the edge of the tree, where it is known.
    fn take_edge(&self) -> Option<Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_edge(&self, edge: Edge) {
        *self.edge.lock().unwrap_or_else(PoisonError::into_inner) = Some(edge);
    }

    /// Appends events of which none is in the log, as far as this process knows, in one statement. When it knew too little
    /// nothing is appended.
    async fn append_new(&self, edge: Edge, batch: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error> {
        let size = edge.size;
        let Placement { new, results } = domain::place(size, batch, &HashMap::new());
        let (made, edge) = grow(edge, &new)?;
        let events: Vec<_> = (size..).zip(&new).map(|(sequence, entry)| event_row(sequence, entry)).collect();
        let nodes: Vec<_> =
            made.iter().map(|(node, hash)| (node.level, node.position, hex::encode(hash))).collect();
        let mut c = self.writers.take().await?;
        sqlx::query(
            "INSERT INTO log_append (size_before, size_after, events, subjects, nodes) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(stored(size))
        .bind(stored(edge.size))
        .bind(json(&events)?)
        .bind(json(&subjects(size, &new))?)
        .bind(json(&nodes)?)
        .execute(&mut *c)
        .await?;
        self.writers.keep(c);
        self.keep_edge(edge);
        Ok(results)
    }

    /// Appends what is new of a batch, whatever is in the log and whoever else appends.
    async fn append_any(&self, batch: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error> {
        let mut c = self.writers.take().await?;
        let mut tx = c.begin_with(BEGIN).await?;
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
        let edge = match self.take_edge() {
            Some(edge) if edge.size == size => edge,
            _ => Edge { size, nodes: nodes(&mut tx, &Subtree::whole(size).parts()).await? },
        };
        let (made, edge) = grow(edge, &new)?;
        insert_nodes(&mut tx, &made).await?;
        tx.commit().await?;
        self.writers.keep(c);
        self.keep_edge(edge);
        Ok(results)
    }
}

fn json(rows: &[impl serde::Serialize]) -> Result<String, Error> {
    Ok(serde_json::to_string(rows).map_err(|_| db::Error::Corrupt("row"))?)
}

/// An event as [`SqlStore::append_new`] hands it over.
type EventRow<'a> = (u64, String, i32, i32, Option<&'a str>, i64, String, &'a str);

fn event_row(sequence: u64, entry: &Entry) -> EventRow<'_> {
    let Entry { id, kind, outcome, member_id, occurred_us, subjects: _, leaf, request_id } = entry;
    let (kind, outcome, leaf) = (*kind as i32, *outcome as i32, hex::encode(leaf));
    let member_id = member_id.as_ref().map(MemberId::as_str);
    (sequence, id.to_string(), kind, outcome, member_id, *occurred_us, leaf, request_id)
}

/// Returns whose records events are about, each once for an event.
fn subjects(size: u64, new: &[&Entry]) -> Vec<(i64, u64)> {
    let of = |(sequence, entry): (u64, &&Entry)| {
        let each = BTreeSet::from_iter(entry.subjects.iter().copied());
        each.into_iter().map(move |subject| (subject, sequence)).collect::<Vec<_>>()
    };
    (size..).zip(new).flat_map(of).collect()
}

/// Returns the nodes that a tree gets by new leaves, and its edge thereafter.
fn grow(edge: Edge, new: &[&Entry]) -> Result<(Vec<(Node, Hash)>, Edge), Error> {
    let Edge { size, mut nodes } = edge;
    let leaves = new.iter().map(|entry| merkle::leaf_hash(&entry.leaf));
    let made = merkle::grow(size, leaves, |node| nodes.get(node).copied());
    let made = made.ok_or(db::Error::Corrupt("node of the log"))?;
    let size = size + new.len() as u64;
    nodes.extend(made.iter().copied());
    let parts = Subtree::whole(size).parts();
    nodes.retain(|node, _| parts.contains(node));
    Ok((made, Edge { size, nodes }))
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
            "INSERT INTO event (sequence, event_id, kind, outcome, member_id, occurred_at, leaf, request_id) ",
        );
        sql.push_values((first..).zip(chunk), |mut row, (sequence, entry)| {
            row.push_bind(stored(sequence))
                .push_bind(entry.id.to_string())
                .push_bind(i64::from(entry.kind as i32))
                .push_bind(i64::from(entry.outcome as i32))
                .push_bind(entry.member_id.as_ref().map(MemberId::as_str))
                .push_bind(entry.occurred_us)
                .push_bind(&entry.leaf)
                .push_bind(&entry.request_id);
        });
        sql.build().execute(&mut *c).await?;
    }
    Ok(())
}

async fn insert_subjects(c: &mut Connection, size: u64, new: &[&Entry]) -> Result<(), Error> {
    for chunk in subjects(size, new).chunks(ROWS_MAX) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO event_subject (token, sequence) ");
        sql.push_values(chunk, |mut row, (subject, sequence)| {
            row.push_bind(*subject).push_bind(stored(*sequence));
        });
        sql.build().execute(&mut *c).await?;
    }
    Ok(())
}

async fn insert_nodes(c: &mut Connection, made: &[(Node, Hash)]) -> Result<(), Error> {
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
        let _turn = self.turn.lock().await;
        // What fails here shows its cause again below, unless another process has appended, or an event comes again.
        if batch.len() <= ONE_STATEMENT_MAX
            && let Some(edge) = self.take_edge()
            && let Ok(results) = self.append_new(edge, batch).await
        {
            return Ok(results);
        }
        self.append_any(batch).await
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
        if let Some(request_id) = &query.request_id {
            // The index has no events without one.
            sql.push(" AND request_id <> '' AND request_id = ").push_bind(request_id);
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

    async fn last_checkpoint(&self) -> Result<Option<Kept>, Error> {
        last_checkpoint(&self.pools).await
    }

    async fn checkpoints(&self, after: u64, limit: i64) -> Result<Vec<Kept>, Error> {
        checkpoints(&self.pools, after, limit).await
    }

    async fn keep_checkpoint(&self, before: u64, new: &Kept) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        let mut c = self.writers.take().await?;
        let kept = keep_checkpoint(&mut c, before, new).await?;
        self.writers.keep(c);
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use signpost_proto::audit::v1::{EventKind, EventOutcome};
    use sqlx::Row;

    use super::*;

    fn entry(leaf: &[u8]) -> Entry {
        Entry {
            id: EventId::generate(),
            kind: EventKind::Locate,
            outcome: EventOutcome::Success,
            member_id: Some("north".parse().unwrap()),
            occurred_us: 7,
            // A record that stands twice among a person's counts once.
            subjects: vec![i64::MIN, i64::MAX, i64::MIN],
            leaf: leaf.to_vec(),
            request_id: "attempt \"1\"".into(),
        }
    }

    #[tokio::test]
    async fn one_statement_appends_what_is_new_or_nothing() {
        let Some(store) = scratch().await else { return };
        store.append(&[entry(b"0")]).await.unwrap();
        let edge = || store.take_edge().unwrap();
        let batch = [entry(b"1"), entry(&[0, 255, 128])];
        let results = store.append_new(edge(), &batch).await.unwrap();
        assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(store.event(2).await.unwrap().unwrap().leaf, [0, 255, 128]);
        for subject in [i64::MIN, i64::MAX] {
            assert_eq!(store.disclosures(subject, None, 9).await.unwrap().len(), 3);
        }
        let member = Query { member_id: Some("north".parse().unwrap()), ..Query::default() };
        let request_id = Some("attempt \"1\"".into());
        let query = Query { from_us: Some(7), request_id, ..member };
        assert_eq!(store.search(&query, None, 9).await.unwrap().len(), 3);
        let other = Query { request_id: Some("attempt".into()), ..query };
        assert!(store.search(&other, None, 9).await.unwrap().is_empty());

        // An event that is there, and an edge that is not the log's any more: neither leaves anything.
        assert!(store.append_new(edge(), &[entry(b"3"), batch[0].clone()]).await.is_err());
        let stale = Edge { size: 1, nodes: store.nodes(&Subtree::whole(1).parts()).await.unwrap() };
        assert!(store.append_new(stale, &[entry(b"3")]).await.is_err());
        let ahead = Edge {
            size: 4,
            nodes: Subtree::whole(4).parts().into_iter().map(|node| (node, [0; 32])).collect(),
        };
        assert!(store.append_new(ahead, &[entry(b"3")]).await.is_err());
        assert_eq!(store.size().await.unwrap(), 3);
        assert_eq!(store.append(&[entry(b"3")]).await.unwrap().pop().unwrap().unwrap(), 3);
        assert_eq!(store.append(&[entry(b"4")]).await.unwrap().pop().unwrap().unwrap(), 4);
    }

    #[tokio::test]
    async fn the_first_of_a_period_is_found_by_index_in_whatever_order_events_occurred() {
        let Some(store) = scratch().await else { return };
        let events = [10, 60, 5, 50].map(|occurred_us| Entry { occurred_us, ..entry(b"") });
        store.append(&events).await.unwrap();
        for (from_us, first) in [(0, Some(0)), (40, Some(1)), (60, Some(1)), (61, None)] {
            assert_eq!(store.first_since(from_us).await.unwrap(), first, "{from_us}");
        }
        let [dear, explain] = EXPLAIN;
        let mut c = store.pools.read.acquire().await.unwrap();
        sqlx::query(dear).execute(&mut *c).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("{explain}{FIRST_SINCE}"));
        let plan = sqlx::query(explain).bind(9_i64).fetch_all(&mut *c).await.unwrap();
        let line = |row: &<Db as sqlx::Database>::Row| row.get::<String, _>(row.len() - 1);
        let plan: Vec<_> = plan.iter().map(line).collect();
        assert!(plan.iter().any(|line| line.contains("event_occurred")), "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("SCAN") || line.contains("_pkey")), "{plan:?}");
    }

    #[tokio::test]
    async fn the_database_refuses_changes() {
        let Some(store) = scratch().await else { return };
        store.append(&[entry(&[])]).await.unwrap();
        let kept = Kept { size: 1, note: "note".into(), signed_us: 0 };
        assert!(store.keep_checkpoint(0, &kept).await.unwrap());
        for change in [
            "UPDATE event SET kind = 2",
            "DELETE FROM event",
            "UPDATE event_subject SET token = 2",
            "DELETE FROM event_subject",
            "UPDATE node SET level = 2",
            "DELETE FROM node",
            "UPDATE checkpoint SET note = ''",
            "DELETE FROM checkpoint",
        ] {
            let error = sqlx::query(change).execute(&store.pools.write).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{change}: {error}");
        }
    }
}
