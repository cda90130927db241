//! PostgreSQL 15 or newer: one schema a service.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};

use super::{Attempt, Durability, Error, Secret, shelf::Shelf};

/// The database that SQL in an including module is for.
pub type Db = sqlx::Postgres;

/// Begins a transaction that writes: READ COMMITTED, which sees what was committed before each statement.
pub const BEGIN: &str = "BEGIN";

/// False: other writers may change rows between two statements of a transaction unless it locks.
pub const ONE_WRITER: bool = false;

/// Longest wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of one service.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For statements that only read.
    pub read: PgPool,
    /// For transactions that write: the same connections.
    pub write: PgPool,
}

impl Pools {
    /// Does nothing: the server looks after its log.
    pub async fn carry_over(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the connections that write, some of them kept at hand.
    pub fn writers(&self) -> Shelf<Db> {
        Shelf::new(self.write.clone())
    }
}

/// Connects, makes the schema when it is missing, and brings it up to date.
pub async fn open(
    url: &Secret,
    schema: &'static str,
    connections_max: u32,
    migrations: &Migrator,
) -> Result<Pools, Error> {
    open_as(url, schema, connections_max, Durability::PowerCut, migrations).await
}

/// Connects as [`open`] does; commits survive this much.
pub async fn open_as(
    url: &Secret,
    schema: &'static str,
    connections_max: u32,
    durability: Durability,
    migrations: &Migrator,
) -> Result<Pools, Error> {
    let pool = connect(url, schema, connections_max, durability).await?;
    // The schema is a constant of the calling service, not input.
    let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&pool).await;
    // Two processes that start at once may both try; the loser finds the schema there.
    if let Err(error) = made
        && error.as_database_error().is_none_or(|e| !e.is_unique_violation())
    {
        return Err(error.into());
    }
    migrations.run(&pool).await?;
    Ok(Pools { read: pool.clone(), write: pool })
}

/// Connects to read a schema as it is.
pub async fn look(url: &Secret, schema: &'static str, connections_max: u32) -> Result<Pools, Error> {
    let pool = connect(url, schema, connections_max, Durability::PowerCut).await?;
    Ok(Pools { read: pool.clone(), write: pool })
}

async fn connect(
    url: &Secret,
    schema: &'static str,
    connections_max: u32,
    durability: Durability,
) -> Result<PgPool, Error> {
    let options: PgConnectOptions = url.expose().parse()?;
    // A plan for each set of parameters costs more than it saves on point queries. Every statement is answered by an index; a
    // plan that was made while a table was empty would read it whole ever after. Nor does a statement read so much that
    // processes or machine code of its own would pay, whatever the planner thinks of a table that it has no statistics of.
    let options = options.application_name(&format!("signpost-{schema}")).options([
        ("search_path", schema),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("jit", "off"),
    ]);
    let options = match durability {
        Durability::PowerCut => options,
        Durability::ProcessEnd => options.options([("synchronous_commit", "off")]),
    };
    // A pool would try for its whole time limit; one connection says at once what is wrong.
    options.connect().await?.close().await?;
    Ok(PgPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_connections(connections_max)
        .test_before_acquire(false)
        .connect_with(options)
        .await?)
}

include!("replay.rs");
