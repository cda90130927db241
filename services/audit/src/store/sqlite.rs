//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools};

#[cfg(test)]
async fn scratch() -> Option<SqlStore> {
    Some(SqlStore::new(signpost_common::db::sqlite::open(None, &super::SQLITE).await.unwrap()))
}

include!("sql.rs");
