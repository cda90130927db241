// The one SQL text; included by `sqlite` and by `postgres`.

use std::collections::HashMap;

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt},
    id::{DocumentId, MemberId, RecordRef},
};
use signpost_proto::registry::v1::{DocumentStatus, Liveness};
use sqlx::{Database, QueryBuilder};

use super::{Error, Store};
use crate::domain::{self, Document, Pointer, Position, Query, Registered};

type Connection = <Db as Database>::Connection;

/// Keeps pointers in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
}

impl SqlStore {
    /// Keeps them in this one.
    pub fn new(pools: Pools) -> Self {
        Self { pools }
    }
}

const COLUMNS: &str =
    "document_id, custodian, local_id, unique_id, type_code, class_code, status, created_at,
    registered_at, sha256, liveness, failures, replaces, replaced_by, facts";

type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    Vec<u8>,
    i64,
    i64,
    Option<String>,
    Option<String>,
    Vec<u8>,
);

fn number<T: TryFrom<i32>>(value: i64, what: &'static str) -> Result<T, db::Error> {
    i32::try_from(value).ok().and_then(|v| T::try_from(v).ok()).ok_or(db::Error::Corrupt(what))
}

fn id(text: &str) -> Result<DocumentId, db::Error> {
    text.parse().map_err(|_| db::Error::Corrupt("document id"))
}

fn document(row: Row) -> Result<Document, db::Error> {
    let (
        document_id,
        custodian,
        local_id,
        unique_id,
        type_code,
        class_code,
        status,
        created_us,
        registered_us,
        sha256,
        liveness,
        failures,
        replaces,
        replaced_by,
        facts,
    ) = row;
    let custodian = custodian.parse().map_err(|_| db::Error::Corrupt("custodian"))?;
    let patient = RecordRef::new(custodian, &local_id).map_err(|_| db::Error::Corrupt("record"))?;
    Ok(Document {
        id: id(&document_id)?,
        pointer: Pointer { patient, unique_id, type_code, class_code, created_us, sha256, facts },
        status: number(status, "document status")?,
        liveness: number(liveness, "liveness")?,
        failures,
        replaces: replaces.as_deref().map(id).transpose()?,
        replaced_by: replaced_by.as_deref().map(id).transpose()?,
        registered_us,
    })
}

async fn find(c: &mut Connection, id: &DocumentId, lock: &str) -> Result<Option<Document>, Error> {
    let mut sql = QueryBuilder::<Db>::new(format!("SELECT {COLUMNS} FROM document WHERE document_id = "));
    let row: Option<Row> =
        sql.push_bind(id.to_string()).push(lock).build_query_as().fetch_optional(c).await?;
    Ok(row.map(document).transpose()?)
}

/// Registers pointers, each with the pointer it replaces.
async fn insert(
    c: &mut Connection,
    pointers: &[Pointer],
    replaces: Option<&DocumentId>,
    now_us: i64,
) -> Result<Vec<Result<Registered, Error>>, Error> {
    if pointers.is_empty() {
        return Ok(vec![]);
    }
    let mut new: Vec<_> = pointers.iter().map(|pointer| (DocumentId::generate(), pointer)).collect();
    let ids: Vec<_> = new.iter().map(|(id, _)| *id).collect();
    // In one order, so that two batches with the same pointers do not wait for each other.
    new.sort_by(|(_, a), (_, b)| a.unique_id.cmp(&b.unique_id));
    let mut sql = QueryBuilder::<Db>::new(format!("INSERT INTO document ({COLUMNS}) "));
    sql.push_values(&new, |mut row, (id, pointer)| {
        row.push_bind(id.to_string())
            .push_bind(pointer.patient.member_id.as_str())
            .push_bind(pointer.patient.local_id())
            .push_bind(&pointer.unique_id)
            .push_bind(&pointer.type_code)
            .push_bind(&pointer.class_code)
            .push_bind(i64::from(DocumentStatus::Current as i32))
            .push_bind(pointer.created_us)
            .push_bind(now_us)
            .push_bind(&pointer.sha256)
            .push_bind(i64::from(Liveness::Unspecified as i32))
            .push_bind(0_i64)
            .push_bind(replaces.map(ToString::to_string))
            .push_bind(None::<String>)
            .push_bind(&pointer.facts);
    });
    sql.push(" ON CONFLICT (custodian, unique_id) DO NOTHING");
    let done = sql.build().execute(&mut *c).await?;
    if done.rows_affected() == pointers.len() as u64 {
        return Ok(ids.into_iter().map(|id| Ok(Registered { id, replayed: false })).collect());
    }
    let stored = stored(c, pointers).await?;
    let judged = pointers.iter().zip(ids).map(|(pointer, id)| {
        let key = (pointer.patient.member_id.clone(), pointer.unique_id.clone());
        let there = stored.get(&key).ok_or(db::Error::Corrupt("document"))?;
        domain::same_facts(&there.pointer, pointer)?;
        Ok(Registered { id: there.id, replayed: there.id != id })
    });
    Ok(judged.collect())
}

