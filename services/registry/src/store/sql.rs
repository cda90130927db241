// The one SQL text; included by `sqlite` and by `postgres`.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt, shelf::Shelf},
    id::{DocumentId, MemberId, RecordRef},
    rpc::watch,
};
use signpost_proto::registry::v1::{ChangeKind, DocumentStatus, Liveness};
use sqlx::{Database, QueryBuilder};

use super::{Changes, Error, Retrievals, Store};
use crate::{
    convert,
    domain::{
        self, Change, Document, Pointer, Position, Query, Registered, Registration, Report, Standing,
        relation::{self, Target},
        score::{self, Outcome, Scores},
    },
};

type Connection = <Db as Database>::Connection;

/// Keeps pointers in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
    shelf: Shelf<Db>,
}

/// Most values of one list in a statement, of those that SQLite takes.
const LIST_MAX: usize = 10_000;

const COLUMNS: &str = "d.document_id, d.custodian, d.local_id, d.unique_id, d.type_code, d.class_code, d.status,
    d.created_at, d.registered_at, d.sha256, d.liveness, d.liveness_at, d.liveness_reason, d.failures, d.replaced,
    d.replaced_by, d.facts";

#[derive(sqlx::FromRow)]
struct Row {
    document_id: String,
    custodian: String,
    local_id: String,
    unique_id: String,
    type_code: String,
    class_code: String,
    status: i64,
    created_at: i64,
    registered_at: i64,
    sha256: Vec<u8>,
    liveness: i64,
    liveness_at: i64,
    liveness_reason: String,
    failures: i64,
    replaced: String,
    replaced_by: Option<String>,
    facts: Vec<u8>,
}

fn number<T: TryFrom<i32>>(value: i64, what: &'static str) -> Result<T, db::Error> {
    i32::try_from(value).ok().and_then(|v| T::try_from(v).ok()).ok_or(db::Error::Corrupt(what))
}

fn id(text: &str) -> Result<DocumentId, db::Error> {
    text.parse().map_err(|_| db::Error::Corrupt("document id"))
}

fn member(text: &str) -> Result<MemberId, db::Error> {
    text.parse().map_err(|_| db::Error::Corrupt("custodian"))
}

fn record(custodian: &str, local_id: &str) -> Result<RecordRef, db::Error> {
    RecordRef::new(member(custodian)?, local_id).map_err(|_| db::Error::Corrupt("record"))
}

fn document(row: Row) -> Result<Document, db::Error> {
    Ok(Document {
        id: id(&row.document_id)?,
        pointer: Pointer {
            patient: record(&row.custodian, &row.local_id)?,
            unique_id: row.unique_id,
            type_code: row.type_code,
            class_code: row.class_code,
            created_us: row.created_at,
            sha256: row.sha256,
            facts: row.facts,
        },
        status: number(row.status, "document status")?,
        liveness: number(row.liveness, "liveness")?,
        liveness_us: row.liveness_at,
        liveness_reason: row.liveness_reason,
        failures: row.failures,
        replaced: row.replaced.split_ascii_whitespace().map(id).collect::<Result<_, _>>()?,
        replaced_by: row.replaced_by.as_deref().map(id).transpose()?,
        registered_us: row.registered_at,
    })
}

async fn find(c: &mut Connection, id: &DocumentId, lock: &str) -> Result<Option<Document>, Error> {
    let mut sql = QueryBuilder::<Db>::new(format!("SELECT {COLUMNS} FROM document d WHERE d.document_id = "));
    let row: Option<Row> =
        sql.push_bind(id.to_string()).push(lock).build_query_as().fetch_optional(c).await?;
    Ok(row.map(document).transpose()?)
}

/// A pointer that may become a document.
struct Newcomer<'a> {
    id: DocumentId,
    registration: &'a Registration,
    /// Pointers that it replaces, nearest first.
    replaced: &'a [DocumentId],
}

