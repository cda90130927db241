//! Watching identity changes: link decisions in order, from a position on, as they are made.
//!
//! A stream brings every decision at least once and leaves none out: what comes with a token was preceded by all before it.
//! A member sees decisions on its own records; that somebody else's record joined the same person is not its business.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use signpost_common::rpc::{Context, page, status};
use signpost_proto::mpi::v1::{LinkEvent, WatchIdentityChangesResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::service::Service;

/// Most decisions that are read at once.
const READ_MAX: i64 = 500;

/// Decisions that may wait for a slow reader.
const AHEAD_MAX: usize = 64;

/// How long a stream goes on before its caller must be admitted again: certificates and grants end.
const ADMITTED_FOR: Duration = Duration::from_secs(300);

/// How long it takes at most to notice what another process decided.
const POLL: Duration = Duration::from_secs(1);

/// A place in the log of decisions, in the order in which they became visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Transaction that decided, as the database counts them; 0 where there is one writer.
    pub transaction: i64,
    /// Number of the decision.
    pub sequence: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transaction, self.sequence)
    }
}

impl FromStr for Position {
    type Err = Status;

    fn from_str(text: &str) -> Result<Self, Status> {
        let numbers = text.split_once('/').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (transaction, sequence) =
            numbers.ok_or_else(|| status::invalid("resume_token", "is not one of ours"))?;
        Ok(Self { transaction, sequence })
    }
}

pub(crate) type Changes = BoxStream<'static, Result<WatchIdentityChangesResponse, Status>>;

/// Whose decisions a caller sees: tokens of one caller are of no use to another.
fn scope(context: &Context) -> String {
    match context.operator {
        true => "identity-changes".to_owned(),
        false => format!("identity-changes {}", context.caller.member_id),
    }
}

/// Streams decisions after a token until the caller has enough or the process stops.
pub(crate) fn run(service: Arc<Service>, context: Context, resume_token: &str) -> Result<Changes, Status> {
    let query = scope(&context);
    let after = page::position(query.as_bytes(), resume_token).map_err(|_| {
        status::invalid("resume_token", "must come from an earlier change of the same stream")
    })?;
    let after = after.map(|text| text.parse()).transpose()?.unwrap_or_default();
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    let stopping = service.lifecycle.stopping();
    service.lifecycle.clone().spawn(async move {
        let last = tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(ADMITTED_FOR) => status::unavailable("RESUME", "go on with the last token"),
            () = stopping => status::unavailable("STOPPING", "the service stops; go on with the last token"),
            error = follow(&service, &context, &query, after, &sender) => error,
        };
        // Nobody may listen any more.
        sender.send(Err(last)).await.ok();
    });
    Ok(ReceiverStream::new(receiver).boxed())
}

/// Sends decisions until something fails.
async fn follow(
    service: &Service,
    context: &Context,
    query: &str,
    mut after: Position,
    sender: &mpsc::Sender<Result<WatchIdentityChangesResponse, Status>>,
) -> Status {
    loop {
        // Before the log is read: what is decided meanwhile is not slept through.
        let decided = service.decided.notified();
        let changes = match service.store.changes(after, READ_MAX).await {
            Ok(changes) => changes,
            Err(error) => return error.into(),
        };
        let seen_all = changes.is_empty();
        for (position, event) in changes {
            after = position;
            if !context.operator && event.reference.member_id.as_str() != context.caller.member_id {
                continue;
            }
            let resume_token = page::token(query.as_bytes(), &position.to_string());
            let mut event = LinkEvent::from(event);
            if !context.operator {
                // What stewards say among themselves.
                (event.reason, event.candidate_person_id) = Default::default();
            }
            let change = WatchIdentityChangesResponse { event: Some(event), resume_token };
            if sender.send(Ok(change)).await.is_err() {
                return Status::cancelled("nobody listens");
            }
        }
        if seen_all {
            // Another process may have decided, too.
            tokio::time::timeout(POLL, decided).await.ok();
        }
    }
}
