//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools};

include!("sql.rs");
