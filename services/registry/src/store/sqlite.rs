//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools, keep_response, replayed};

/// Nothing: the one writer locks everything.
const LOCK: &str = "";
const LOCK_SHARED: &str = "";

/// Function that finds a text in another, counted from one.
const FIND: &str = "instr";

const TRANSACTION: &str = "0 AS transaction_id";

/// Bounds changes to those after a position, in the order in which they became visible.
fn after(sql: &mut sqlx::QueryBuilder<Db>, position: signpost_common::rpc::watch::Position) {
    sql.push("c.sequence > ").push_bind(position.sequence).push(" ORDER BY c.sequence");
}

const LAST_CHANGE: &str = "SELECT COALESCE(MAX(sequence), 0) FROM document_change";

/// What tells logs apart.
const LOG_ID: &str = "SELECT log_id FROM change_log";

/// There is one writer wherever the file is.
const RESTORED: Option<&str> = None;

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN QUERY PLAN";
#[cfg(test)]
const PRIMARY: &str = "sqlite_autoindex_document_1";
#[cfg(test)]
const RELATION: &str = "SEARCH r USING PRIMARY KEY";
#[cfg(test)]
const CHANGES_INDEX: &str = "USING INTEGER PRIMARY KEY";

/// Tells whether a plan reads a table whole.
#[cfg(test)]
fn scans(plan: &str) -> bool {
    let whole = |line: &str| line.starts_with("SCAN ") && !line.contains("VALUES");
    plan.lines().any(|line| whole(line) && !line.contains("document_probe"))
}

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    let pools = signpost_common::db::sqlite::open(None, &super::SQLITE).await.unwrap();
    Some(SqlStore::open(pools).await.unwrap())
}

include!("sql.rs");
include!("changes.rs");
include!("retrievals.rs");