/// Returns what stands under the unique ids of pointers.
async fn stored(
    c: &mut Connection,
    pointers: &[Pointer],
) -> Result<HashMap<(MemberId, String), Document>, Error> {
    let mut sql =
        QueryBuilder::<Db>::new(format!("SELECT {COLUMNS} FROM document WHERE (custodian, unique_id) IN ("));
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
    let mut sql = QueryBuilder::new(format!("{select} FROM document WHERE (custodian, local_id) IN ("));
    sql.push_values(&query.patients, |mut row, patient| {
        row.push_bind(patient.member_id.as_str()).push_bind(patient.local_id());
    });
    sql.push(")");
    let statuses = query.statuses.iter().map(|status| i64::from(*status as i32));
    any_of(&mut sql, "status", statuses);
    any_of(&mut sql, "custodian", query.custodians.iter().map(MemberId::as_str));
    any_of(&mut sql, "type_code", query.type_codes.iter().map(String::as_str));
    any_of(&mut sql, "class_code", query.class_codes.iter().map(String::as_str));
    if let Some(from_us) = query.from_us {
        sql.push(" AND created_at >= ").push_bind(from_us);
    }
    if let Some(to_us) = query.to_us {
        sql.push(" AND created_at < ").push_bind(to_us);
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
        sql.push(" AND (created_at, document_id) < (").push_bind(*created_us);
        sql.push(", ").push_bind(id.to_string()).push(")");
    }
    sql.push(" ORDER BY created_at DESC, document_id DESC LIMIT ").push_bind(limit);
}