/// Registers pointers; one whose relations do not hold fails alone.
async fn add(
    c: &mut Connection,
    registrations: &[Registration],
    now_us: i64,
) -> Result<Vec<Result<Registered, Error>>, Error> {
    let mut faults = unrelated(c, registrations).await?;
    let good = registrations.iter().enumerate().filter(|(at, _)| !faults.contains_key(at));
    let good: Vec<_> = good
        .map(|(_, registration)| Newcomer { id: DocumentId::generate(), registration, replaced: &[] })
        .collect();
    let mut results = insert(c, good, now_us).await?.into_iter();
    let result = |at| match faults.remove(&at) {
        Some(fault) => Err(fault),
        None => results.next().unwrap_or_else(|| Err(db::Error::Corrupt("document").into())),
    };
    Ok((0..registrations.len()).map(result).collect())
}

/// Inserts pointers whose relations hold, with what the log says of them.
async fn insert(
    c: &mut Connection,
    mut newcomers: Vec<Newcomer<'_>>,
    now_us: i64,
) -> Result<Vec<Result<Registered, Error>>, Error> {
    if newcomers.is_empty() {
        return Ok(vec![]);
    }
    let (ids, pointers): (Vec<_>, Vec<_>) =
        newcomers.iter().map(|new| (new.id, &new.registration.pointer)).unzip();
    // In one order, so that two batches with the same pointers do not wait for each other.
    newcomers.sort_by(|a, b| a.registration.pointer.unique_id.cmp(&b.registration.pointer.unique_id));
    let done = insert_rows(c, &newcomers, now_us).await?;
    let results: Vec<_> = if done == newcomers.len() as u64 {
        ids.into_iter().map(|id| Ok(Registered { id, replayed: false })).collect()
    } else {
        let stored = stored(c, &pointers).await?;
        let judged = pointers.into_iter().zip(ids).map(|(pointer, id)| {
            let key = (pointer.patient.member_id.clone(), pointer.unique_id.clone());
            let there = stored.get(&key).ok_or(db::Error::Corrupt("document"))?;
            domain::same_facts(&there.pointer, pointer)?;
            Ok(Registered { id: there.id, replayed: there.id != id })
        });
        judged.collect()
    };
    let new = results.iter().flatten().filter(|done| !done.replayed).map(|done| done.id);
    let new: HashSet<_> = new.collect();
    newcomers.retain(|one| new.contains(&one.id));
    // In the order in which they came.
    newcomers.sort_by_key(|one| one.id);
    log_registered(c, &newcomers, now_us).await?;
    relate(c, &newcomers).await?;
    Ok(results)
}

/// Inserts the pointers that are not there, and returns how many they are.
async fn insert_rows(c: &mut Connection, newcomers: &[Newcomer<'_>], now_us: i64) -> Result<u64, Error> {
    let mut sql = QueryBuilder::<Db>::new(
        "INSERT INTO document (document_id, custodian, local_id, unique_id, type_code, class_code, created_at,
         registered_at, sha256, replaces, replaced, labels, service_from, service_to, facts, status, liveness,
         failures) ",
    );
    sql.push_values(newcomers, |mut row, Newcomer { id, registration, replaced }| {
        let Registration { pointer, found_by, relations: _ } = registration;
        row.push_bind(id.to_string())
            .push_bind(pointer.patient.member_id.as_str())
            .push_bind(pointer.patient.local_id())
            .push_bind(&pointer.unique_id)
            .push_bind(&pointer.type_code)
            .push_bind(&pointer.class_code)
            .push_bind(pointer.created_us)
            .push_bind(now_us)
            .push_bind(&pointer.sha256)
            .push_bind(replaced.first().map(ToString::to_string))
            .push_bind(spaced(replaced))
            .push_bind(labels(&found_by.labels))
            .push_bind(found_by.service_us.map(|(from_us, _)| from_us))
            .push_bind(found_by.service_us.map(|(_, to_us)| to_us))
            .push_bind(&pointer.facts)
            // Current, never retrieved, never failed: SQLite takes only so many bound values.
            .push("1, 0, 0");
    });
    sql.push(" ON CONFLICT (custodian, unique_id) DO NOTHING");
    Ok(sql.build().execute(c).await?.rows_affected())
}

