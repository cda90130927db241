//! The store on PostgreSQL.

use signpost_common::db::postgres::{BEGIN, Db, Pools, keep_response, replayed};

include!("sql.rs");
include!("policies.rs");
include!("notices.rs");

#[cfg(test)]
mod tests {
    use signpost_common::db::{self, Database};

    use super::*;

    #[tokio::test]
    async fn a_decision_finds_its_rows_by_index() {
        let Some(location) = db::scratch_postgres("consent_plan") else {
            eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
            return;
        };
        let opened = db::open(&location, &super::super::SQLITE, &super::super::POSTGRES).await.unwrap();
        let Database::Postgres(pools) = opened else { panic!("not PostgreSQL") };
        // Among few rows the planner reads them all, whatever there is for an index.
        for statement in [
            "INSERT INTO directive SELECT 'd' || i, 'north', i::text, 1, 0, '', NULL, NULL, i, 'x', NULL
             FROM generate_series(1, 20000) i",
            "INSERT INTO patient_epoch SELECT 'north', i::text, 1 FROM generate_series(1, 20000) i",
            "INSERT INTO decision SELECT 'd' || i, i, '' FROM generate_series(1, 20000) i",
            "INSERT INTO notice SELECT 'n' || i, 'north', '', 1, 'north', 'x', '', '', i, i
             FROM generate_series(1, 20000) i",
            "ANALYZE decision",
            "ANALYZE notice",
            "ANALYZE directive",
            "ANALYZE patient_epoch",
        ] {
            sqlx::query(statement).execute(&pools.write).await.unwrap();
        }
        let records = [record("north", "1"), record("south", "2")];
        let position = (900, "d900".to_owned());
        for (index, mut query) in [
            ("directive_patient", standing_query("EXPLAIN ", &records, 0)),
            ("patient_epoch_pkey", epoch_query("EXPLAIN ", &records)),
            ("decision_decided", decisions_query("EXPLAIN ", 100, Some(&position), 50)),
            ("decision_decided", forget_query("EXPLAIN ", "decision", "decision_id", "decided_at", 9)),
            ("notice_acknowledged", forget_query("EXPLAIN ", "notice", "notice_id", "acknowledged_at", 9)),
        ] {
            let plan: Vec<(String,)> = query.build_query_as().fetch_all(&pools.read).await.unwrap();
            let plan: String = plan.into_iter().map(|(step,)| step + "\n").collect();
            assert!(plan.contains(index) && !plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
    }
}