#[async_trait]
impl Store for SqlStore {
    async fn register(
        &self,
        pointers: &[Pointer],
        now_us: i64,
    ) -> Result<Vec<Result<Registered, Error>>, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let results = insert(&mut tx, pointers, None, now_us).await?;
        tx.commit().await?;
        Ok(results)
    }

    async fn replace(
        &self,
        old: &DocumentId,
        new: &Pointer,
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
        domain::replaceable(&stored, new)?;
        let mut results = insert(&mut tx, std::slice::from_ref(new), Some(old), now_us).await?;
        let newer = results.pop().ok_or(db::Error::Corrupt("document"))??;
        if newer.replayed {
            return Err(Error::NotItsReplacement);
        }
        sqlx::query("UPDATE document SET status = $2, replaced_by = $3 WHERE document_id = $1")
            .bind(old.to_string())
            .bind(i64::from(DocumentStatus::Superseded as i32))
            .bind(newer.id.to_string())
            .execute(&mut *tx)
            .await?;
        keep_response(&mut tx, attempt, newer.id.to_string().as_bytes(), now_us).await?;
        tx.commit().await?;
        Ok(newer.id)
    }

    async fn deprecate(&self, custodian: &MemberId, id: &DocumentId) -> Result<Document, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        sqlx::query("UPDATE document SET status = $3 WHERE document_id = $1 AND custodian = $2")
            .bind(id.to_string())
            .bind(custodian.as_str())
            .bind(i64::from(DocumentStatus::Deprecated as i32))
            .execute(&mut *tx)
            .await?;
        let document = find(&mut tx, id, "").await?;
        tx.commit().await?;
        document.filter(|d| d.pointer.patient.member_id == *custodian).ok_or(Error::DocumentUnknown)
    }

    async fn document(&self, id: &DocumentId) -> Result<Option<Document>, Error> {
        find(&mut *self.pools.read.acquire().await?, id, "").await
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
        let mut sql = bounded(&format!("SELECT {COLUMNS}"), query);
        newest_first(&mut sql, after, limit);
        let rows: Vec<Row> = sql.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(document).collect::<Result<_, _>>()?)
    }

    async fn count(&self, query: &Query) -> Result<i64, Error> {
        if query.patients.is_empty() {
            return Ok(0);
        }
        let mut sql = bounded("SELECT COUNT(*)", query);
        let (count,) = sql.build_query_as().fetch_one(&self.pools.read).await?;
        Ok(count)
    }

    async fn report(
        &self,
        id: &DocumentId,
        succeeded: bool,
        attempt: Option<&Attempt>,
        now_us: i64,
    ) -> Result<Liveness, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let stored = find(&mut tx, id, LOCK).await?.ok_or(Error::DocumentUnknown)?;
        if replayed(&mut tx, attempt).await?.is_some() {
            return Ok(stored.liveness);
        }
        let (liveness, failures) = domain::after_retrieval(stored.failures, succeeded);
        sqlx::query("UPDATE document SET liveness = $2, failures = $3 WHERE document_id = $1")
            .bind(id.to_string())
            .bind(i64::from(liveness as i32))
            .bind(failures)
            .execute(&mut *tx)
            .await?;
        keep_response(&mut tx, attempt, &[], now_us).await?;
        tx.commit().await?;
        Ok(liveness)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    /// Returns the plan of a statement, one step a line.
    async fn plan(store: &SqlStore, mut sql: QueryBuilder<Db>) -> String {
        let rows = sql.build().fetch_all(&store.pools.read).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(row.len() - 1) + "\n").collect()
    }

    #[tokio::test]
    async fn every_read_uses_an_index() {
        let Some(store) = scratch().await else { return };
        let patient = |n: usize| RecordRef::new("north".parse().unwrap(), &n.to_string()).unwrap();
        let pointers: Vec<_> = (0..3000)
            .map(|n| Pointer {
                patient: patient(n % 1000),
                unique_id: n.to_string(),
                type_code: "34133-9".into(),
                class_code: String::new(),
                created_us: n as i64,
                sha256: vec![7; 32],
                facts: vec![],
            })
            .collect();
        for batch in pointers.chunks(250) {
            store.register(batch, 1).await.unwrap();
        }
        sqlx::query("ANALYZE").execute(&store.pools.write).await.unwrap();

        let patients = vec![patient(1), patient(2), patient(3)];
        let query = Query { patients, statuses: vec![DocumentStatus::Current], ..Query::default() };
        let mut search = bounded(&format!("{EXPLAIN} SELECT {COLUMNS}"), &query);
        newest_first(&mut search, Some(&Position { created_us: 5, id: DocumentId::generate() }), 10);
        let count = bounded(&format!("{EXPLAIN} SELECT COUNT(*)"), &query);
        for sql in [search, count] {
            let plan = plan(&store, sql).await;
            assert!(plan.contains("document_record") && !plan.contains(FULL_SCAN), "{plan}");
        }
        let mut get =
            QueryBuilder::new(format!("{EXPLAIN} SELECT {COLUMNS} FROM document WHERE document_id = "));
        get.push_bind("x");
        let plan = plan(&store, get).await;
        assert!(plan.contains(PRIMARY) && !plan.contains(FULL_SCAN), "{plan}");
    }
}
