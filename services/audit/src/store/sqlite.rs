//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools};

/// Puts hashes together, in hexadecimal.
const HASHES: &str = "group_concat(hex(hash), '')";

/// Puts records and their events together.
const PAIRS: &str = "group_concat(token || ' ' || sequence, ',')";

#[cfg(test)]
const EXPLAIN: [&str; 2] = ["PRAGMA optimize", "EXPLAIN QUERY PLAN "];

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    Some(SqlStore::new(signpost_common::db::sqlite::open(None, &super::SQLITE).await.unwrap()))
}

include!("checkpoints.rs");
include!("flags.rs");
include!("scan.rs");
include!("sql.rs");