fn spaced(ids: &[DocumentId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Returns labels as they are stored, with a space around each: none has a space in it.
fn labels(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!(" {} ", labels.join(" ")) }
}

/// Returns what stands under the unique ids of pointers.
async fn stored(
    c: &mut Connection,
    pointers: &[&Pointer],
) -> Result<HashMap<(MemberId, String), Document>, Error> {
    let mut sql = QueryBuilder::<Db>::new(format!(
        "SELECT {COLUMNS} FROM document d WHERE (d.custodian, d.unique_id) IN ("
    ));
    sql.push_values(pointers, |mut row, pointer| {
        row.push_bind(pointer.patient.member_id.as_str()).push_bind(&pointer.unique_id);
    });
    let rows: Vec<Row> = sql.push(")").build_query_as().fetch_all(c).await?;
    let mut documents = HashMap::with_capacity(rows.len());
    for row in rows {
        let document = document(row)?;
        let pointer = &document.pointer;
        documents.insert((pointer.patient.member_id.clone(), pointer.unique_id.clone()), document);
    }
    Ok(documents)
}

/// Begins a statement that reads what a query bounds.
fn bounded(select: &str, query: &Query) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::new(format!("{select} FROM document d"));
    let status = match query.as_of_us {
        Some(as_of_us) => {
            join_standing(&mut sql, as_of_us);
            "COALESCE(c.status, 1)"
        }
        None => "d.status",
    };
    sql.push(" WHERE (d.custodian, d.local_id) IN (");
    sql.push_values(&query.patients, |mut row, patient| {
        row.push_bind(patient.member_id.as_str()).push_bind(patient.local_id());
    });
    sql.push(")");
    if let Some(as_of_us) = query.as_of_us {
        sql.push(" AND d.registered_at <= ").push_bind(as_of_us);
    }
    let statuses = query.statuses.iter().map(|status| i64::from(*status as i32));
    any_of(&mut sql, status, statuses);
    any_of(&mut sql, "d.custodian", query.custodians.iter().map(MemberId::as_str));
    any_of(&mut sql, "d.type_code", query.type_codes.iter().map(String::as_str));
    any_of(&mut sql, "d.class_code", query.class_codes.iter().map(String::as_str));
    if let Some(from_us) = query.from_us {
        sql.push(" AND d.created_at >= ").push_bind(from_us);
    }
    if let Some(to_us) = query.to_us {
        sql.push(" AND d.created_at < ").push_bind(to_us);
    }
    if let Some(from_us) = query.service_from_us {
        sql.push(" AND d.service_to >= ").push_bind(from_us);
    }
    if let Some(to_us) = query.service_to_us {
        sql.push(" AND d.service_from < ").push_bind(to_us);
    }
    for (at, label) in query.labels.iter().enumerate() {
        sql.push(if at == 0 { " AND (" } else { " OR " });
        sql.push(FIND).push("(d.labels, ").push_bind(format!(" {label} ")).push(") > 0");
    }
    if !query.labels.is_empty() {
        sql.push(")");
    }
    sql
}

fn any_of<'t, T>(sql: &mut QueryBuilder<Db>, column: &str, values: impl ExactSizeIterator<Item = T>)
where
    T: sqlx::Encode<'t, Db> + sqlx::Type<Db>,
{
    if values.len() == 0 {
        return;
    }
    sql.push(" AND ").push(column).push(" IN (");
    let mut list = sql.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    sql.push(")");
}

fn newest_first(sql: &mut QueryBuilder<Db>, after: Option<&Position>, limit: i64) {
    if let Some(Position { created_us, id }) = after {
        sql.push(" AND (d.created_at, d.document_id) < (").push_bind(*created_us);
        sql.push(", ").push_bind(id.to_string()).push(")");
    }
    // SQLite prepares a statement anew for every value of a bound limit.
    sql.push(" ORDER BY d.created_at DESC, d.document_id DESC LIMIT ").push(limit);
}

