//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools, keep_response, replayed};

/// Rows of the records that share one of the keys in the JSON array `$1`.
const CANDIDATES: &str = "SELECT record_row, person_id, prepared FROM comparison WHERE record_row IN (
    SELECT DISTINCT record_row FROM block_key WHERE key IN (SELECT value FROM json_each($1)) LIMIT $2)";

const INSERT_KEYS: &str = "INSERT INTO block_key (key, record_row) SELECT value, $2 FROM json_each($1)
    WHERE true ON CONFLICT DO NOTHING";

const DELETE_KEYS: &str =
    "DELETE FROM block_key WHERE record_row = $2 AND key IN (SELECT value FROM json_each($1))";

fn key_list(keys: &[i64]) -> String {
    // A list of integers is JSON as it is.
    format!("{keys:?}")
}

/// The one writer of SQLite needs no lock.
async fn lock_stripes(_: &mut sqlx::SqliteConnection, _: &[i64]) -> Result<(), sqlx::Error> {
    Ok(())
}

include!("sql.rs");
