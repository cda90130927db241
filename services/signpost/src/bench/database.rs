//! The database under measurement: an empty one, which nobody else uses.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use signpost_common::db::Secret;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Kind, postgres::Cluster};

/// Bytes of the index on PostgreSQL, with its indexes. What the log of the server holds is not counted.
const POSTGRES_BYTES: &str = "SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0)::BIGINT FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mpi' AND c.relkind IN ('r', 'm')";

/// Bytes of rows of an index that was there before. What migrations note is not counted.
const POSTGRES_ROW_BYTES: &str = "SELECT COALESCE(sum(pg_relation_size(c.oid)), 0)::BIGINT FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = 'mpi' AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'";

const SQLITE_BYTES: &str = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";

/// Where the server keeps its data.
pub(super) enum Database {
    /// Files in the bench's folder; this one is the index.
    Sqlite(PathBuf),
    /// A PostgreSQL that belongs to the bench.
    Private(Cluster),
    /// A database of its own on a server that was named.
    Scratch {
        /// URL of the database that was named, from which the other is made and dropped.
        named: Secret,
        /// Name of the database that was made.
        name: String,
        /// Its URL.
        url: Secret,
    },
}

impl Database {
    /// Takes SQLite files in the bench's folder, starts a PostgreSQL, or makes a database on one that was named.
    pub(super) async fn prepare(kind: Kind, url: Option<&str>, folder: &TempDir) -> anyhow::Result<Self> {
        match (kind, url) {
            (Kind::Sqlite, _) => Ok(Self::sqlite(folder.path())),
            (Kind::Postgres, None) => Self::private().await,
            (Kind::Postgres, Some(url)) => Self::scratch(url).await,
        }
    }

    /// Takes SQLite files in the bench's folder; the server makes them.
    fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(folder.join(".signpost/data/mpi.sqlite"))
    }

    /// Starts a PostgreSQL of its own.
    async fn private() -> anyhow::Result<Self> {
        Ok(Self::Private(tokio::task::spawn_blocking(Cluster::start).await??))
    }

    /// Makes a database on a server, and says so. Refuses a server whose index is in use.
    async fn scratch(text: &str) -> anyhow::Result<Self> {
        let name = format!("signpost_bench_{}", Uuid::now_v7().simple());
        let url = with_database(text, &name)
            .context("--postgres must be of the form postgres://user:password@host:port/database")?;
        let mut connection = PgConnection::connect(text).await.context("connecting to --postgres")?;
        let used: i64 = sqlx::query_scalar(POSTGRES_ROW_BYTES).fetch_one(&mut connection).await?;
        ensure!(
            used == 0,
            "the database of --postgres holds an index with records: name a server that nobody uses"
        );
        // The name is made here, of hexadecimal digits.
        let create = sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")));
        let making = "making a scratch database on --postgres; the role needs CREATEDB";
        create.execute(&mut connection).await.context(making)?;
        connection.close().await?;
        eprintln!("the bench uses the database {name}, which is dropped at the end");
        Ok(Self::Scratch { named: Secret::new(text), name, url: Secret::new(url) })
    }

    /// Returns what the server's setting `database` must be.
    pub(super) fn setting(&self) -> Secret {
        match self {
            Self::Sqlite(_) => Secret::new("sqlite"),
            Self::Private(cluster) => cluster.url.clone(),
            Self::Scratch { url, .. } => url.clone(),
        }
    }

    /// Returns how much the index takes on disk.
    pub(super) async fn index_bytes(&self) -> anyhow::Result<u64> {
        let bytes: i64 = match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut connection = SqliteConnection::connect_with(&options).await?;
                sqlx::query_scalar(SQLITE_BYTES).fetch_one(&mut connection).await?
            }
            Self::Private(_) | Self::Scratch { .. } => {
                let mut connection = PgConnection::connect(self.setting().expose()).await?;
                sqlx::query_scalar(POSTGRES_BYTES).fetch_one(&mut connection).await?
            }
        };
        u64::try_from(bytes).context("measuring the index on disk")
    }

    /// Removes it. What cannot be removed is named.
    pub(super) async fn end(self) {
        if let Self::Scratch { named, name, .. } = self
            && let Err(error) = drop_database(&named, &name).await
        {
            eprintln!("warning: the database {name} is still there, drop it by hand: {error}");
        }
    }
}

async fn drop_database(named: &Secret, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(named.expose()).await?;
    // The name was made here, of hexadecimal digits.
    let drop = sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")));
    drop.execute(&mut connection).await?;
    connection.close().await
}

/// Returns the same URL with the name of another database.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (base, options) =
        url.split_once('?').map_or((url, String::new()), |(base, o)| (base, format!("?{o}")));
    let (scheme, rest) =
        base.split_once("://").filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme))?;
    let server = rest.split_once('/').map_or(rest, |(server, _)| server);
    Some(format!("{scheme}://{server}/{name}{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_is_named() {
        let other = |url| with_database(url, "x");
        assert_eq!(other("postgres://u:p@h:5432/d").unwrap(), "postgres://u:p@h:5432/x");
        assert_eq!(other("postgresql://h?sslmode=require").unwrap(), "postgresql://h/x?sslmode=require");
        assert_eq!(other("mysql://h/d"), None);
        assert_eq!(other("signpost"), None);
    }
}
