//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools};

/// Puts hashes together, in hexadecimal.
const HASHES: &str = "string_agg(encode(hash, 'hex'), '' ORDER BY position)";

/// Puts records and their events together.
const PAIRS: &str = "string_agg(token || ' ' || sequence, ',')";

/// An empty table is read whole whatever indexes it has, unless that is made dear.
#[cfg(test)]
const EXPLAIN: [&str; 2] = ["SET enable_seqscan = off", "EXPLAIN "];

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    let db::Location::Postgres { url, schema, connections_max } = db::scratch_postgres("audit")? else {
        return None;
    };
    let pools = db::postgres::open(&url, schema, connections_max, &super::POSTGRES).await.unwrap();
    Some(SqlStore::new(pools))
}

include!("checkpoints.rs");
include!("flags.rs");
include!("scan.rs");
include!("sql.rs");
