//! Watching identity changes: link decisions in order, from a position on, as they are made.
//!
//! A stream brings every decision at least once and leaves none out: what comes with a token was preceded by all before it.
//! A member sees decisions on its own records; that somebody else's record joined the same person is not its business.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use signpost_common::rpc::{Context, page, status};
use signpost_proto::mpi::v1::{LinkEvent, WatchIdentityChangesResponse};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{service::Service, store::ENGINE};

/// Most decisions that are read at once.
const READ_MAX: i64 = 500;

/// Decisions that may wait for a slow reader.
const AHEAD_MAX: usize = 64;

/// How long a stream goes on before its caller must be admitted again: certificates and grants end.
const ADMITTED_FOR: Duration = Duration::from_secs(300);

/// How long decisions are gathered before they are read, so that many streams do not read the log for each of them.
const GATHER: Duration = Duration::from_millis(10);

/// How often a stream that has nothing to tell says how far it is.
const TOKEN_EVERY: Duration = Duration::from_secs(10);

/// Most streams of one member.
const STREAMS_MAX: usize = 8;

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
pub(crate) async fn run(
    service: Arc<Service>,
    context: Context,
    resume_token: &str,
) -> Result<Changes, Status> {
    let query = format!("{} {}", scope(&context), service.store.log_id().await?);
    let after = page::position(query.as_bytes(), resume_token).map_err(|_| {
        status::invalid("resume_token", "must come from an earlier change of the same stream of this index")
    })?;
    let after: Position = after.map(|text| text.parse()).transpose()?.unwrap_or_default();
    if after.sequence > service.store.last_decision().await? {
        let message =
            "is ahead of the log, which may have been restored from an earlier state: begin again without";
        return Err(status::invalid("resume_token", message));
    }
    let place = service.watchers.place_of(&context.caller.member_id)?;
    if context.operator {
        service.looks(&context, "WatchIdentityChanges", "").await?;
    }
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    let stopping = service.lifecycle.stopping();
    service.lifecycle.clone().spawn(async move {
        let _place = place;
        let watch = Watch { context, query, sender: &sender };
        let last = tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(ADMITTED_FOR) => status::unavailable("RESUME", "go on with the last token"),
            () = stopping => status::unavailable("STOPPING", "the service stops; go on with the last token"),
            error = watch.follow(&service, after) => error,
        };
        // Nobody may listen any more.
        sender.send(Err(last)).await.ok();
    });
    Ok(ReceiverStream::new(receiver).boxed())
}

/// How many streams each member has.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Watchers {
    /// Returns a place for one more stream of a member, which is free again when it is dropped.
    fn place_of(&self, member: &str) -> Result<OwnedSemaphorePermit, Status> {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places =
            members.entry(member.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(STREAMS_MAX)));
        places.clone().try_acquire_owned().map_err(|_| {
            let message = format!("a member may watch {STREAMS_MAX} times at once: end another stream first");
            status::exhausted("TOO_MANY_STREAMS", message, ADMITTED_FOR)
        })
    }
}

/// A stream of decisions to a caller.
struct Watch<'a> {
    context: Context,
    query: String,
    sender: &'a mpsc::Sender<Result<WatchIdentityChangesResponse, Status>>,
}

impl Watch<'_> {
    /// Sends decisions until something fails.
    async fn follow(&self, service: &Service, mut after: Position) -> Status {
        let (mut told, mut told_at) = (after, Instant::now());
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
                let own = event.reference.member_id.as_str() == self.context.caller.member_id;
                if own || self.context.operator {
                    if self.send(Some(event.into()), position).await.is_err() {
                        return Status::cancelled("nobody listens");
                    }
                    (told, told_at) = (position, Instant::now());
                }
            }
            // Whoever is told nothing for long would read all of it again after a break.
            if told != after && told_at.elapsed() >= TOKEN_EVERY {
                if self.send(None, after).await.is_err() {
                    return Status::cancelled("nobody listens");
                }
                (told, told_at) = (after, Instant::now());
            }
            if seen_all {
                // Another process may have decided, too.
                tokio::time::timeout(POLL, decided).await.ok();
                // What is decided within a moment is read at once.
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    async fn send(&self, event: Option<LinkEvent>, position: Position) -> Result<(), ()> {
        let resume_token = page::token(self.query.as_bytes(), &position.to_string());
        let event = event.map(|event| match self.context.operator {
            true => event,
            false => for_members(event),
        });
        let change = WatchIdentityChangesResponse { event, resume_token };
        self.sender.send(Ok(change)).await.map_err(drop)
    }
}

/// Leaves out what stewards say among themselves and who they are, and the weight: it tells how well a guess agrees with what
/// another member knows.
fn for_members(event: LinkEvent) -> LinkEvent {
    let actor = if event.actor == ENGINE { event.actor } else { "steward".to_owned() };
    let (reason, candidate_person_id) = Default::default();
    LinkEvent { actor, reason, candidate_person_id, weight_bits: 0.0, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_so_many_streams_and_no_more() {
        let watchers = Watchers::default();
        let mut places: Vec<_> = (0..STREAMS_MAX).map(|_| watchers.place_of("north").unwrap()).collect();
        let refused = watchers.place_of("north").unwrap_err();
        assert_eq!(status::reason(&refused), "TOO_MANY_STREAMS");
        assert!(watchers.place_of("south").is_ok());
        places.pop();
        assert!(watchers.place_of("north").is_ok());
    }
}
