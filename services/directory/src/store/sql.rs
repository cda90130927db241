// The one SQL text; included by `sqlite` and by `postgres`.

use async_trait::async_trait;
use signpost_common::{db, id::MemberId};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{EndpointProtocol, MemberKind, MemberState},
};
use sqlx::Database;

use super::{Error, Store};
use crate::domain::{Certificate, Endpoint, Member, TokenKey};

type Connection = <Db as Database>::Connection;

/// Keeps members in a database.
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

type MemberRow = (String, String, String, i64, i64, i64);

fn number<T: TryFrom<i32>>(value: i64, what: &'static str) -> Result<T, db::Error> {
    i32::try_from(value).ok().and_then(|v| T::try_from(v).ok()).ok_or(db::Error::Corrupt(what))
}

fn fingerprint(bytes: Vec<u8>) -> Result<[u8; 32], db::Error> {
    bytes.try_into().map_err(|_| db::Error::Corrupt("certificate"))
}

fn bare(row: MemberRow) -> Result<Member, db::Error> {
    let (id, display_name, region, kind, state, created_us) = row;
    Ok(Member {
        id: id.parse().map_err(|_| db::Error::Corrupt("member"))?,
        display_name,
        region,
        kind: number::<MemberKind>(kind, "member kind")?,
        state: number::<MemberState>(state, "member state")?,
        purposes: vec![],
        certificates: vec![],
        token_keys: vec![],
        endpoint: None,
        created_us,
    })
}

async fn find(c: &mut Connection, id: &str) -> Result<Option<Member>, Error> {
    let row: Option<MemberRow> = sqlx::query_as(
        "SELECT member_id, display_name, region, kind, state, created_at FROM member WHERE member_id = $1",
    )
    .bind(id)
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut member = bare(row)?;
    member.purposes = purposes(c, id).await?;
    member.endpoint = endpoint(c, id).await?;
    let rows: Vec<(Vec<u8>, i64, Option<i64>)> = sqlx::query_as(
        "SELECT fingerprint, not_after, revoked_at FROM certificate WHERE member_id = $1 ORDER BY not_after",
    )
    .bind(id)
    .fetch_all(&mut *c)
    .await?;
    for (bytes, not_after_us, revoked_us) in rows {
        let fingerprint = fingerprint(bytes)?;
        member.certificates.push(Certificate { fingerprint, not_after_us, revoked_us });
    }
    let rows: Vec<(String, String, Option<i64>)> =
        sqlx::query_as("SELECT kid, public_key_pem, revoked_at FROM token_key WHERE member_id = $1 ORDER BY kid")
            .bind(id)
            .fetch_all(&mut *c)
            .await?;
    for (kid, public_key_pem, revoked_us) in rows {
        member.token_keys.push(TokenKey { kid, public_key_pem, revoked_us });
    }
    Ok(Some(member))
}

async fn purposes(c: &mut Connection, id: &str) -> Result<Vec<PurposeOfUse>, Error> {
    let rows: Vec<(i64,)> =
        sqlx::query_as("SELECT purpose FROM member_purpose WHERE member_id = $1 ORDER BY purpose")
            .bind(id)
            .fetch_all(c)
            .await?;
    Ok(rows.into_iter().map(|(p,)| number(p, "purpose")).collect::<Result<_, _>>()?)
}

async fn endpoint(c: &mut Connection, id: &str) -> Result<Option<Endpoint>, Error> {
    let row: Option<(String, String, i64)> =
        sqlx::query_as("SELECT uri, tls_server_name, protocol FROM endpoint WHERE member_id = $1")
            .bind(id)
            .fetch_optional(c)
            .await?;
    let Some((uri, tls_server_name, protocol)) = row else { return Ok(None) };
    let protocol = number::<EndpointProtocol>(protocol, "endpoint protocol")?;
    Ok(Some(Endpoint { uri, tls_server_name, protocol }))
}

/// Adds a member; false when the id is taken.
async fn insert_member(c: &mut Connection, member: &Member) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO member (member_id, display_name, region, kind, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (member_id) DO NOTHING",
    )
    .bind(member.id.as_str())
    .bind(&member.display_name)
    .bind(&member.region)
    .bind(i64::from(member.kind as i32))
    .bind(i64::from(member.state as i32))
    .bind(member.created_us)
    .execute(&mut *c)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    replace_purposes(c, &member.id, &member.purposes).await?;
    Ok(true)
}

