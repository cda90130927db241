//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, ONE_WRITER, Pools, keep_response, replayed};

/// Rows of the records that share one of the keys in the JSON array `$1`: one more than are compared, to see that there are
/// more. The limit is no value: SQLite prepares a statement anew for every value of a limit.
const CANDIDATES: &str = "SELECT record_row, person_id, prepared FROM comparison WHERE record_row IN (
    SELECT DISTINCT record_row FROM block_key WHERE key IN (SELECT value FROM json_each($1)) LIMIT 401)";

/// Rows of the records that have one of the keys in the JSON array `$1`, with the key.
const ROWS_OF_KEYS: &str =
    "SELECT key, record_row FROM block_key WHERE key IN (SELECT value FROM json_each($1)) LIMIT $2";

const COMPARISONS: &str = "SELECT record_row, person_id, prepared FROM comparison
    WHERE record_row IN (SELECT value FROM json_each($1))";

/// Decisions after a position, in the order in which they became visible.
const CHANGES: &str = concat!(
    event_columns!(),
    " WHERE (e.transaction_id, e.sequence) > ($1, $2)
    ORDER BY e.transaction_id, e.sequence LIMIT $3"
);

/// Code of an error: another process writes (SQLITE_BUSY).
const BUSY: &str = "5";

/// The one writer holds every row.
const HOLD_RECORDS: &str = "SELECT value FROM json_each($1)";
const HOLD_COMPARISONS: &str = HOLD_RECORDS;
const HOLD_MODELS: &str = HOLD_RECORDS;

/// What tells logs apart: when the index began.
const LOG_ID: &str = "SELECT CAST(MIN(created_at) AS TEXT) FROM data_key";
const RESTORED: &str = "UPDATE link_event SET transaction_id = 0 WHERE transaction_id > 0";

const DELETE_KEYS: &str =
    "DELETE FROM block_key WHERE record_row = $2 AND key IN (SELECT value FROM json_each($1))";

fn key_list(keys: &[i64]) -> String {
    // A list of integers is JSON as it is.
    format!("{keys:?}")
}

/// Adds keys to rows, pair by pair.
async fn insert_keys(c: &mut sqlx::SqliteConnection, keys: &[i64], rows: &[i64]) -> Result<(), sqlx::Error> {
    let pairs: Vec<[i64; 2]> = keys.iter().zip(rows).map(|(key, row)| [*key, *row]).collect();
    let insert = "INSERT INTO block_key (key, record_row) SELECT value ->> 0, value ->> 1 FROM json_each($1)
        WHERE true ON CONFLICT DO NOTHING";
    // A list of lists of integers is JSON as it is.
    sqlx::query(insert).bind(format!("{pairs:?}")).execute(c).await?;
    Ok(())
}

/// The one writer of SQLite needs no lock.
async fn lock_stripes(_: &mut sqlx::SqliteConnection, _: &[i64]) -> Result<(), sqlx::Error> {
    Ok(())
}

/// Returns rows for new records; the one writer has them for itself.
async fn take_rows(c: &mut sqlx::SqliteConnection, count: usize) -> Result<Vec<i64>, sqlx::Error> {
    let (last,): (i64,) =
        sqlx::query_as("SELECT COALESCE(MAX(record_row), 0) FROM source_record").fetch_one(c).await?;
    Ok((last + 1..).take(count).collect())
}

/// Most values of one statement, of those that SQLite takes.
const VALUES_MAX: usize = 32_000;

/// Inserts rows, so many values each, into a table with its columns.
async fn insert_rows(
    c: &mut sqlx::SqliteConnection,
    table: &'static str,
    width: usize,
    mut cells: Vec<Cell>,
) -> Result<(), sqlx::Error> {
    let most = VALUES_MAX / width * width;
    while !cells.is_empty() {
        let rest = cells.split_off(most.min(cells.len()));
        let is_full = cells.len() == most;
        let mut query = QueryBuilder::<Db>::new("INSERT INTO ");
        query.push(table).push(" VALUES (");
        for (place, cell) in std::mem::replace(&mut cells, rest).into_iter().enumerate() {
            query.push(match place {
                0 => "",
                _ if place % width == 0 => "), (",
                _ => ", ",
            });
            match cell {
                Cell::Int(value) => query.push_bind(value),
                Cell::Float(value) => query.push_bind(value),
                Cell::Text(value) => query.push_bind(value),
                Cell::Bytes(value) => query.push_bind(value),
            };
        }
        query.push(")");
        // Full statements are alike.
        query.build().persistent(is_full).execute(&mut *c).await?;
    }
    Ok(())
}

/// There is nothing to look over: the plans do not depend on what the tables hold.
async fn look_over(_: &Pools) -> Result<(), sqlx::Error> {
    Ok(())
}

include!("sealing.rs");
include!("sql.rs");
include!("stewardship.rs");
include!("register.rs");
include!("joining.rs");
include!("import.rs");
include!("models.rs");

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn candidates_are_found_by_index() {
        let pools = db::sqlite::open(None, &super::super::SQLITE).await.unwrap();
        for query in [CANDIDATES, ROWS_OF_KEYS, COMPARISONS] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            let mut explain = sqlx::query_as(explain).bind(key_list(&[1]));
            if query.contains("$2") {
                explain = explain.bind(9i64);
            }
            let plan: Vec<(i64, i64, i64, String)> = explain.fetch_all(&pools.read).await.unwrap();
            let scans = |line: &&String| line.starts_with("SCAN") && !line.contains("json_each");
            let lines: Vec<&String> = plan.iter().map(|(.., line)| line).collect();
            assert_eq!(lines.iter().find(|line| scans(line)), None, "{lines:?}");
            assert!(lines.iter().any(|line| line.starts_with("SEARCH")), "{lines:?}");
        }
    }
}
