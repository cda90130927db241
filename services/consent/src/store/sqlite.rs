//! The store on SQLite.

use signpost_common::db::sqlite::{BEGIN, Db, Pools, keep_response, replayed};

include!("sql.rs");
include!("policies.rs");
include!("notices.rs");

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_decision_finds_its_rows_by_index() {
        let pools = signpost_common::db::sqlite::open(None, &super::super::SQLITE).await.unwrap();
        let records = [record("north", "1"), record("south", "2")];
        for mut query in
            [standing_query("EXPLAIN QUERY PLAN ", &records, 0), epoch_query("EXPLAIN QUERY PLAN ", &records)]
        {
            let plan: Vec<(i64, i64, i64, String)> =
                query.build_query_as().fetch_all(&pools.read).await.unwrap();
            let plan: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH ")), "{plan:?}");
            for table in ["directive", "patient_epoch"] {
                let scan = format!("SCAN {table}");
                assert!(!plan.iter().any(|step| step.starts_with(&scan)), "{plan:?}");
            }
        }
    }
}
