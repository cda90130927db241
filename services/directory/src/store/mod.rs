//! Where members are kept. Every method is one transaction.

use async_trait::async_trait;
use signpost_common::{db, id::MemberId};
use signpost_proto::{common::v1::PurposeOfUse, directory::v1::MemberState};
use sqlx::migrate::Migrator;

use crate::domain::{Certificate, Endpoint, Member, TokenKey};
pub use crate::error::Error;

pub mod postgres;
pub mod sqlite;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/directory/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/directory/postgres");

/// Opens the database of the directory.
pub async fn open(location: &db::Location) -> Result<Box<dyn Store>, db::Error> {
    Ok(match db::open(location, &SQLITE, &POSTGRES).await? {
        db::Database::Sqlite(pools) => Box::new(sqlite::SqlStore::new(pools)),
        db::Database::Postgres(pools) => Box::new(postgres::SqlStore::new(pools)),
    })
}

/// Keeps members.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a member with its certificates, keys and endpoint when it is missing. When it is there, adds the
    /// certificates and keys that are missing and changes nothing else.
    async fn bootstrap(&self, member: &Member, now_us: i64) -> Result<(), db::Error>;

    /// Adds a member: id, name, region, kind, state and purposes. The same again is harmless.
    async fn create_member(&self, member: &Member) -> Result<Member, Error>;

    /// Returns a member.
    async fn member(&self, id: &MemberId) -> Result<Option<Member>, Error>;

    /// Returns members by id, after `after`, without certificates and keys.
    async fn members(&self, after: Option<&str>, limit: i64) -> Result<Vec<Member>, Error>;

    /// Changes name and state where they are given.
    async fn update_member(
        &self,
        id: &MemberId,
        display_name: Option<&str>,
        state: Option<MemberState>,
    ) -> Result<Member, Error>;

    /// Registers a certificate. The same again is harmless; a revoked one stays revoked.
    async fn add_certificate(&self, id: &MemberId, certificate: &Certificate) -> Result<Certificate, Error>;

    /// Revokes a certificate and returns its member and itself.
    async fn revoke_certificate(
        &self,
        fingerprint: &[u8; 32],
        now_us: i64,
    ) -> Result<(MemberId, Certificate), Error>;

    /// Registers a key. The same again is harmless; a revoked one stays revoked.
    async fn add_token_key(&self, id: &MemberId, key: &TokenKey) -> Result<TokenKey, Error>;

    /// Revokes a key.
    async fn revoke_token_key(&self, id: &MemberId, kid: &str, now_us: i64) -> Result<TokenKey, Error>;

    /// Sets or removes an endpoint.
    async fn set_endpoint(&self, id: &MemberId, endpoint: Option<&Endpoint>) -> Result<(), Error>;

    /// Sets the purposes that a member may claim.
    async fn set_purposes(&self, id: &MemberId, purposes: &[PurposeOfUse]) -> Result<(), Error>;

    /// Returns the member that a certificate belongs to, whatever the state of either.
    async fn by_certificate(&self, fingerprint: &[u8; 32]) -> Result<Option<Member>, Error>;
}
