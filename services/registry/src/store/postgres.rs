//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools, keep_response, replayed};

/// Ends a statement whose rows stay as they are until the transaction ends.
const LOCK: &str = " FOR UPDATE";

#[cfg(test)]
const EXPLAIN: &str = "EXPLAIN";
#[cfg(test)]
const FULL_SCAN: &str = "Seq Scan on document";
#[cfg(test)]
const PRIMARY: &str = "document_pkey";

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    let db::Location::Postgres { url, schema, connections_max } = db::scratch_postgres("registry")? else {
        return None;
    };
    let pools = db::postgres::open(&url, schema, connections_max, &super::POSTGRES).await.unwrap();
    Some(SqlStore::new(pools))
}

include!("sql.rs");
