//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools};

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    let db::Location::Postgres { url, schema, connections_max } = db::scratch_postgres("audit")? else {
        return None;
    };
    let pools = db::postgres::open(&url, schema, connections_max, &super::POSTGRES).await.unwrap();
    Some(SqlStore::new(pools))
}

include!("sql.rs");
