//! Where notices are kept.

use async_trait::async_trait;
use signpost_common::id::NoticeId;

use super::Error;
use crate::domain::notice::{Notice, Party};

/// Keeps notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Adds notices.
    async fn add_notices(&self, notices: &[Notice]) -> Result<(), Error>;

    /// Returns the notices of a party, newest first, below an id.
    async fn notices(
        &self,
        party: &Party,
        include_acknowledged: bool,
        below: Option<NoticeId>,
        limit: i64,
    ) -> Result<Vec<Notice>, Error>;

    /// Takes note of a notice of a party; the first time counts.
    async fn acknowledge(&self, party: &Party, id: NoticeId, now_us: i64) -> Result<Notice, Error>;

    /// Tells of sessions whose review is overdue, each once, and returns how many there were.
    async fn escalate(&self, now_us: i64) -> Result<usize, Error>;
}
