//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools, keep_response, replayed};

/// Ends a statement whose rows stay as they are until the transaction ends.
const LOCK: &str = " FOR UPDATE";

/// The same, while others may hold the rows so, too.
const LOCK_SHARED: &str = " FOR SHARE";

/// Function that finds a text in another, counted from one.
const FIND: &str = "strpos";

const TRANSACTION: &str = "c.transaction_id";

/// Bounds changes to those after a position, in the order in which they became visible: none is shown while one that may come
/// before it is under way.
fn after(sql: &mut sqlx::QueryBuilder<Db>, position: signpost_common::rpc::watch::Position) {
    sql.push("(c.transaction_id, c.sequence) > (").push_bind(position.transaction);
    sql.push(", ").push_bind(position.sequence);
    sql.push(
        ") AND c.transaction_id < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
         ORDER BY c.transaction_id, c.sequence",
    );
}

/// No smaller than any number in the log.
const LAST_CHANGE: &str = "SELECT last_value FROM document_change_number";

/// What tells logs apart: the server, since each counts transactions for itself, and the log that began there.
const LOG_ID: &str = "SELECT system_identifier::text || ' ' || log_id FROM pg_control_system(), change_log";

/// Makes changes visible that another server has logged, whose count of transactions is ahead of this one's.
const RESTORED: Option<&str> = Some(
    "UPDATE document_change SET transaction_id = 0
     WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
);

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN";
#[cfg(test)]
const PRIMARY: &str = "document_pkey";
#[cfg(test)]
const RELATION: &str = "relation_pkey";
#[cfg(test)]
const CHANGES_INDEX: &str = "document_change_pkey";

/// Tells whether a plan reads a table whole.
#[cfg(test)]
fn scans(plan: &str) -> bool {
    plan.contains("Seq Scan")
}

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    let db::Location::Postgres { url, schema, connections_max } = db::scratch_postgres("registry")? else {
        return None;
    };
    let pools = db::postgres::open(&url, schema, connections_max, &super::POSTGRES).await.unwrap();
    Some(SqlStore::open(pools).await.unwrap())
}

include!("sql.rs");
include!("changes.rs");
include!("retrievals.rs");
