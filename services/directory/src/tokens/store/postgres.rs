//! Tokens on PostgreSQL.

use signpost_common::db::postgres::{Db, Pools};

include!("sql.rs");

/// Inserts those that are not there, in one statement; returns them.
async fn insert(c: &mut sqlx::PgConnection, tokens: &[Used]) -> Result<Vec<(Vec<u8>,)>, sqlx::Error> {
    // In one order everywhere: two replicas that insert the same tokens must not wait for each other.
    let mut sorted: Vec<&Used> = tokens.iter().collect();
    sorted.sort_unstable_by_key(|used| used.token);
    let hashes: Vec<&[u8]> = sorted.iter().map(|used| &used.token[..]).collect();
    let forget: Vec<i64> = sorted.iter().map(|used| used.forget_us).collect();
    sqlx::query_as(
        "INSERT INTO used_token (token, forget_at) SELECT * FROM UNNEST($1::BYTEA[], $2::BIGINT[])
         ON CONFLICT DO NOTHING RETURNING token",
    )
    .bind(hashes)
    .bind(forget)
    .fetch_all(c)
    .await
}
