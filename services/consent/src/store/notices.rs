// Notices; included by `sqlite` and by `postgres`.

use signpost_common::id::NoticeId;
use signpost_proto::consent::v1::NoticeKind;

use super::notice::Notices;
use crate::domain::notice::{Notice, Party};

/// Rows of one statement.
const NOTICES_AT_ONCE: usize = 256;

/// Most sessions that are told of in one transaction.
const OVERDUE_AT_ONCE: i64 = 100;

const NOTICE: &str =
    "SELECT notice_id, member_id, local_id, kind, actor_member, actor_user, session_id, document_id,
           created_at, acknowledged_at
    FROM notice";

#[derive(sqlx::FromRow)]
struct NoticeRow {
    notice_id: String,
    member_id: String,
    local_id: String,
    kind: i64,
    actor_member: String,
    actor_user: String,
    session_id: String,
    document_id: String,
    created_at: i64,
    acknowledged_at: Option<i64>,
}

/// Returns the member and the local id of a party; the operator has neither.
fn columns_of(party: &Party) -> (String, String) {
    match party {
        Party::Patient(record) => (record.member_id.to_string(), record.local_id().to_owned()),
        Party::Member(member) => (member.to_string(), String::new()),
        Party::Operator => (String::new(), String::new()),
    }
}

impl TryFrom<NoticeRow> for Notice {
    type Error = db::Error;

    fn try_from(row: NoticeRow) -> Result<Self, db::Error> {
        let corrupt = || db::Error::Corrupt("notice");
        let member = |text: &str| text.parse::<MemberId>().map_err(|_| corrupt());
        let party = match (row.member_id.as_str(), row.local_id.as_str()) {
            ("", _) => Party::Operator,
            (id, "") => Party::Member(member(id)?),
            (id, local) => Party::Patient(RecordRef::new(member(id)?, local).map_err(|_| corrupt())?),
        };
        fn id<T: std::str::FromStr>(text: &str) -> Result<Option<T>, db::Error> {
            let read = (!text.is_empty()).then(|| text.parse().map_err(|_| db::Error::Corrupt("notice")));
            read.transpose()
        }
        Ok(Self {
            id: row.notice_id.parse().map_err(|_| corrupt())?,
            party,
            kind: number::<NoticeKind>(row.kind).ok_or_else(corrupt)?,
            member_id: member(&row.actor_member)?,
            user: row.actor_user,
            session: id(&row.session_id)?,
            document: id(&row.document_id)?,
            created_us: row.created_at,
            acknowledged_us: row.acknowledged_at,
        })
    }
}

async fn insert_notices(c: &mut Connection, notices: &[Notice]) -> Result<(), Error> {
    for notices in notices.chunks(NOTICES_AT_ONCE) {
        let mut query = QueryBuilder::<Db>::new(
            "INSERT INTO notice (notice_id, member_id, local_id, kind, actor_member, actor_user, session_id,
                                 document_id, created_at) ",
        );
        query.push_values(notices, |mut row, notice| {
            let (member_id, local_id) = columns_of(&notice.party);
            row.push_bind(notice.id.to_string()).push_bind(member_id).push_bind(local_id);
            row.push_bind(i64::from(notice.kind as i32)).push_bind(notice.member_id.to_string());
            row.push_bind(notice.user.clone());
            row.push_bind(notice.session.map_or_else(String::new, |id| id.to_string()));
            row.push_bind(notice.document.map_or_else(String::new, |id| id.to_string()));
            row.push_bind(notice.created_us);
        });
        query.build().persistent(false).execute(&mut *c).await?;
    }
    Ok(())
}

#[async_trait]
impl Notices for SqlStore {
    async fn add_notices(&self, notices: &[Notice]) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        insert_notices(&mut tx, notices).await?;
        Ok(tx.commit().await?)
    }

    async fn notices(
        &self,
        party: &Party,
        include_acknowledged: bool,
        below: Option<NoticeId>,
        limit: i64,
    ) -> Result<Vec<Notice>, Error> {
        let (member_id, local_id) = columns_of(party);
        let mut query = QueryBuilder::<Db>::new(NOTICE);
        query.push(" WHERE member_id = ").push_bind(member_id).push(" AND local_id = ").push_bind(local_id);
        if let Some(below) = below {
            query.push(" AND notice_id < ").push_bind(below.to_string());
        }
        if !include_acknowledged {
            query.push(" AND acknowledged_at IS NULL");
        }
        query.push(" ORDER BY notice_id DESC LIMIT ").push_bind(limit);
        let rows: Vec<NoticeRow> = query.build_query_as().fetch_all(&self.pools.read).await?;
        Ok(rows.into_iter().map(Notice::try_from).collect::<Result<_, _>>()?)
    }

    async fn acknowledge(&self, party: &Party, id: NoticeId, now_us: i64) -> Result<Notice, Error> {
        let (member_id, local_id) = columns_of(party);
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        sqlx::query(
            "UPDATE notice SET acknowledged_at = $4
             WHERE notice_id = $1 AND member_id = $2 AND local_id = $3 AND acknowledged_at IS NULL",
        )
        .bind(id.to_string())
        .bind(&member_id)
        .bind(&local_id)
        .bind(now_us)
        .execute(&mut *tx)
        .await?;
        let mut query = QueryBuilder::<Db>::new(NOTICE);
        query.push(" WHERE notice_id = ").push_bind(id.to_string());
        query.push(" AND member_id = ").push_bind(member_id).push(" AND local_id = ").push_bind(local_id);
        let row: Option<NoticeRow> = query.build_query_as().fetch_optional(&mut *tx).await?;
        let notice = Notice::try_from(row.ok_or(Error::NoticeUnknown)?)?;
        tx.commit().await?;
        Ok(notice)
    }

    async fn escalate(&self, now_us: i64) -> Result<usize, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let mut query = QueryBuilder::<Db>::new("UPDATE emergency_session SET escalated_at = ");
        query.push_bind(now_us);
        query.push(" WHERE escalated_at IS NULL AND session_id IN (SELECT session_id FROM emergency_session");
        query
            .push(" WHERE review_outcome = 0 AND escalated_at IS NULL AND review_due_at <= ")
            .push_bind(now_us);
        query.push(" LIMIT ").push_bind(OVERDUE_AT_ONCE).push(") RETURNING ").push(SESSION);
        let rows: Vec<SessionRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let sessions = rows.into_iter().map(Session::try_from).collect::<Result<Vec<_>, _>>()?;
        let notices: Vec<Notice> =
            sessions.iter().flat_map(|session| Notice::overdue(session, now_us)).collect();
        insert_notices(&mut tx, &notices).await?;
        tx.commit().await?;
        Ok(sessions.len())
    }
}
