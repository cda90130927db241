//! Connections that are kept at hand between short reads.
//!
//! A pool asks each connection that comes back whether it is well, which costs a round trip after every statement. For the
//! few statements that everybody waits for, a connection that has just answered is well enough.

use std::sync::{Mutex, PoisonError};

use sqlx::{Database, Pool, pool::PoolConnection};

/// Most connections that are kept, of those that a pool has.
const KEPT_MAX: u32 = 4;

/// Connections of a pool that have answered and wait for the next short read.
pub struct Shelf<D: Database> {
    pool: Pool<D>,
    kept: Mutex<Vec<PoolConnection<D>>>,
    most: usize,
}

impl<D: Database> std::fmt::Debug for Shelf<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shelf({})", self.most)
    }
}

impl<D: Database> Shelf<D> {
    /// Keeps at most half of a pool's connections.
    pub fn new(pool: Pool<D>) -> Self {
        let most = pool.options().get_max_connections() / 2;
        Self::keeping(pool, most)
    }

    /// Keeps so many of a pool's connections. All of them are kept only where nobody takes one but from the shelf.
    pub fn keeping(pool: Pool<D>, most: u32) -> Self {
        Self { pool, kept: Mutex::default(), most: most.min(KEPT_MAX) as usize }
    }

    /// Returns a connection.
    ///
    /// # Errors
    /// When the pool has none in time.
    pub async fn take(&self) -> Result<PoolConnection<D>, sqlx::Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(connection) => Ok(connection),
            None => self.pool.acquire().await,
        }
    }

    /// Keeps a connection that has answered in full; any other must be dropped instead, which has the pool look after it.
    pub fn keep(&self, connection: PoolConnection<D>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.most {
            kept.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    #[tokio::test]
    async fn half_of_the_connections_are_kept() {
        for (connections, kept) in [(1, 0), (2, 1), (4, 2), (100, 4)] {
            let pool =
                SqlitePoolOptions::new().max_connections(connections).connect(":memory:").await.unwrap();
            let shelf = Shelf::new(pool);
            let mut taken = vec![];
            for _ in 0..connections.min(6) {
                taken.push(shelf.take().await.unwrap());
            }
            taken.into_iter().for_each(|connection| shelf.keep(connection));
            assert_eq!(shelf.kept.lock().unwrap().len(), kept, "of {connections}");
            let again = shelf.take().await.unwrap();
            drop(again);
        }
    }
}
