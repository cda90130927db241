//! Keeps what was decided, behind the answers: many decisions in one transaction.

use std::{sync::Arc, time::Duration};

use signpost_common::lifecycle::Lifecycle;
use tokio::sync::mpsc;

use crate::store::{Store, policy::Kept};

/// Most decisions that wait to be kept; then answers wait too.
const WAITING_MAX: usize = 1024;

/// Most decisions of one transaction.
const AT_ONCE_MAX: usize = 256;

/// How long the first decision of a transaction waits for others: a commit of its own would keep the disk from the audit log,
/// for which an answer waits.
const GATHER: Duration = Duration::from_millis(100);

/// Takes decisions to be kept.
#[derive(Clone)]
pub(crate) struct Keeper {
    waiting: mpsc::Sender<Kept>,
    store: Arc<dyn Store>,
}

impl Keeper {
    /// Begins to keep decisions, until every handle is gone.
    pub(crate) fn new(store: Arc<dyn Store>, lifecycle: &Lifecycle) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        lifecycle.spawn(keep(store.clone(), waiting, lifecycle.clone()));
        Self { waiting: sender, store }
    }

    /// Hands over a decision. What was handed over less than a moment before a crash cannot be explained later; that it was
    /// released is in the audit log all the same.
    pub(crate) async fn keep(&self, kept: Kept) {
        // While the process stops nobody takes them any more.
        if let Err(mpsc::error::SendError(kept)) = self.waiting.send(kept).await {
            write(self.store.as_ref(), &[kept]).await;
        }
    }
}

async fn keep(store: Arc<dyn Store>, mut waiting: mpsc::Receiver<Kept>, lifecycle: Lifecycle) {
    let stopping = lifecycle.stopping();
    tokio::pin!(stopping);
    let mut batch = vec![];
    loop {
        let gathered = async {
            let first = waiting.recv_many(&mut batch, AT_ONCE_MAX).await;
            if (1..AT_ONCE_MAX).contains(&first) {
                tokio::time::sleep(GATHER).await;
            }
        };
        tokio::select! {
            () = gathered => {}
            // Calls under way may still decide; they keep it themselves.
            () = &mut stopping => waiting.close(),
        }
        while batch.len() < AT_ONCE_MAX
            && let Ok(kept) = waiting.try_recv()
        {
            batch.push(kept);
        }
        // Somebody may still be handing one over; nothing comes any more when this is 0.
        if batch.is_empty() && waiting.recv_many(&mut batch, AT_ONCE_MAX).await == 0 {
            return;
        }
        write(store.as_ref(), &batch).await;
        batch.clear();
    }
}

async fn write(store: &dyn Store, decisions: &[Kept]) {
    if let Err(error) = store.keep_decisions(decisions).await {
        tracing::error!(%error, decisions = decisions.len(), "decisions could not be kept to be explained later");
    }
}
