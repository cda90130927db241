// Policies and past decisions; included by `sqlite` and by `postgres`.

use signpost_common::{hash, id::DecisionId};

use super::policy::{Activation, Actor, Draft, Kept, Policies, StoredPolicy};
use crate::kept;

const POLICY: &str = "SELECT p.version, p.number, p.summary, p.source, p.sha256, p.drafted_at, p.drafted_by,
           a.sequence, a.activated_at, a.activated_by,
           COALESCE(a.sequence = (SELECT MAX(sequence) FROM policy_activation), FALSE) AS active
    FROM policy_version p LEFT JOIN policy_activation a
      ON a.sequence = (SELECT MAX(last.sequence) FROM policy_activation last WHERE last.version = p.version)";

#[derive(sqlx::FromRow)]
struct PolicyRow {
    version: String,
    number: i64,
    summary: String,
    source: String,
    sha256: Vec<u8>,
    drafted_at: i64,
    drafted_by: String,
    sequence: Option<i64>,
    activated_at: Option<i64>,
    activated_by: Option<String>,
    active: bool,
}

impl From<PolicyRow> for StoredPolicy {
    fn from(row: PolicyRow) -> Self {
        let activated = match (row.sequence, row.activated_at, row.activated_by) {
            (Some(sequence), Some(at_us), Some(by)) => Some(Activation { sequence, at_us, by }),
            _ => None,
        };
        Self {
            version: row.version,
            number: row.number,
            summary: row.summary,
            source: row.source,
            sha256: row.sha256,
            drafted_us: row.drafted_at,
            drafted_by: row.drafted_by,
            activated,
            active: row.active,
        }
    }
}

async fn find_policy(c: &mut Connection, version: &str) -> Result<Option<StoredPolicy>, Error> {
    let mut query = QueryBuilder::<Db>::new(POLICY);
    query.push(" WHERE p.version = ").push_bind(version.to_owned());
    let row: Option<PolicyRow> = query.build_query_as().fetch_optional(c).await?;
    Ok(row.map(Into::into))
}

async fn is_in_force(c: &mut Connection, version: &str) -> Result<(i64, bool), Error> {
    let last: Option<(i64, String)> =
        sqlx::query_as("SELECT sequence, version FROM policy_activation ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(c)
            .await?;
    Ok(last.map_or((0, false), |(sequence, last)| (sequence, last == version)))
}

/// Two that do the same at once violate a key, and one of them tries again.
fn at_once(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => Error::PolicyBusy,
        _ => error.into(),
    }
}

#[async_trait]
impl Policies for SqlStore {
    async fn draft_policy(
        &self,
        draft: &Draft,
        actor: &Actor,
        attempt: Option<&Attempt>,
    ) -> Result<StoredPolicy, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let sha256 = hash::sha256(draft.source.as_bytes()).to_vec();
        let known: Option<(String,)> = sqlx::query_as("SELECT version FROM policy_version WHERE sha256 = $1")
            .bind(&sha256)
            .fetch_optional(&mut *tx)
            .await?;
        let known = match replayed_id(&mut tx, attempt).await? {
            Some(version) => Some(version),
            None => known.map(|(version,)| version),
        };
        if let Some(version) = known {
            return find_policy(&mut tx, &version).await?.ok_or(Error::PolicyUnknown);
        }
        let (number,): (i64,) = sqlx::query_as("SELECT COALESCE(MAX(number), 0) + 1 FROM policy_version")
            .fetch_one(&mut *tx)
            .await?;
        let version = format!("{}@{number}", draft.name);
        sqlx::query(
            "INSERT INTO policy_version (version, number, summary, source, sha256, drafted_at, drafted_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&version)
        .bind(number)
        .bind(&draft.summary)
        .bind(&draft.source)
        .bind(&sha256)
        .bind(actor.now_us)
        .bind(&actor.by)
        .execute(&mut *tx)
        .await
        .map_err(at_once)?;
        keep_response(&mut tx, attempt, version.as_bytes(), actor.now_us).await?;
        let stored = find_policy(&mut tx, &version).await?.ok_or(Error::PolicyUnknown)?;
        tx.commit().await?;
        Ok(stored)
    }

    async fn policy(&self, version: &str) -> Result<Option<StoredPolicy>, Error> {
        find_policy(&mut *self.pools.read.acquire().await?, version).await
    }

