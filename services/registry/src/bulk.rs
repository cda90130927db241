//! Pointers straight into a registry's database, without a server: for a first load of millions.

use signpost_common::{db, id::MemberId};
use signpost_proto::registry::v1::DocumentEntry;
use tonic::Status;

use crate::{
    convert,
    domain::Registration,
    store::{self, Store},
};

/// Most pointers of one statement: SQLite binds no more than 32,766 values.
pub const AT_ONCE_MAX: usize = 2_000;

/// A registry's database.
pub struct Bulk(Box<dyn Store>);

impl Bulk {
    /// Opens it.
    pub async fn open(location: &db::Location) -> Result<Self, db::Error> {
        store::open(location).await.map(Self)
    }

    /// Registers pointers of one member, at most [`AT_ONCE_MAX`], in one transaction, and returns how many are new.
    ///
    /// # Errors
    /// When one cannot be registered; then those before it may be.
    pub async fn register(
        &self,
        member_id: &MemberId,
        entries: impl IntoIterator<Item = DocumentEntry>,
        now_us: i64,
    ) -> Result<usize, Status> {
        let read = |entry| convert::registration(Some(entry), member_id);
        let registrations = entries.into_iter().map(read).collect::<Result<Vec<Registration>, _>>()?;
        let mut new = 0;
        for result in self.0.register(&registrations, now_us).await? {
            new += usize::from(!result?.replayed);
        }
        Ok(new)
    }
}
