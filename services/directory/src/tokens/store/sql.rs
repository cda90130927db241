// The one SQL text; included by `sqlite` and by `postgres`.

use async_trait::async_trait;
use signpost_common::db::{self, shelf::Shelf};

use crate::tokens::{Tokens, Used, first_of_each};

/// Keeps tokens in a database.
#[derive(Debug)]
pub struct SqlTokens {
    pools: Pools,
    /// Connections that note tokens, which every call has done.
    notes: Shelf<Db>,
}

impl SqlTokens {
    /// Keeps them in this one.
    pub fn new(pools: Pools) -> Self {
        Self { notes: Shelf::new(pools.write.clone()), pools }
    }
}

#[async_trait]
impl Tokens for SqlTokens {
    async fn note(&self, tokens: &[Used]) -> Result<Vec<bool>, db::Error> {
        if tokens.is_empty() {
            return Ok(vec![]);
        }
        let mut c = self.notes.take().await?;
        let inserted = insert(&mut c, tokens).await?;
        self.notes.keep(c);
        Ok(first_of_each(tokens, inserted))
    }

    async fn forget(&self, now_us: i64, most: i64) -> Result<u64, db::Error> {
        let forgotten = sqlx::query(
            "DELETE FROM used_token WHERE token IN
                 (SELECT token FROM used_token WHERE forget_at < $1 ORDER BY forget_at LIMIT $2)",
        )
        .bind(now_us)
        .bind(most)
        .execute(&self.pools.write)
        .await?;
        Ok(forgotten.rows_affected())
    }

    async fn settle(&self) -> Result<(), db::Error> {
        self.pools.carry_over().await
    }
}