    async fn policies(&self, below: i64, limit: i64) -> Result<Vec<StoredPolicy>, Error> {
        let mut query = QueryBuilder::<Db>::new(POLICY);
        query.push(" WHERE p.number < ").push_bind(below);
        query.push(" ORDER BY p.number DESC LIMIT ").push_bind(limit);
        let rows: Vec<PolicyRow> = query.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn activated(&self, sequence: Option<i64>) -> Result<Option<StoredPolicy>, Error> {
        let mut c = self.pools.read.acquire().await?;
        let version: Option<(String,)> = sqlx::query_as(
            "SELECT version FROM policy_activation
             WHERE sequence = COALESCE($1, (SELECT MAX(sequence) FROM policy_activation))",
        )
        .bind(sequence)
        .fetch_optional(&mut *c)
        .await?;
        match version {
            Some((version,)) => find_policy(&mut c, &version).await,
            None => Ok(None),
        }
    }

    async fn activate(
        &self,
        version: &str,
        actor: &Actor,
        attempt: Option<&Attempt>,
    ) -> Result<StoredPolicy, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        // What an earlier attempt did stands, whatever was activated since.
        if let Some(version) = replayed_id(&mut tx, attempt).await? {
            return find_policy(&mut tx, &version).await?.ok_or(Error::PolicyUnknown);
        }
        find_policy(&mut tx, version).await?.ok_or(Error::PolicyUnknown)?;
        let (last, in_force) = is_in_force(&mut tx, version).await?;
        if !in_force {
            sqlx::query(
                "INSERT INTO policy_activation (sequence, version, activated_at, activated_by)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(last + 1)
            .bind(version)
            .bind(actor.now_us)
            .bind(&actor.by)
            .execute(&mut *tx)
            .await
            .map_err(at_once)?;
        }
        keep_response(&mut tx, attempt, version.as_bytes(), actor.now_us).await?;
        let stored = find_policy(&mut tx, version).await?.ok_or(Error::PolicyUnknown)?;
        tx.commit().await?;
        Ok(stored)
    }

    async fn previous(&self) -> Result<Option<String>, Error> {
        let before: Option<(String,)> =
            sqlx::query_as("SELECT version FROM policy_activation ORDER BY sequence DESC LIMIT 1 OFFSET 1")
                .fetch_optional(&self.pools.read)
                .await?;
        Ok(before.map(|(version,)| version))
    }

    async fn keep_decisions(&self, decisions: &[Kept]) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        for decisions in decisions.chunks(DECISIONS_AT_ONCE) {
            let mut query =
                QueryBuilder::<Db>::new("INSERT INTO decision (decision_id, decided_at, payload) ");
            query.push_values(decisions, |mut row, kept| {
                row.push_bind(kept.id.to_string()).push_bind(kept.request.now_us);
                row.push_bind(kept::encode(kept));
            });
            query.build().persistent(false).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<Kept>, Error> {
        let row: Option<(String, Vec<u8>)> =
            sqlx::query_as("SELECT decision_id, payload FROM decision WHERE decision_id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pools.read)
                .await?;
        Ok(row.map(read_decision).transpose()?)
    }

    async fn decisions(
        &self,
        since_us: i64,
        below: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Kept>, Error> {
        let mut query = decisions_query("", since_us, below, limit);
        let rows: Vec<(String, Vec<u8>)> = query.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(read_decision).collect::<Result<_, _>>()?)
    }

    async fn keep_shipped(&self, version: &str, source: &str) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO policy_shipped (version, source) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING",
        )
        .bind(version)
        .bind(source)
        .execute(&self.pools.write)
        .await?;
        Ok(())
    }

    async fn shipped(&self, version: &str) -> Result<Option<String>, Error> {
        let row: Option<(String,)> = sqlx::query_as("SELECT source FROM policy_shipped WHERE version = $1")
            .bind(version)
            .fetch_optional(&self.pools.read)
            .await?;
        Ok(row.map(|(source,)| source))
    }

    async fn forget(&self, before_us: i64) -> Result<u64, Error> {
        let mut forgotten = 0;
        for (table, id, time) in
            [("decision", "decision_id", "decided_at"), ("notice", "notice_id", "acknowledged_at")]
        {
            let mut query = forget_query("", table, id, time, before_us);
            forgotten += query.build().execute(&self.pools.write).await?.rows_affected();
        }
        Ok(forgotten)
    }

    async fn directives_of(&self, ids: &[DirectiveId]) -> Result<Vec<Directive>, Error> {
        let mut found = vec![];
        for ids in ids.chunks(DECISIONS_AT_ONCE) {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query.push(DIRECTIVE).push(" FROM directive WHERE directive_id IN (");
            let mut list = query.separated(", ");
            ids.iter().for_each(|id| {
                list.push_bind(id.to_string());
            });
            query.push(")");
            let rows: Vec<DirectiveRow> =
                query.build_query_as().persistent(false).fetch_all(&self.pools.read).await?;
            for row in rows {
                found.push(Directive::try_from(row)?);
            }
        }
        Ok(found)
    }
}

fn decisions_query(explain: &str, since_us: i64, below: Option<&Position>, limit: i64) -> QueryBuilder<Db> {
    let (decided_us, id) = below.cloned().unwrap_or((i64::MAX, String::new()));
    let mut query = QueryBuilder::new(explain);
    query.push("SELECT decision_id, payload FROM decision WHERE decided_at >= ").push_bind(since_us);
    query.push(" AND (decided_at, decision_id) < (").push_bind(decided_us).push(", ").push_bind(id);
    query.push(") ORDER BY decided_at DESC, decision_id DESC LIMIT ").push_bind(limit);
    query
}

fn forget_query(explain: &str, table: &str, id: &str, time: &str, before_us: i64) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(explain);
    query.push("DELETE FROM ").push(table).push(" WHERE ").push(id).push(" IN (SELECT ").push(id);
    query.push(" FROM ").push(table).push(" WHERE ").push(time).push(" < ").push_bind(before_us);
    query.push(" ORDER BY ").push(time).push(" LIMIT ").push_bind(FORGOTTEN_AT_ONCE).push(")");
    query
}

/// Rows of one statement.
const DECISIONS_AT_ONCE: usize = 256;

/// Most rows of a table that are forgotten in one statement.
const FORGOTTEN_AT_ONCE: i64 = 1000;

fn read_decision((id, payload): (String, Vec<u8>)) -> Result<Kept, db::Error> {
    let corrupt = || db::Error::Corrupt("decision");
    kept::decode(id.parse().map_err(|_| corrupt())?, &payload).ok_or_else(corrupt)
}
