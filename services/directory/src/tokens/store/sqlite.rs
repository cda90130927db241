//! Tokens on SQLite.

use signpost_common::db::sqlite::{Db, Pools};

include!("sql.rs");

/// Inserts those that are not there, in one statement; returns them.
async fn insert(c: &mut sqlx::SqliteConnection, tokens: &[Used]) -> Result<Vec<(Vec<u8>,)>, sqlx::Error> {
    let mut query = sqlx::QueryBuilder::<Db>::new("INSERT INTO used_token (token, forget_at) ");
    query.push_values(tokens, |mut row, used| {
        row.push_bind(&used.token[..]).push_bind(used.forget_us);
    });
    query.push(" ON CONFLICT DO NOTHING RETURNING token");
    // A statement of each length is not worth keeping.
    query.build_query_as().persistent(tokens.len() == 1).fetch_all(c).await
}