async fn replace_purposes(c: &mut Connection, id: &MemberId, all: &[PurposeOfUse]) -> Result<(), Error> {
    sqlx::query("DELETE FROM member_purpose WHERE member_id = $1").bind(id.as_str()).execute(&mut *c).await?;
    for purpose in all {
        sqlx::query("INSERT INTO member_purpose (member_id, purpose) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id.as_str())
            .bind(i64::from(*purpose as i32))
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

async fn insert_certificate(c: &mut Connection, id: &MemberId, new: &Certificate) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO certificate (fingerprint, member_id, not_after, revoked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (fingerprint) DO NOTHING",
    )
    .bind(&new.fingerprint[..])
    .bind(id.as_str())
    .bind(new.not_after_us)
    .bind(new.revoked_us)
    .execute(c)
    .await?;
    Ok(())
}

async fn insert_token_key(c: &mut Connection, id: &MemberId, new: &TokenKey) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO token_key (member_id, kid, public_key_pem, revoked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (member_id, kid) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(&new.kid)
    .bind(&new.public_key_pem)
    .bind(new.revoked_us)
    .execute(c)
    .await?;
    Ok(())
}

async fn write_endpoint(c: &mut Connection, id: &MemberId, new: &Endpoint) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO endpoint (member_id, uri, tls_server_name, protocol) VALUES ($1, $2, $3, $4)
         ON CONFLICT (member_id) DO UPDATE SET uri = excluded.uri, tls_server_name = excluded.tls_server_name,
             protocol = excluded.protocol",
    )
    .bind(id.as_str())
    .bind(&new.uri)
    .bind(&new.tls_server_name)
    .bind(i64::from(new.protocol as i32))
    .execute(c)
    .await?;
    Ok(())
}

#[async_trait]
impl Store for SqlStore {
    async fn bootstrap(&self, member: &Member, now_us: i64) -> Result<(), db::Error> {
        let flat = |error| match error {
            Error::Database(error) => error,
            _ => db::Error::Corrupt("member"),
        };
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let new = Member { created_us: now_us, ..member.clone() };
        let created = insert_member(&mut tx, &new).await.map_err(flat)?;
        if let (true, Some(endpoint)) = (created, &member.endpoint) {
            write_endpoint(&mut tx, &member.id, endpoint).await.map_err(flat)?;
        }
        for certificate in &member.certificates {
            insert_certificate(&mut tx, &member.id, certificate).await.map_err(flat)?;
        }
        for key in &member.token_keys {
            insert_token_key(&mut tx, &member.id, key).await.map_err(flat)?;
        }
        Ok(tx.commit().await?)
    }

    async fn create_member(&self, member: &Member) -> Result<Member, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let created = insert_member(&mut tx, member).await?;
        let stored = find(&mut tx, member.id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        let same = |a: &Member, b: &Member| {
            (&a.display_name, &a.region, a.kind, &a.purposes) == (&b.display_name, &b.region, b.kind, &b.purposes)
        };
        if !created && !same(&stored, member) {
            return Err(Error::MemberExists);
        }
        tx.commit().await?;
        Ok(stored)
    }

    async fn member(&self, id: &MemberId) -> Result<Option<Member>, Error> {
        find(&mut *self.pools.read.acquire().await?, id.as_str()).await
    }

    async fn members(&self, after: Option<&str>, limit: i64) -> Result<Vec<Member>, Error> {
        let mut c = self.pools.read.acquire().await?;
        let rows: Vec<MemberRow> = sqlx::query_as(
            "SELECT member_id, display_name, region, kind, state, created_at FROM member
             WHERE member_id > $1 ORDER BY member_id LIMIT $2",
        )
        .bind(after.unwrap_or(""))
        .bind(limit)
        .fetch_all(&mut *c)
        .await?;
        let mut members = Vec::with_capacity(rows.len());
        for row in rows {
            let mut member = bare(row)?;
            member.purposes = purposes(&mut c, member.id.as_str()).await?;
            member.endpoint = endpoint(&mut c, member.id.as_str()).await?;
            members.push(member);
        }
        Ok(members)
    }

