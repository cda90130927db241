//! A database of the release before sources spoke anything but gRPC, opened by this one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use signpost_common::db::{self, Location};
use signpost_directory::store;
use signpost_proto::directory::v1::EndpointProtocol;
use sqlx::migrate::Migrator;

const ROWS: &str = "INSERT INTO member VALUES ('north', 'North', 'MA', 1, 1, 7);
    INSERT INTO endpoint VALUES ('north', 'https://north:1', 'north');";

/// Returns the first migration alone.
async fn first(database: &str) -> Migrator {
    let all = Path::new("../../migrations/directory").join(database);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(all.join("0001_directory.sql"), folder.path().join("0001_directory.sql")).unwrap();
    Migrator::new(folder.path()).await.unwrap()
}

async fn upgrades(location: Location) {
    match db::open(&location, &first("sqlite").await, &first("postgres").await).await.unwrap() {
        db::Database::Sqlite(pools) => {
            sqlx::raw_sql(ROWS).execute(&pools.write).await.unwrap();
            pools.read.close().await;
            pools.write.close().await;
        }
        db::Database::Postgres(pools) => {
            sqlx::raw_sql(ROWS).execute(&pools.write).await.unwrap();
        }
    }
    let store = store::open(&location).await.unwrap();
    let north = store.member(&"north".parse().unwrap()).await.unwrap().unwrap();
    let endpoint = north.endpoint.unwrap();
    assert_eq!((endpoint.uri.as_str(), endpoint.protocol), ("https://north:1", EndpointProtocol::Grpc));
}

#[tokio::test]
async fn an_endpoint_in_a_file_of_the_earlier_release_speaks_grpc() {
    let folder = tempfile::tempdir().unwrap();
    upgrades(Location::File(folder.path().join("directory.sqlite"))).await;
}

#[tokio::test]
async fn an_endpoint_in_a_schema_of_the_earlier_release_speaks_grpc() {
    let Some(location) = db::scratch_postgres("directory") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    upgrades(location).await;
}
