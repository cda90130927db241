// The one SQL text; included by `sqlite` and by `postgres`.

use async_trait::async_trait;
use signpost_common::{
    db::{self, Attempt, shelf::Shelf},
    id::{DirectiveId, MemberId, RecordRef, SessionId},
};
use signpost_proto::consent::v1::{EmergencyReason, ReviewOutcome};
use sqlx::QueryBuilder;

use super::{Epoch, Error, Position, STANDING_MAX, Store};
use crate::{
    convert,
    domain::{Directive, Effect, Grantor, Matcher, Session, Signature, Validity, session::Review},
};

type Connection = <Db as sqlx::Database>::Connection;

/// Keeps directives and emergency sessions in a database.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
    shelf: Shelf<Db>,
}

impl SqlStore {
    /// Keeps them in this one.
    pub fn new(pools: Pools) -> Self {
        Self { shelf: Shelf::new(pools.read.clone()), pools }
    }
}

const DIRECTIVE: &str = "directive_id, member_id, local_id, effect, overridable, payload, valid_from, valid_to, \
                         created_at, created_by, revoked_at, grantor, statement, public_key, signature";

#[derive(sqlx::FromRow)]
struct DirectiveRow {
    directive_id: String,
    member_id: String,
    local_id: String,
    effect: i64,
    overridable: i64,
    payload: Vec<u8>,
    valid_from: Option<i64>,
    valid_to: Option<i64>,
    created_at: i64,
    created_by: String,
    revoked_at: Option<i64>,
    grantor: i64,
    statement: Option<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

const DAY_US: i64 = 24 * 3600 * 1_000_000;

// As in the contract.
const PERMIT: i64 = 1;
const DENY: i64 = 2;
const PATIENT: i64 = 1;
const REPRESENTATIVE: i64 = 2;

impl TryFrom<DirectiveRow> for Directive {
    type Error = db::Error;

    fn try_from(row: DirectiveRow) -> Result<Self, db::Error> {
        let corrupt = || db::Error::Corrupt("directive");
        let member_id = row.member_id.parse().map_err(|_| corrupt())?;
        let (matcher, exceptions) = convert::from_payload(&row.payload).ok_or_else(corrupt)?;
        Ok(Self {
            id: row.directive_id.parse().map_err(|_| corrupt())?,
            patient: RecordRef::new(member_id, &row.local_id).map_err(|_| corrupt())?,
            effect: match row.effect {
                PERMIT => Effect::Permit,
                DENY => Effect::Deny,
                _ => return Err(corrupt()),
            },
            matcher,
            exceptions,
            overridable: row.overridable != 0,
            validity: Validity { from_us: row.valid_from, to_us: row.valid_to, revoked_us: row.revoked_at },
            created_us: row.created_at,
            created_by: row.created_by,
            grantor: match row.grantor {
                PATIENT => Grantor::Patient,
                REPRESENTATIVE => Grantor::Representative,
                _ => return Err(corrupt()),
            },
            signature: match (row.statement, row.public_key, row.signature) {
                (Some(statement), Some(public_key), Some(signature)) => {
                    Some(Signature { statement, public_key, signature })
                }
                _ => None,
            },
        })
    }
}

const SESSION: &str = "session_id, person_id, member_id, user_name, reason, reason_text, opened_at, expires_at, \
                       closed_at, review_due_at, review_outcome, review_note, reviewed_by, scope, follow_up";

#[derive(sqlx::FromRow)]
struct SessionRow {
    session_id: String,
    person_id: String,
    member_id: String,
    user_name: String,
    reason: i64,
    reason_text: String,
    opened_at: i64,
    expires_at: i64,
    closed_at: Option<i64>,
    review_due_at: i64,
    review_outcome: i64,
    review_note: String,
    reviewed_by: String,
    scope: Option<Vec<u8>>,
    follow_up: String,
}

fn number<T: TryFrom<i32>>(value: i64) -> Option<T> {
    i32::try_from(value).ok().and_then(|v| T::try_from(v).ok())
}

impl TryFrom<SessionRow> for Session {
    type Error = db::Error;

