//! Watching a log: its changes in order, from a position on, as they are made.
//!
//! A stream brings every change at least once and leaves none out: what comes with a token was preceded by all before it.
//! What the log is and who sees what of it is for the service to say.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{page, status};
use crate::lifecycle::Lifecycle;

/// Most changes that are read at once.
const READ_MAX: i64 = 500;

/// Changes that may wait for a slow reader.
const AHEAD_MAX: usize = 64;

/// How long a stream that ends waits for its reader.
const TO_END: Duration = Duration::from_secs(1);

/// How long a stream goes on before its caller must be admitted again: certificates and grants end.
const ADMITTED_FOR: Duration = Duration::from_secs(300);

/// How long changes are gathered before they are read, so that many streams do not read the log for each of them.
const GATHER: Duration = Duration::from_millis(10);

/// How often a stream that has nothing to tell says how far it is.
const TOKEN_EVERY: Duration = Duration::from_secs(10);

/// Most streams of one member.
const STREAMS_MAX: usize = 8;

/// How long it takes at most to notice what another process changed.
const POLL: Duration = Duration::from_secs(1);

/// A place in a log, in the order in which changes became visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Transaction of the change, as the database counts them; 0 where there is one writer.
    pub transaction: i64,
    /// Number of the change.
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

/// A log, as one caller sees it.
#[tonic::async_trait]
pub trait Log: Send + Sync + 'static {
    /// What the caller is sent; the default tells of no change.
    type Response: Default + Send + 'static;

    /// Whether a stream begins with its token alone, so that who is told nothing can go on after a break.
    const BEGINS_WITH_TOKEN: bool = false;

    /// Returns changes after a position, in order, with what the caller is sent of each: nothing when it does not see it.
    async fn read(
        &self,
        after: Position,
        limit: i64,
    ) -> Result<Vec<(Position, Option<Self::Response>)>, Status>;

    /// Puts the token to resume after it into what the caller is sent.
    fn mark(response: &mut Self::Response, resume_token: String);
}

/// Reads the position of a token that was made for `query`, in a log whose last change has the number `last`.
pub fn position(query: &str, resume_token: &str, last: i64) -> Result<Position, Status> {
    let text = page::position(query.as_bytes(), resume_token).map_err(|_| {
        status::invalid("resume_token", "must come from an earlier change of the same stream of this log")
    })?;
    let after: Position = text.map(|text| text.parse()).transpose()?.unwrap_or_default();
    if after.sequence > last {
        let message =
            "is ahead of the log, which may have been restored from an earlier state: begin again without";
        return Err(status::invalid("resume_token", message));
    }
    Ok(after)
}

/// How many streams each member has.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<String, Arc<Semaphore>>>);

/// A place for one stream, which is free again when it is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "is held, not used")] OwnedSemaphorePermit);

impl Watchers {
    /// Returns a place for one more stream of a member.
    pub fn place_of(&self, member: &str) -> Result<Place, Status> {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places =
            members.entry(member.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(STREAMS_MAX)));
        places.clone().try_acquire_owned().map(Place).map_err(|_| {
            let message = format!("a member may watch {STREAMS_MAX} times at once: end another stream first");
            status::exhausted("TOO_MANY_STREAMS", message, ADMITTED_FOR)
        })
    }
}

/// A stream of changes to one caller.
pub struct Watch<L> {
    /// What is watched.
    pub log: L,
    /// Whose tokens they are: those of one query are of no use to another.
    pub query: String,
    /// Where it begins.
    pub after: Position,
    /// Wakes it when this process has changed something.
    pub changed: Arc<Notify>,
    /// Its place.
    pub place: Place,
}

impl<L: Log> Watch<L> {
    /// Streams changes until the caller has enough or the process stops.
    pub fn run(self, lifecycle: &Lifecycle) -> ReceiverStream<Result<L::Response, Status>> {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let stopping = lifecycle.stopping();
        lifecycle.spawn(async move {
            let last = tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(ADMITTED_FOR) => status::unavailable("RESUME", "go on with the last token"),
                () = stopping => status::unavailable("STOPPING", "the service stops; go on with the last token"),
                error = self.follow(&sender) => error,
            };
            // Nobody may listen any more, or read.
            tokio::time::timeout(TO_END, sender.send(Err(last))).await.ok();
        });
        ReceiverStream::new(receiver)
    }

    /// Sends changes until something fails.
    async fn follow(&self, sender: &mpsc::Sender<Result<L::Response, Status>>) -> Status {
        let mut after = self.after;
        let (mut told, mut told_at) = (after, Instant::now());
        if L::BEGINS_WITH_TOKEN && self.send(sender, L::Response::default(), after).await.is_err() {
            return Status::cancelled("nobody listens");
        }
        loop {
            // Before the log is read: what is changed meanwhile is not slept through.
            let changed = self.changed.notified();
            let changes = match self.log.read(after, READ_MAX).await {
                Ok(changes) => changes,
                Err(error) => return error,
            };
            let seen_all = changes.is_empty();
            for (position, response) in changes {
                after = position;
                if let Some(response) = response {
                    if self.send(sender, response, position).await.is_err() {
                        return Status::cancelled("nobody listens");
                    }
                    (told, told_at) = (position, Instant::now());
                }
            }
            // Whoever is told nothing for long would read all of it again after a break.
            if told != after && told_at.elapsed() >= TOKEN_EVERY {
                if self.send(sender, L::Response::default(), after).await.is_err() {
                    return Status::cancelled("nobody listens");
                }
                (told, told_at) = (after, Instant::now());
            }
            if seen_all {
                // Another process may have changed something, too.
                tokio::time::timeout(POLL, changed).await.ok();
                // What is changed within a moment is read at once.
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    async fn send(
        &self,
        sender: &mpsc::Sender<Result<L::Response, Status>>,
        mut response: L::Response,
        position: Position,
    ) -> Result<(), ()> {
        L::mark(&mut response, page::token(self.query.as_bytes(), &position.to_string()));
        sender.send(Ok(response)).await.map_err(drop)
    }
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

    #[test]
    fn a_token_is_of_its_stream_and_not_ahead_of_the_log() {
        let seen = Position { transaction: 7, sequence: 3 };
        let token = page::token(b"one", &seen.to_string());
        assert_eq!(position("one", &token, 3).unwrap(), seen);
        assert_eq!(position("one", "", 3).unwrap(), Position::default());
        for wrong in [position("two", &token, 3), position("one", &token, 2), position("one", "!", 3)] {
            assert_eq!(status::field(&wrong.unwrap_err()), "resume_token");
        }
    }
}
