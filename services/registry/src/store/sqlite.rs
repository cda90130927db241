//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools, keep_response, replayed};

/// Nothing: the one writer locks everything.
const LOCK: &str = "";

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN QUERY PLAN";
#[cfg(test)]
const FULL_SCAN: &str = "SCAN document";
#[cfg(test)]
const PRIMARY: &str = "sqlite_autoindex_document_1";

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    Some(SqlStore::new(signpost_common::db::sqlite::open(None, &super::SQLITE).await.unwrap()))
}

include!("sql.rs");