    fn try_from(row: SessionRow) -> Result<Self, db::Error> {
        let corrupt = || db::Error::Corrupt("emergency session");
        let review = match number::<ReviewOutcome>(row.review_outcome).ok_or_else(corrupt)? {
            ReviewOutcome::Unspecified => None,
            outcome => {
                let (note, follow_up, by) = (row.review_note, row.follow_up, row.reviewed_by);
                Some(Review { outcome, note, follow_up, by })
            }
        };
        Ok(Self {
            id: row.session_id.parse().map_err(|_| corrupt())?,
            person_id: row.person_id.parse().map_err(|_| corrupt())?,
            member_id: row.member_id.parse().map_err(|_| corrupt())?,
            user: row.user_name,
            reason: number::<EmergencyReason>(row.reason).ok_or_else(corrupt)?,
            reason_text: row.reason_text,
            scope: match row.scope {
                None => Matcher::default(),
                Some(scope) => convert::from_payload(&scope).map(|(scope, _)| scope).ok_or_else(corrupt)?,
            },
            opened_us: row.opened_at,
            expires_us: row.expires_at,
            closed_us: row.closed_at,
            review_due_us: row.review_due_at,
            review,
        })
    }
}

/// Begins a query with `asked`, a table of the records it is about.
fn about(explain: &str, records: &[RecordRef]) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(explain);
    query.push("WITH asked (asked_member, asked_local) AS (");
    query.push_values(records, |mut row, record| {
        row.push_bind(record.member_id.as_str().to_owned()).push_bind(record.local_id().to_owned());
    });
    query.push(") ");
    query
}

fn standing_query(explain: &str, records: &[RecordRef], now_us: i64) -> QueryBuilder<Db> {
    let mut query = about(explain, records);
    query.push("SELECT ").push(DIRECTIVE);
    query.push(" FROM asked JOIN directive ON member_id = asked_member AND local_id = asked_local");
    query.push(" WHERE revoked_at IS NULL AND (valid_to IS NULL OR valid_to > ").push_bind(now_us).push(")");
    query
}

fn epoch_query(explain: &str, records: &[RecordRef]) -> QueryBuilder<Db> {
    let mut query = about(explain, records);
    query.push("SELECT CAST(COALESCE(SUM(epoch), 0) AS BIGINT), ");
    query.push("(SELECT COALESCE(MAX(sequence), 0) FROM policy_activation)");
    query.push(" FROM asked JOIN patient_epoch ON member_id = asked_member AND local_id = asked_local");
    query
}

async fn find_directive(c: &mut Connection, id: &str) -> Result<Option<Directive>, Error> {
    let mut query = QueryBuilder::<Db>::new("SELECT ");
    query.push(DIRECTIVE).push(" FROM directive WHERE directive_id = ").push_bind(id.to_owned());
    let row: Option<DirectiveRow> = query.build_query_as().fetch_optional(c).await?;
    Ok(row.map(Directive::try_from).transpose()?)
}

async fn find_session(c: &mut Connection, id: &str) -> Result<Option<Session>, Error> {
    let mut query = QueryBuilder::<Db>::new("SELECT ");
    query.push(SESSION).push(" FROM emergency_session WHERE session_id = ").push_bind(id.to_owned());
    let row: Option<SessionRow> = query.build_query_as().fetch_optional(c).await?;
    Ok(row.map(Session::try_from).transpose()?)
}

/// Returns the id that the response to an earlier attempt consists of.
async fn replayed_id(c: &mut Connection, attempt: Option<&Attempt>) -> Result<Option<String>, Error> {
    let response = replayed(c, attempt).await?;
    Ok(response.map(String::from_utf8).transpose().map_err(|_| db::Error::Corrupt("response"))?)
}

/// Counts the epoch of a patient's record up, and holds its row: whoever else changes directives of that record waits.
async fn bump_epoch(c: &mut Connection, patient: &RecordRef) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO patient_epoch (member_id, local_id, epoch) VALUES ($1, $2, 1)
         ON CONFLICT (member_id, local_id) DO UPDATE SET epoch = patient_epoch.epoch + 1",
    )
    .bind(patient.member_id.as_str())
    .bind(patient.local_id())
    .execute(c)
    .await?;
    Ok(())
}

async fn insert_directive(c: &mut Connection, new: &Directive) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO directive (directive_id, member_id, local_id, effect, overridable, payload, valid_from,
                                valid_to, created_at, created_by, grantor, statement, public_key, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(new.id.to_string())
    .bind(new.patient.member_id.as_str())
    .bind(new.patient.local_id())
    .bind(match new.effect {
        Effect::Permit => PERMIT,
        Effect::Deny => DENY,
    })
    .bind(i64::from(new.overridable))
    .bind(convert::payload(&new.matcher, &new.exceptions))
    .bind(new.validity.from_us)
    .bind(new.validity.to_us)
    .bind(new.created_us)
    .bind(&new.created_by)
    .bind(match new.grantor {
        Grantor::Patient => PATIENT,
        Grantor::Representative => REPRESENTATIVE,
    })
    .bind(new.signature.as_ref().map(|signed| &signed.statement))
    .bind(new.signature.as_ref().map(|signed| &signed.public_key))
    .bind(new.signature.as_ref().map(|signed| &signed.signature))
    .execute(c)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => Error::SignatureUsed,
        _ => error.into(),
    })?;
    Ok(())
}

