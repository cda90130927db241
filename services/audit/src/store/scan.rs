// Reading all of the log; included by `sqlite` and by `postgres`. What is read a million times is put together by the database:
// a row by itself costs more than what is in it.

use super::{Counts, Pair, Scan};
use crate::domain::verify::part::Row;

/// What columns say of an event, as `domain::verify::part::said` has it of its leaf.
const SAID: &str = "event_id || ' ' || kind || ' ' || outcome || ' ' || COALESCE(member_id, '') || ' ' || occurred_at || ' ' || request_id";

fn position(number: u64) -> i64 {
    stored(number)
}

/// Reads pairs that [`PAIRS`] put together.
fn pairs(text: &str) -> Result<Vec<Pair>, Error> {
    let pair = |text: &str| {
        let (token, sequence) = text.split_once(' ')?;
        Some((token.parse().ok()?, sequence.parse().ok()?))
    };
    let pairs = text.split(',').filter(|text| !text.is_empty()).map(pair);
    Ok(pairs.collect::<Option<Vec<_>>>().ok_or(db::Error::Corrupt("subject"))?)
}

#[async_trait]
impl Scan for SqlStore {
    async fn counts(&self) -> Result<Counts, Error> {
        let (head, there, signed): (i64, i64, i64) = sqlx::query_as(
            "SELECT h.size, (SELECT COALESCE(MAX(sequence) + 1, 0) FROM event),
                (SELECT size FROM checkpoint_head WHERE id = 1)
             FROM log_head h WHERE h.id = 1",
        )
        .fetch_one(&self.pools.read)
        .await?;
        Ok(Counts { head: read(head)?, there: read(there)?, signed: read(signed)? })
    }

    async fn rows(&self, from: u64, to: u64) -> Result<Vec<Row>, Error> {
        let mut sql = QueryBuilder::<Db>::new("SELECT sequence, ");
        sql.push(SAID).push(" AS said, leaf FROM event WHERE sequence >= ").push_bind(position(from));
        sql.push(" AND sequence < ").push_bind(position(to)).push(" ORDER BY sequence");
        let rows: Vec<(i64, String, Vec<u8>)> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        let row = |(sequence, said, leaf)| Ok(Row { sequence: read(sequence)?, said: Some(said), leaf });
        rows.into_iter().map(row).collect()
    }

    async fn stored(&self, level: u32, from: u64, to: u64) -> Result<Vec<Option<Hash>>, Error> {
        let count = usize::try_from(to - from).map_err(|_| db::Error::Corrupt("range"))?;
        let mut sql = QueryBuilder::<Db>::new("SELECT COALESCE(");
        sql.push(HASHES).push(", '') FROM node WHERE level = ").push_bind(i64::from(level));
        sql.push(" AND position >= ")
            .push_bind(position(from))
            .push(" AND position < ")
            .push_bind(position(to));
        let (text,): (String,) = sql.build_query_as().fetch_one(&self.pools.read).await?;
        if text.len() == 64 * count
            && let Ok(bytes) = hex::decode(&text)
        {
            return Ok(bytes.as_chunks().0.iter().map(|hash| Some(*hash)).collect());
        }
        // Some are missing, or are no hashes.
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT position, hash FROM node WHERE level = $1 AND position >= $2 AND position < $3",
        )
        .bind(i64::from(level))
        .bind(position(from))
        .bind(position(to))
        .fetch_all(&self.pools.read)
        .await?;
        let mut hashes = vec![None; count];
        for (at, hash) in rows {
            let place = usize::try_from(at - position(from)).ok().and_then(|at| hashes.get_mut(at));
            if let (Some(place), Ok(hash)) = (place, hash.try_into()) {
                *place = Some(hash);
            }
        }
        Ok(hashes)
    }

    async fn position_of(&self, hash: &Hash) -> Result<Option<u64>, Error> {
        let found: Option<(i64,)> = sqlx::query_as(
            "SELECT position FROM node WHERE level = 0 AND hash = $1 ORDER BY position LIMIT 1",
        )
        .bind(&hash[..])
        .fetch_optional(&self.pools.read)
        .await?;
        Ok(found.map(|(at,)| read(at)).transpose()?)
    }

    async fn subjects(&self, from: Pair, to: i64, limit: i64) -> Result<Vec<Pair>, Error> {
        let mut sql = QueryBuilder::<Db>::new("SELECT COALESCE(");
        sql.push(PAIRS)
            .push(", '') FROM (SELECT token, sequence FROM event_subject WHERE (token, sequence) >= (");
        sql.push_bind(from.0).push(", ").push_bind(position(from.1)).push(") AND token <= ").push_bind(to);
        sql.push(" ORDER BY token, sequence LIMIT ").push_bind(limit).push(") AS page");
        let (text,): (String,) = sql.build_query_as().fetch_one(&self.pools.read).await?;
        let mut pairs = pairs(&text)?;
        pairs.sort_unstable();
        Ok(pairs)
    }

    async fn subjects_of(&self, from: u64, to: u64) -> Result<Vec<Pair>, Error> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT token, sequence FROM event_subject WHERE sequence >= $1 AND sequence < $2",
        )
        .bind(position(from))
        .bind(position(to))
        .fetch_all(&self.pools.read)
        .await?;
        rows.into_iter().map(|(token, sequence)| Ok((token, read(sequence)?))).collect()
    }
}
