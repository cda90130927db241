//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, ONE_WRITER, Pools, keep_response, replayed};

/// Rows of the records that share one of the keys in the array `$1`: one more than are compared, to see that there are
/// more. The limit is no value: SQLite prepares a statement anew for every value of a limit.
const CANDIDATES: &str = "SELECT record_row, person_id, prepared FROM comparison WHERE record_row IN (
    SELECT DISTINCT record_row FROM block_key WHERE key = ANY($1) LIMIT 401)";

/// Rows of the records that have one of the keys in the array `$1`, with the key.
const ROWS_OF_KEYS: &str = "SELECT key, record_row FROM block_key WHERE key = ANY($1) LIMIT $2";

const COMPARISONS: &str = "SELECT record_row, person_id, prepared FROM comparison WHERE record_row = ANY($1)";

/// Decisions after a position, in the order in which they became visible: none is shown while one that may come before it
/// is under way.
const CHANGES: &str = concat!(
    event_columns!(),
    " WHERE (e.transaction_id, e.sequence) > ($1, $2)
    AND e.transaction_id < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY e.transaction_id, e.sequence LIMIT $3"
);

/// Code of an error: a lock could not be had at once (lock_not_available).
const BUSY: &str = "55P03";

const HOLD_RECORDS: &str =
    "SELECT record_row FROM source_record WHERE record_row = ANY($1) FOR NO KEY UPDATE SKIP LOCKED";

const HOLD_COMPARISONS: &str =
    "SELECT record_row FROM comparison WHERE record_row = ANY($1) FOR NO KEY UPDATE SKIP LOCKED";

const HOLD_MODELS: &str =
    "SELECT model_row FROM model WHERE model_row = ANY($1) FOR NO KEY UPDATE SKIP LOCKED";

/// What tells logs apart: the server, since each counts transactions for itself, and when the index began.
const LOG_ID: &str = "SELECT system_identifier::text || ' ' || (SELECT MIN(created_at) FROM data_key)
    FROM pg_control_system()";

/// Makes decisions visible that another server has made, whose count of transactions is ahead of this one's.
const RESTORED: &str = "UPDATE link_event SET transaction_id = 0
    WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint";

const DELETE_KEYS: &str = "DELETE FROM block_key WHERE record_row = $2 AND key = ANY($1)";

fn key_list(keys: &[i64]) -> Vec<i64> {
    keys.to_vec()
}

/// Adds keys to rows, pair by pair.
async fn insert_keys(c: &mut sqlx::PgConnection, keys: &[i64], rows: &[i64]) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO block_key (key, record_row) SELECT * FROM unnest($1::bigint[], $2::bigint[])
        ON CONFLICT DO NOTHING";
    sqlx::query(insert).bind(keys).bind(rows).execute(c).await?;
    Ok(())
}

/// Stripes that writers of alike records lock, so that the later one sees what the earlier one committed.
const STRIPES: i64 = 4096;

/// First part of the advisory lock's name; the second is the stripe.
const LOCK_CLASS: i32 = 0x6d70;

/// Locks the stripes of some keys until the transaction ends, in order, so that no two writers wait for each other.
async fn lock_stripes(c: &mut sqlx::PgConnection, keys: &[i64]) -> Result<(), sqlx::Error> {
    let mut stripes: Vec<i32> =
        keys.iter().filter_map(|key| i32::try_from(key.rem_euclid(STRIPES)).ok()).collect();
    stripes.sort_unstable();
    stripes.dedup();
    let lock = "SELECT count(pg_advisory_xact_lock($1, stripe)) FROM unnest($2::int[]) AS stripe";
    sqlx::query(lock).bind(LOCK_CLASS).bind(stripes).execute(c).await?;
    Ok(())
}

/// Returns rows for new records, which nobody else gets.
async fn take_rows(c: &mut sqlx::PgConnection, count: usize) -> Result<Vec<i64>, sqlx::Error> {
    let take =
        "SELECT nextval(pg_get_serial_sequence('source_record', 'record_row')) FROM generate_series(1, $1)";
    let mut rows: Vec<i64> = sqlx::query_scalar(take).bind(count as i64).fetch_all(c).await?;
    rows.sort_unstable();
    Ok(rows)
}

/// Bytes that are sent at once.
const COPY_BYTES: usize = 1 << 18;

/// Inserts rows, so many values each, into a table with its columns: a COPY in the binary format.
async fn insert_rows(
    c: &mut sqlx::PgConnection,
    table: &'static str,
    width: usize,
    cells: Vec<Cell>,
) -> Result<(), sqlx::Error> {
    let mut copy = c.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let value = |bytes: &mut Vec<u8>, value: &[u8]| {
        bytes.extend((value.len() as i32).to_be_bytes());
        bytes.extend_from_slice(value);
    };
    for row in cells.chunks(width) {
        bytes.extend((width as i16).to_be_bytes());
        for cell in row {
            match cell {
                Cell::Int(number) => value(&mut bytes, &number.to_be_bytes()),
                Cell::Float(number) => value(&mut bytes, &number.to_be_bytes()),
                Cell::Text(text) => value(&mut bytes, text.as_bytes()),
                Cell::Bytes(content) => value(&mut bytes, content),
            }
        }
        if bytes.len() >= COPY_BYTES {
            copy.send(&bytes[..]).await?;
            bytes.clear();
        }
    }
    bytes.extend((-1i16).to_be_bytes());
    copy.send(&bytes[..]).await?;
    copy.finish().await?;
    Ok(())
}

/// Gathers statistics, and notes which pages everybody may see: then keys are found in their index alone, and no round of the
/// database's own takes the time of those who ask first.
async fn look_over(pools: &Pools) -> Result<(), sqlx::Error> {
    let vacuum = "VACUUM (ANALYZE) block_key, comparison, source_record, person, link_event, review_task";
    sqlx::raw_sql(vacuum).execute(&pools.write).await?;
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
        let Some(db::Location::Postgres { url, schema, connections_max }) = db::scratch_postgres("mpi_plans")
        else {
            eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
            return;
        };
        let pools = db::postgres::open(&url, schema, connections_max, &super::super::POSTGRES).await.unwrap();
        let mut c = pools.read.acquire().await.unwrap();
        // An empty table is read whole whatever indexes it has, unless that is made dear.
        sqlx::query("SET enable_seqscan = off").execute(&mut *c).await.unwrap();
        for query in [CANDIDATES, ROWS_OF_KEYS, COMPARISONS] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {query}"));
            let mut explain = sqlx::query_as(explain).bind(key_list(&[1]));
            if query.contains("$2") {
                explain = explain.bind(9i64);
            }
            let plan: Vec<(String,)> = explain.fetch_all(&mut *c).await.unwrap();
            assert!(plan.iter().any(|(line,)| line.contains("_pkey")), "{plan:?}");
            assert!(!plan.iter().any(|(line,)| line.contains("Seq Scan")), "{plan:?}");
        }
    }
}