/// Keeps other openings of the user of a session waiting until the end of the transaction.
async fn hold_user(c: &mut Connection, session: &Session) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO emergency_lock (member_id, user_name, openings) VALUES ($1, $2, 1)
         ON CONFLICT (member_id, user_name) DO UPDATE SET openings = emergency_lock.openings + 1",
    )
    .bind(session.member_id.as_str())
    .bind(&session.user)
    .execute(c)
    .await?;
    Ok(())
}

async fn may_open(c: &mut Connection, session: &Session, per_day: u32) -> Result<bool, Error> {
    let (opened,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM emergency_session WHERE member_id = $1 AND user_name = $2 AND opened_at > $3",
    )
    .bind(session.member_id.as_str())
    .bind(&session.user)
    .bind(session.opened_us - DAY_US)
    .fetch_one(c)
    .await?;
    Ok(per_day == 0 || opened < i64::from(per_day))
}

async fn insert_session(c: &mut Connection, new: &Session) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO emergency_session (session_id, person_id, member_id, user_name, reason, reason_text, opened_at,
                                        expires_at, review_due_at, review_outcome, review_note, reviewed_by, scope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '', '', $10)",
    )
    .bind(new.id.to_string())
    .bind(new.person_id.to_string())
    .bind(new.member_id.as_str())
    .bind(&new.user)
    .bind(i64::from(new.reason as i32))
    .bind(&new.reason_text)
    .bind(new.opened_us)
    .bind(new.expires_us)
    .bind(new.review_due_us)
    .bind((!new.scope.is_everything()).then(|| convert::payload(&new.scope, &[])))
    .execute(c)
    .await?;
    Ok(())
}

async fn close(c: &mut Connection, id: &str, now_us: i64) -> Result<(), Error> {
    sqlx::query(
        "UPDATE emergency_session SET closed_at = $2
         WHERE session_id = $1 AND closed_at IS NULL AND expires_at > $2",
    )
    .bind(id)
    .bind(now_us)
    .execute(c)
    .await?;
    Ok(())
}

#[async_trait]
impl Store for SqlStore {
    async fn replayed(&self, attempt: &Attempt) -> Result<Option<String>, Error> {
        replayed_id(&mut *self.pools.read.acquire().await?, Some(attempt)).await
    }

