//! Tokens that were used, so that each counts once: on every replica, and after a restart.
//!
//! They are kept apart from members, in a database whose commits wait for nothing: every call writes one. They outlive the
//! process. A power cut of the database's machine may take those of the last second, which live a few minutes more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use signpost_common::{clock::SharedClock, db, lifecycle::Lifecycle};
use sqlx::migrate::Migrator;

/// Where they are kept.
pub mod store {
    pub mod postgres;
    pub mod sqlite;
}

static SQLITE: Migrator = sqlx::migrate!("../../migrations/tokens/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/tokens/postgres");

/// Most connections to PostgreSQL that note tokens.
const CONNECTIONS_MAX: u32 = 4;

/// How often those are forgotten that have ended.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Most tokens that are forgotten in one transaction: calls wait for it on SQLite.
const SWEEP_MAX: i64 = 1000;

/// Opens the database beside that of the directory.
pub async fn open(directory: &db::Location) -> Result<Arc<dyn Tokens>, db::Error> {
    let location = directory.beside("tokens", CONNECTIONS_MAX);
    let opened = db::open_as(&location, db::Durability::ProcessEnd, &SQLITE, &POSTGRES).await?;
    Ok(match opened {
        db::Database::Sqlite(pools) => Arc::new(store::sqlite::SqlTokens::new(pools)),
        db::Database::Postgres(pools) => Arc::new(store::postgres::SqlTokens::new(pools)),
    })
}

/// A token that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Hash of its member and its id.
    pub token: [u8; 32],
    /// From when on nobody accepts it anyway, microseconds since 1970.
    pub forget_us: i64,
}

/// Keeps tokens that were used.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Notes tokens, and returns for each whether it is the first time.
    async fn note(&self, tokens: &[Used]) -> Result<Vec<bool>, db::Error>;

    /// Forgets some of the tokens that have ended; returns how many.
    async fn forget(&self, now_us: i64, most: i64) -> Result<u64, db::Error>;

    /// Has what was noted take its place in the file, while more is noted.
    async fn settle(&self) -> Result<(), db::Error>;
}

/// Says for each token whether it is among those that were inserted, and the first of its kind in the batch.
fn first_of_each(tokens: &[Used], inserted: Vec<(Vec<u8>,)>) -> Vec<bool> {
    let mut inserted: std::collections::HashSet<Vec<u8>> =
        inserted.into_iter().map(|(token,)| token).collect();
    tokens.iter().map(|used| inserted.remove(&used.token[..])).collect()
}

/// Forgets tokens that have ended until the soft stop.
pub(crate) fn sweep(tokens: Arc<dyn Tokens>, clock: SharedClock, lifecycle: &Lifecycle) {
    let stopping = lifecycle.stopping();
    let sweeping = async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = tokens.settle().await {
                tracing::warn!(%error, "tokens could not be carried over into their file");
            }
            loop {
                match tokens.forget(clock.now().as_microsecond(), SWEEP_MAX).await {
                    Ok(forgotten) if forgotten < SWEEP_MAX.unsigned_abs() => break,
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => {
                        tracing::warn!(%error, "tokens that have ended could not be forgotten");
                        break;
                    }
                }
            }
        }
    };
    lifecycle.spawn(async move {
        tokio::select! {
            () = stopping => {}
            () = sweeping => {}
        }
    });
}