    async fn update_member(
        &self,
        id: &MemberId,
        display_name: Option<&str>,
        state: Option<MemberState>,
    ) -> Result<Member, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        sqlx::query(
            "UPDATE member SET display_name = COALESCE($2, display_name), state = COALESCE($3, state)
             WHERE member_id = $1",
        )
        .bind(id.as_str())
        .bind(display_name)
        .bind(state.map(|s| i64::from(s as i32)))
        .execute(&mut *tx)
        .await?;
        let member = find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        tx.commit().await?;
        Ok(member)
    }

    async fn add_certificate(&self, id: &MemberId, new: &Certificate) -> Result<Certificate, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        insert_certificate(&mut tx, id, new).await?;
        let member = find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        tx.commit().await?;
        let mine = member.certificates.into_iter().find(|c| c.fingerprint == new.fingerprint);
        mine.ok_or(Error::CertificateTaken)
    }

    async fn revoke_certificate(
        &self,
        fingerprint: &[u8; 32],
        now_us: i64,
    ) -> Result<(MemberId, Certificate), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let row: Option<(String, i64, Option<i64>)> = sqlx::query_as(
            "UPDATE certificate SET revoked_at = COALESCE(revoked_at, $2) WHERE fingerprint = $1
             RETURNING member_id, not_after, revoked_at",
        )
        .bind(&fingerprint[..])
        .bind(now_us)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let (member_id, not_after_us, revoked_us) = row.ok_or(Error::CertificateUnknown)?;
        let member_id = member_id.parse().map_err(|_| db::Error::Corrupt("member"))?;
        Ok((member_id, Certificate { fingerprint: *fingerprint, not_after_us, revoked_us }))
    }

    async fn add_token_key(&self, id: &MemberId, new: &TokenKey) -> Result<TokenKey, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        insert_token_key(&mut tx, id, new).await?;
        let member = find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        tx.commit().await?;
        let mine = member.token_keys.into_iter().find(|k| k.kid == new.kid);
        mine.filter(|k| k.public_key_pem == new.public_key_pem).ok_or(Error::TokenKeyExists)
    }

    async fn revoke_token_key(&self, id: &MemberId, kid: &str, now_us: i64) -> Result<TokenKey, Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        let row: Option<(String, Option<i64>)> = sqlx::query_as(
            "UPDATE token_key SET revoked_at = COALESCE(revoked_at, $3) WHERE member_id = $1 AND kid = $2
             RETURNING public_key_pem, revoked_at",
        )
        .bind(id.as_str())
        .bind(kid)
        .bind(now_us)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let (public_key_pem, revoked_us) = row.ok_or(Error::TokenKeyUnknown)?;
        Ok(TokenKey { kid: kid.to_owned(), public_key_pem, revoked_us })
    }

    async fn set_endpoint(&self, id: &MemberId, endpoint: Option<&Endpoint>) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        match endpoint {
            Some(endpoint) => write_endpoint(&mut tx, id, endpoint).await?,
            None => {
                let delete = sqlx::query("DELETE FROM endpoint WHERE member_id = $1").bind(id.as_str());
                delete.execute(&mut *tx).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn set_purposes(&self, id: &MemberId, purposes: &[PurposeOfUse]) -> Result<(), Error> {
        let mut tx = self.pools.write.begin_with(BEGIN).await?;
        find(&mut tx, id.as_str()).await?.ok_or(Error::MemberUnknown)?;
        replace_purposes(&mut tx, id, purposes).await?;
        Ok(tx.commit().await?)
    }

    async fn by_certificate(&self, fingerprint: &[u8; 32]) -> Result<Option<Member>, Error> {
        let mut c = self.pools.read.acquire().await?;
        let row: Option<(String,)> = sqlx::query_as("SELECT member_id FROM certificate WHERE fingerprint = $1")
            .bind(&fingerprint[..])
            .fetch_optional(&mut *c)
            .await?;
        match row {
            Some((member_id,)) => find(&mut c, &member_id).await,
            None => Ok(None),
        }
    }
}
