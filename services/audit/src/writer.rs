//! The writer: many appends, one transaction.
//!
//! A commit costs far more than an event, so events that wait while one batch is written make the next. An
//! append answers after the commit of its batch, never before.

use std::sync::Arc;

use signpost_common::lifecycle::Lifecycle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    domain::Entry,
    error::Error,
    sinks::{Place, Sinks},
};

/// Most events of one transaction.
const BATCH_MAX: usize = 512;

/// Most events that wait; more appends wait outside.
const QUEUE_MAX: usize = 4 * BATCH_MAX;

/// Appends events in batches.
pub(crate) struct Writer {
    sinks: Arc<Sinks>,
    queue: mpsc::Sender<Waiting>,
}

/// An event, and who waits for its position.
struct Waiting {
    entry: Entry,
    answer: oneshot::Sender<Result<Place, Error>>,
}

impl Writer {
    /// Starts the task that writes. It ends at the soft stop, once it has written what waits; then the receiver's sender is gone.
    pub(crate) fn start(sinks: Arc<Sinks>, lifecycle: &Lifecycle) -> (Self, watch::Receiver<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (writing, written) = watch::channel(());
        let (to, stopping) = (sinks.clone(), lifecycle.stopping());
        lifecycle.spawn(async move {
            run(to, waiting, stopping).await;
            drop(writing);
        });
        (Self { sinks, queue }, written)
    }

    /// Appends an event and returns where it stands once it is durable.
    pub(crate) async fn append(&self, entry: Entry) -> Result<Place, Error> {
        let (answer, answered) = oneshot::channel();
        match self.queue.send(Waiting { entry, answer }).await {
            Ok(()) => answered.await.unwrap_or(Err(Error::NotDurable)),
            // The task has ended, but calls under way still finish and must be logged: they write for themselves.
            Err(mpsc::error::SendError(Waiting { entry, .. })) => {
                self.sinks.write(&[entry]).await.pop().unwrap_or(Err(Error::NotDurable))
            }
        }
    }
}

async fn run(
    sinks: Arc<Sinks>,
    mut queue: mpsc::Receiver<Waiting>,
    stopping: impl Future<Output = ()> + Send,
) {
    tokio::pin!(stopping);
    let mut open = true;
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        tokio::select! {
            () = &mut stopping, if open => {
                open = false;
                queue.close();
            }
            read = queue.recv_many(&mut batch, BATCH_MAX) => {
                if read == 0 {
                    return;
                }
                write(&sinks, &mut batch).await;
            }
        }
    }
}

async fn write(sinks: &Sinks, batch: &mut Vec<Waiting>) {
    let (entries, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|w| (w.entry, w.answer)).unzip();
    let results = sinks.write(&entries).await;
    for (answer, result) in answers.into_iter().zip(results) {
        // Who no longer waits does not get an answer; the event stays.
        answer.send(result).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Mutex, PoisonError},
    };

    use async_trait::async_trait;
    use futures_util::future::join_all;
    use signpost_common::id::EventId;
    use signpost_proto::audit::v1::{EventKind, EventOutcome};

    use super::*;
    use crate::{
        domain::{
            Logged, Query,
            merkle::{Hash, Node},
        },
        store::{Kept, Store},
    };

    /// Notes the size of each batch; writes nothing.
    #[derive(Default)]
    struct Fake {
        batches: Mutex<Vec<usize>>,
        broken: bool,
    }

    #[async_trait]
    impl Store for Fake {
        async fn append(&self, batch: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error> {
            self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch.len());
            tokio::task::yield_now().await;
            if self.broken { Err(Error::NotDurable) } else { Ok(batch.iter().map(|_| Ok(0)).collect()) }
        }
        async fn size(&self) -> Result<u64, Error> {
            Ok(0)
        }
        async fn event(&self, _: u64) -> Result<Option<Logged>, Error> {
            Ok(None)
        }
        async fn nodes(&self, _: &[Node]) -> Result<HashMap<Node, Hash>, Error> {
            Ok(HashMap::new())
        }
        async fn search(&self, _: &Query, _: Option<i64>, _: i64) -> Result<Vec<Logged>, Error> {
            Ok(vec![])
        }
        async fn disclosures(&self, _: i64, _: Option<i64>, _: i64) -> Result<Vec<Logged>, Error> {
            Ok(vec![])
        }
        async fn last_checkpoint(&self) -> Result<Option<Kept>, Error> {
            Ok(None)
        }
        async fn checkpoints(&self, _: u64, _: i64) -> Result<Vec<Kept>, Error> {
            Ok(vec![])
        }
        async fn keep_checkpoint(&self, _: u64, _: &Kept) -> Result<bool, Error> {
            Ok(false)
        }
    }

    /// Appends many events at once; returns the results and the sizes of the batches.
    async fn append_many(count: usize, broken: bool) -> (Vec<Result<Place, Error>>, Vec<usize>) {
        let (store, lifecycle) = (Arc::new(Fake { broken, ..Fake::default() }), Lifecycle::new());
        let sinks = Sinks::start(store.clone(), None, watch::Sender::default(), &lifecycle);
        let (writer, _) = Writer::start(sinks, &lifecycle);
        let entry = || Entry {
            id: EventId::generate(),
            kind: EventKind::Locate,
            outcome: EventOutcome::Success,
            member_id: None,
            occurred_us: 0,
            subjects: vec![],
            leaf: vec![],
            request_id: String::new(),
        };
        let results = join_all((0..count).map(|_| writer.append(entry()))).await;
        let batches = store.batches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (results, batches)
    }

    #[tokio::test]
    async fn appends_that_wait_share_a_batch() {
        let (results, batches) = append_many(3 * BATCH_MAX, false).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(batches.iter().sum::<usize>(), 3 * BATCH_MAX);
        assert!(batches.len() < 50 && batches.iter().all(|size| *size <= BATCH_MAX), "{batches:?}");
    }

    #[tokio::test]
    async fn a_batch_that_fails_fails_for_all_who_wait() {
        let (results, _) = append_many(100, true).await;
        assert_eq!(results.len(), 100);
        assert!(results.iter().all(|result| matches!(result, Err(Error::NotDurable))));
    }
}