    async fn create_directive(
        &self,
        directive: &Directive,
        attempt: Option<&Attempt>,
    ) -> Result<Directive, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(id) = replayed_id(&mut tx, attempt).await? {
            return find_directive(&mut tx, &id).await?.ok_or(Error::DirectiveUnknown);
        }
        bump_epoch(&mut tx, &directive.patient).await?;
        let (standing,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM directive WHERE member_id = $1 AND local_id = $2 AND revoked_at IS NULL
             AND (valid_to IS NULL OR valid_to > $3)",
        )
        .bind(directive.patient.member_id.as_str())
        .bind(directive.patient.local_id())
        .bind(directive.created_us)
        .fetch_one(&mut *tx)
        .await?;
        if standing >= STANDING_MAX {
            return Err(Error::TooManyDirectives);
        }
        insert_directive(&mut tx, directive).await?;
        let id = directive.id.to_string();
        keep_response(&mut tx, attempt, id.as_bytes(), directive.created_us).await?;
        tx.commit().await?;
        Ok(directive.clone())
    }

    async fn directive(&self, id: DirectiveId) -> Result<Option<Directive>, Error> {
        find_directive(&mut *self.pools.read.acquire().await?, &id.to_string()).await
    }

    async fn directives(
        &self,
        patient: &RecordRef,
        before: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Directive>, Error> {
        let mut query = QueryBuilder::<Db>::new("SELECT ");
        query.push(DIRECTIVE).push(" FROM directive WHERE member_id = ");
        query.push_bind(patient.member_id.as_str().to_owned());
        query.push(" AND local_id = ").push_bind(patient.local_id().to_owned());
        if let Some((created_us, id)) = before {
            query.push(" AND (created_at, directive_id) < (").push_bind(*created_us);
            query.push(", ").push_bind(id.clone()).push(")");
        }
        query.push(" ORDER BY created_at DESC, directive_id DESC LIMIT ").push_bind(limit);
        let rows: Vec<DirectiveRow> = query.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(Directive::try_from).collect::<Result<_, _>>()?)
    }

    async fn revoke_directive(&self, id: DirectiveId, now_us: i64) -> Result<Directive, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let revoke = "UPDATE directive SET revoked_at = $2 WHERE directive_id = $1 AND revoked_at IS NULL";
        let done = sqlx::query(revoke).bind(id.to_string()).bind(now_us).execute(&mut *tx).await?;
        let directive = find_directive(&mut tx, &id.to_string()).await?.ok_or(Error::DirectiveUnknown)?;
        if done.rows_affected() > 0 {
            bump_epoch(&mut tx, &directive.patient).await?;
        }
        tx.commit().await?;
        Ok(directive)
    }

    async fn epoch(&self, records: &[RecordRef]) -> Result<Epoch, Error> {
        let mut c = self.shelf.take().await?;
        let (directives, policy) = epoch_query("", records).build_query_as().fetch_one(&mut *c).await?;
        self.shelf.keep(c);
        Ok(Epoch { directives, policy })
    }

    async fn standing(&self, records: &[RecordRef], now_us: i64) -> Result<Vec<Directive>, Error> {
        let mut query = standing_query("", records, now_us);
        let mut c = self.shelf.take().await?;
        let rows: Vec<DirectiveRow> = query.build_query_as().fetch_all(&mut *c).await?;
        self.shelf.keep(c);
        Ok(rows.into_iter().map(Directive::try_from).collect::<Result<_, _>>()?)
    }

    async fn may_open(&self, session: &Session, per_day: u32) -> Result<bool, Error> {
        may_open(&mut *self.pools.read.acquire().await?, session, per_day).await
    }

    async fn open_session(
        &self,
        session: &Session,
        notices: &[Notice],
        per_day: u32,
        attempt: Option<&Attempt>,
    ) -> Result<Session, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        if let Some(id) = replayed_id(&mut tx, attempt).await? {
            return find_session(&mut tx, &id).await?.ok_or(Error::SessionUnknown);
        }
        hold_user(&mut tx, session).await?;
        if !may_open(&mut tx, session, per_day).await? {
            return Err(Error::EmergencyQuota(per_day));
        }
        insert_session(&mut tx, session).await?;
        insert_notices(&mut tx, notices).await?;
        keep_response(&mut tx, attempt, session.id.to_string().as_bytes(), session.opened_us).await?;
        tx.commit().await?;
        Ok(session.clone())
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, Error> {
        find_session(&mut *self.pools.read.acquire().await?, &id.to_string()).await
    }

    async fn close_session(&self, id: SessionId, now_us: i64) -> Result<Session, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        close(&mut tx, &id.to_string(), now_us).await?;
        let session = find_session(&mut tx, &id.to_string()).await?.ok_or(Error::SessionUnknown)?;
        tx.commit().await?;
        Ok(session)
    }

    async fn sessions(
        &self,
        member_id: Option<&MemberId>,
        include_completed: bool,
        after: Option<&Position>,
        limit: i64,
    ) -> Result<Vec<Session>, Error> {
        let (opened_us, id) = after.cloned().unwrap_or((i64::MIN, String::new()));
        let mut query = QueryBuilder::<Db>::new("SELECT ");
        query.push(SESSION).push(" FROM emergency_session WHERE (opened_at, session_id) > (");
        query.push_bind(opened_us).push(", ").push_bind(id).push(")");
        if let Some(member_id) = member_id {
            query.push(" AND member_id = ").push_bind(member_id.as_str().to_owned());
        }
        if !include_completed {
            query.push(" AND review_outcome = 0");
        }
        query.push(" ORDER BY opened_at, session_id LIMIT ").push_bind(limit);
        let rows: Vec<SessionRow> = query.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(Session::try_from).collect::<Result<_, _>>()?)
    }

    async fn review_session(&self, id: SessionId, review: &Review, now_us: i64) -> Result<Session, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        sqlx::query(
            "UPDATE emergency_session SET review_outcome = $2, review_note = $3, reviewed_by = $4,
                                          follow_up = $5
             WHERE session_id = $1 AND review_outcome = 0",
        )
        .bind(id.to_string())
        .bind(i64::from(review.outcome as i32))
        .bind(&review.note)
        .bind(&review.by)
        .bind(&review.follow_up)
        .execute(&mut *tx)
        .await?;
        close(&mut tx, &id.to_string(), now_us).await?;
        let session = find_session(&mut tx, &id.to_string()).await?.ok_or(Error::SessionUnknown)?;
        if session.review.as_ref().is_none_or(|found| found != review) {
            return Err(Error::ReviewCompleted);
        }
        tx.commit().await?;
        Ok(session)
    }
}

#[cfg(test)]
fn record(member_id: &str, local_id: &str) -> RecordRef {
    RecordRef::new(member_id.parse().unwrap(), local_id).unwrap()
}
