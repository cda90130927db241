//! Watching documents: changes of pointers as they are made. A member sees those of its own.

use std::sync::Arc;

use signpost_common::{
    id::MemberId,
    rpc::watch::{Log, Position},
};
use signpost_proto::registry::v1::WatchDocumentsResponse;
use tonic::Status;

use crate::{convert, store::Store};

/// The changes that a caller sees.
pub(crate) struct Seen {
    pub(crate) store: Arc<dyn Store>,
    /// Whose pointers; everybody's when nobody is named.
    pub(crate) custodian: Option<MemberId>,
}

impl Seen {
    /// Names the log and who looks at it: tokens of one caller are of no use to another, nor to another log.
    pub(crate) async fn query(&self) -> Result<String, Status> {
        let own = self.custodian.as_ref().map(MemberId::as_str).unwrap_or_default();
        Ok(format!("documents {own} {}", self.store.log_id().await?))
    }
}

#[tonic::async_trait]
impl Log for Seen {
    type Response = WatchDocumentsResponse;

    async fn read(
        &self,
        after: Position,
        limit: i64,
    ) -> Result<Vec<(Position, Option<Self::Response>)>, Status> {
        let mut told = vec![];
        for (position, change) in self.store.changes(after, self.custodian.as_ref(), limit).await? {
            told.push((position, change.map(convert::change).transpose()?));
        }
        Ok(told)
    }

    fn mark(response: &mut Self::Response, resume_token: String) {
        response.resume_token = resume_token;
    }
}