#[async_trait]
impl Store for SqlStore {
    async fn register(
        &self,
        registrations: &[Registration],
        now_us: i64,
    ) -> Result<Vec<Result<Registered, Error>>, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let results = add(&mut tx, registrations, now_us).await?;
        tx.commit().await?;
        Ok(results)
    }

    async fn replace(
        &self,
        old: &DocumentId,
        new: &Registration,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<DocumentId, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        // Locked before the replay is looked for, so that a second attempt finds what the first has kept.
        let stored = find(&mut tx, old, LOCK).await?.ok_or(Error::DocumentUnknown)?;
        if let Some(response) = replayed(&mut tx, attempt).await? {
            let text = String::from_utf8(response).map_err(|_| db::Error::Corrupt("response"))?;
            return Ok(id(&text)?);
        }
        domain::replaceable(&stored, &new.pointer)?;
        let replaced = relation::replaced_with(&stored)?;
        let newer = Newcomer { id: DocumentId::generate(), registration: new, replaced: &replaced };
        let newer_id = newer.id;
        sqlx::query("UPDATE document SET replaced_by = $2 WHERE document_id = $1")
            .bind(old.to_string())
            .bind(newer_id.to_string())
            .execute(&mut *tx)
            .await?;
        // Before the newer one is looked at: it cannot relate to what it takes down.
        take_down(&mut tx, old, DocumentStatus::Superseded, now_us).await?;
        if let Some(fault) = unrelated(&mut tx, std::slice::from_ref(new)).await?.remove(&0) {
            return Err(fault);
        }
        let result = insert(&mut tx, vec![newer], now_us).await?.pop();
        if result.ok_or(db::Error::Corrupt("document"))??.replayed {
            return Err(Error::NotItsReplacement);
        }
        keep_response(&mut tx, attempt, newer_id.to_string().as_bytes(), now_us).await?;
        tx.commit().await?;
        Ok(newer_id)
    }

    async fn deprecate(
        &self,
        custodian: &MemberId,
        id: &DocumentId,
        now_us: i64,
    ) -> Result<Document, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let stored = find(&mut tx, id, LOCK).await?;
        if stored.is_none_or(|stored| stored.pointer.patient.member_id != *custodian) {
            return Err(Error::DocumentUnknown);
        }
        take_down(&mut tx, id, DocumentStatus::Deprecated, now_us).await?;
        let document = find(&mut tx, id, "").await?.ok_or(Error::DocumentUnknown)?;
        tx.commit().await?;
        Ok(document)
    }

    async fn document(&self, id: &DocumentId, as_of_us: Option<i64>) -> Result<Option<Document>, Error> {
        let mut c = self.shelf.take().await?;
        let found = match as_of_us {
            Some(as_of_us) => find_as_of(&mut c, id, as_of_us).await?,
            None => find(&mut c, id, "").await?,
        };
        self.shelf.keep(c);
        Ok(found)
    }

    async fn search(
        &self,
        query: &Query,
        after: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Document>, Error> {
        if query.patients.is_empty() {
            return Ok(vec![]);
        }
        let mut c = self.shelf.take().await?;
        let found = match query.as_of_us {
            Some(as_of_us) => {
                let mut sql = bounded(&format!("SELECT {COLUMNS}, {STANDING}"), query);
                newest_first(&mut sql, after, limit);
                let rows: Vec<ThenRow> = sql.build_query_as().fetch_all(&mut *c).await?;
                rows.into_iter().map(|row| as_of(row, as_of_us)).collect::<Result<_, _>>()?
            }
            None => {
                let mut sql = bounded(&format!("SELECT {COLUMNS}"), query);
                newest_first(&mut sql, after, limit);
                let rows: Vec<Row> = sql.build_query_as().fetch_all(&mut *c).await?;
                rows.into_iter().map(document).collect::<Result<_, _>>()?
            }
        };
        self.shelf.keep(c);
        Ok(found)
    }

    async fn count(&self, query: &Query) -> Result<i64, Error> {
        if query.patients.is_empty() {
            return Ok(0);
        }
        let mut sql = bounded("SELECT COUNT(*)", query);
        let (count,) = sql.build_query_as().fetch_one(&self.pools.read).await?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    /// Returns the plan of a statement, one step a line.
    async fn plan(store: &SqlStore, sql: &mut QueryBuilder<Db>) -> String {
        let rows = sql.build().fetch_all(&store.pools.read).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(row.len() - 1) + "\n").collect()
    }

    fn patient(n: usize) -> RecordRef {
        RecordRef::new("north".parse().unwrap(), &n.to_string()).unwrap()
    }

    async fn filled() -> Option<SqlStore> {
        let store = scratch().await?;
        let pointers: Vec<_> = (0..3000)
            .map(|n| Registration {
                pointer: Pointer {
                    patient: patient(n % 1000),
                    unique_id: n.to_string(),
                    type_code: "34133-9".into(),
                    class_code: String::new(),
                    created_us: n as i64,
                    sha256: vec![7; 32],
                    facts: vec![],
                },
                found_by: domain::FoundBy::default(),
                relations: vec![],
            })
            .collect();
        for batch in pointers.chunks(250) {
            store.register(batch, 1).await.unwrap();
        }
        sqlx::query("ANALYZE").execute(&store.pools.write).await.unwrap();
        Some(store)
    }

    #[tokio::test]
    async fn every_read_uses_an_index() {
        let Some(store) = filled().await else { return };
        let patients = vec![patient(1), patient(2), patient(3)];
        let plain = Query { patients, statuses: vec![DocumentStatus::Current], ..Query::default() };
        let labelled = Query {
            labels: vec!["R".into(), "V".into()],
            service_from_us: Some(1),
            service_to_us: Some(2),
            ..plain.clone()
        };
        let then = Query { as_of_us: Some(5), ..labelled.clone() };
        for query in [plain, labelled, then] {
            let mut search = bounded(&format!("{EXPLAIN} SELECT {COLUMNS}"), &query);
            newest_first(&mut search, Some(&Position { created_us: 5, id: DocumentId::generate() }), 10);
            let count = bounded(&format!("{EXPLAIN} SELECT COUNT(*)"), &query);
            for mut sql in [search, count] {
                let plan = plan(&store, &mut sql).await;
                assert!(plan.contains("document_record") && !scans(&plan), "{plan}");
                assert_eq!(plan.contains("document_change_document"), query.as_of_us.is_some(), "{plan}");
            }
        }
        let mut get =
            QueryBuilder::new(format!("{EXPLAIN} SELECT {COLUMNS} FROM document d WHERE d.document_id = "));
        let plan = plan(&store, get.push_bind("x")).await;
        assert!(plan.contains(PRIMARY) && !scans(&plan), "{plan}");
    }

    #[tokio::test]
    async fn changes_probes_and_relations_are_found_by_index() {
        let Some(store) = filled().await else { return };
        let ids = [DocumentId::generate(), DocumentId::generate()];
        let explain = |sql: &str| QueryBuilder::new(format!("{EXPLAIN} {sql}"));
        let mut after = changes_query(&format!("{EXPLAIN} "), watch::Position::default(), 9);
        let mut probes = explain(&probes_query(10));
        let mut targets = targets_query(&format!("{EXPLAIN} "), ids.iter());
        let mut dependents = dependents_query(&format!("{EXPLAIN} "), &ids);
        let mut known = explain(&format!("SELECT {COLUMNS} FROM document d WHERE d.document_id IN ("));
        list(&mut known, &ids);
        for (sql, index) in [
            (&mut probes, "document_probe"),
            (&mut targets, PRIMARY),
            (&mut dependents, RELATION),
            (&mut known, PRIMARY),
            (&mut after, CHANGES_INDEX),
        ] {
            let plan = plan(&store, sql).await;
            assert!(plan.contains(index) && !scans(&plan), "{index}: {plan}");
        }
    }
}
