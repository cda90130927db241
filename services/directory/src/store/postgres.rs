//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools};

include!("sql.rs");
