//! Watching identity changes: link decisions as they are made.
//!
//! A member sees decisions on its own records; that somebody else's record joined the same person is not its business.

use std::sync::Arc;

pub use signpost_common::rpc::watch::Position;
pub(crate) use signpost_common::rpc::watch::Watchers;
use signpost_common::rpc::{
    Context,
    watch::{self, Log, Watch},
};
use signpost_proto::mpi::v1::{LinkEvent, WatchIdentityChangesResponse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    service::Service,
    store::{ENGINE, Store},
};

pub(crate) type Changes = ReceiverStream<Result<WatchIdentityChangesResponse, Status>>;

/// Whose decisions a caller sees: tokens of one caller are of no use to another.
fn scope(context: &Context) -> String {
    match context.operator {
        true => "identity-changes".to_owned(),
        false => format!("identity-changes {}", context.caller.member_id),
    }
}

/// Streams decisions after a token until the caller has enough or the process stops.
pub(crate) async fn run(
    service: Arc<Service>,
    context: Context,
    resume_token: &str,
) -> Result<Changes, Status> {
    let query = format!("{} {}", scope(&context), service.store.log_id().await?);
    let after = watch::position(&query, resume_token, service.store.last_decision().await?)?;
    let place = service.watchers.place_of(&context.caller.member_id)?;
    if context.operator {
        service.looks(&context, "WatchIdentityChanges", "").await?;
    }
    let log = Decisions { store: service.store.clone(), context };
    Ok(Watch { log, query, after, changed: service.decided.clone(), place }.run(&service.lifecycle))
}

/// The decisions that a caller sees.
struct Decisions {
    store: Arc<dyn Store>,
    context: Context,
}

#[tonic::async_trait]
impl Log for Decisions {
    type Response = WatchIdentityChangesResponse;

    async fn read(
        &self,
        after: Position,
        limit: i64,
    ) -> Result<Vec<(Position, Option<Self::Response>)>, Status> {
        let changes = self.store.changes(after, limit).await?.into_iter().map(|(position, event)| {
            let own = event.reference.member_id.as_str() == self.context.caller.member_id;
            let event = match self.context.operator {
                true => Some(LinkEvent::from(event)),
                false => own.then(|| for_members(event.into())),
            };
            let told = |event| WatchIdentityChangesResponse { event: Some(event), ..Default::default() };
            (position, event.map(told))
        });
        Ok(changes.collect())
    }

    fn mark(response: &mut Self::Response, resume_token: String) {
        response.resume_token = resume_token;
    }
}

/// Leaves out what stewards say among themselves and who they are, and the weight: it tells how well a guess agrees with what
/// another member knows.
fn for_members(event: LinkEvent) -> LinkEvent {
    let actor = if event.actor == ENGINE { event.actor } else { "steward".to_owned() };
    let (reason, candidate_person_id) = Default::default();
    LinkEvent { actor, reason, candidate_person_id, weight_bits: 0.0, ..event }
}
