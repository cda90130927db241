//! The notary: signs what the log has become, at most once a second, and never anything that contradicts what was signed.
//!
//! Before each signature the tree is shown to continue that of the last checkpoint that is kept and of the last one that this
//! process signed. Several processes take turns; each checks what another has signed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use signpost_common::{
    clock::SharedClock,
    lifecycle::Lifecycle,
    rpc::{
        micros,
        watch::{Log, Position},
    },
};
use signpost_proto::audit::v1::WatchCheckpointsResponse;
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::{
    domain::{
        checkpoint::{self, Checkpoint, Verifier},
        merkle::{self, Hash, Subtree},
    },
    error::Error,
    signing::Signer,
    store::{Kept, Store},
};

/// How often the log is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long the last signature waits for the last events.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// How often the same refusal is logged, in rounds.
const TELL_EVERY: u32 = 60;

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The log cannot be read.
    #[error("the log could not be read")]
    Store(#[from] Error),
    /// The last checkpoint is not of this log's keys.
    #[error("the last checkpoint that is kept, of size {0}, {1}")]
    Foreign(u64, checkpoint::Error),
    /// The log has lost events, or its checkpoints.
    #[error("the log has {now} events, and {signed} were signed: it was truncated")]
    Truncated { now: u64, signed: u64 },
    /// The log was changed.
    #[error("the log does not continue what was signed at {signed} events: it was changed")]
    Changed { signed: u64 },
}

pub(crate) struct Notary {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Signer,
    /// Keys whose checkpoints count: that of the signer, and those before it.
    pub(crate) keys: Vec<Verifier>,
    pub(crate) clock: SharedClock,
    /// What this process knows to be signed.
    pub(crate) last: Mutex<Option<Checkpoint>>,
    /// Wakes who watches.
    pub(crate) signed: Arc<Notify>,
    pub(crate) alarm: watch::Sender<Option<String>>,
}

impl Notary {
    /// Starts to sign. It ends at the soft stop, after the last events: `written` ends with their writer.
    pub(crate) fn start(self: &Arc<Self>, lifecycle: &Lifecycle, written: watch::Receiver<()>) {
        lifecycle.spawn(self.clone().run(lifecycle.stopping(), written));
    }

    async fn run(
        self: Arc<Self>,
        stopping: impl Future<Output = ()> + Send,
        mut written: watch::Receiver<()>,
    ) {
        tokio::pin!(stopping);
        let mut refused = 0;
        loop {
            self.look(&mut refused).await;
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        let end = async { while written.changed().await.is_ok() {} };
        tokio::time::timeout(LAST_WAIT, end).await.ok();
        self.look(&mut 0).await;
    }

    async fn look(&self, refused: &mut u32) {
        match self.sign().await {
            Ok(_) => {
                *refused = 0;
                self.alarm.send_if_modified(|alarm| alarm.take().is_some());
            }
            Err(error) => {
                self.alarm.send_if_modified(|alarm| alarm.replace(error.to_string()).is_none());
                if refused.is_multiple_of(TELL_EVERY) {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::error!(%error, cause, "no checkpoint is signed");
                }
                *refused = refused.saturating_add(1);
            }
        }
    }

    /// Signs the log when it has grown; true when it did.
    pub(crate) async fn sign(&self) -> Result<bool, Refused> {
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = self.store.last_checkpoint().await?;
        // After the checkpoint, so that it is not smaller.
        let size = self.store.size().await?;
        let (signed, now) =
            (known.as_ref().map_or(0, |known| known.size), kept.as_ref().map_or(0, |kept| kept.size));
        if signed == size && now == size {
            return Ok(false);
        }
        let foreign = |kept: &Kept, error| Refused::Foreign(kept.size, error);
        let verify =
            |kept: &Kept| Checkpoint::verify(&kept.note, &self.keys).map_err(|error| foreign(kept, error));
        let before = kept.as_ref().map(verify).transpose()?;
        let root = self.hashes(&[Subtree::whole(size)]).await?.concat();
        let root: Hash = root.try_into().map_err(|_| Refused::Changed { signed: size })?;
        for earlier in known.iter().chain(&before) {
            self.continues(earlier, size, &root).await?;
        }
        if now < signed {
            return Err(Refused::Truncated { now, signed });
        }
        if size > now {
            let signed_us = micros(self.clock.now());
            let new = Kept { size, note: self.signer.checkpoint(size, root), signed_us };
            if !self.store.keep_checkpoint(now, &new).await? {
                // Another process has signed, and this one looks at it the next time.
                return Ok(false);
            }
        }
        if size == 0 {
            return Ok(false);
        }
        let origin = self.signer.verifier().name().to_owned();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Checkpoint { origin, size, root });
        self.signed.notify_waiters();
        Ok(size > now)
    }

    async fn continues(&self, earlier: &Checkpoint, size: u64, root: &Hash) -> Result<(), Refused> {
        let signed = earlier.size;
        if size < signed {
            return Err(Refused::Truncated { now: size, signed });
        }
        let path = self.hashes(&merkle::consistency(signed, size)).await?;
        match merkle::verify_consistency(signed, size, &earlier.root, root, &path) {
            true => Ok(()),
            false => Err(Refused::Changed { signed }),
        }
    }

    async fn hashes(&self, subtrees: &[Subtree]) -> Result<Vec<Hash>, Error> {
        self.store.hashes(subtrees).await
    }
}

/// The checkpoints, as everybody sees them.
pub(crate) struct Checkpoints(pub(crate) Arc<dyn Store>);

#[tonic::async_trait]
impl Log for Checkpoints {
    type Response = WatchCheckpointsResponse;

    async fn read(
        &self,
        after: Position,
        limit: i64,
    ) -> Result<Vec<(Position, Option<Self::Response>)>, Status> {
        let kept = self.0.checkpoints(u64::try_from(after.sequence).unwrap_or(0), limit).await?;
        Ok(kept.into_iter().map(|kept| (position(kept.size), Some(kept.into()))).collect())
    }

    fn mark(response: &mut Self::Response, resume_token: String) {
        response.resume_token = resume_token;
    }
}

/// Returns the place of a checkpoint among checkpoints: its size.
pub(crate) fn position(size: u64) -> Position {
    Position { transaction: 0, sequence: i64::try_from(size).unwrap_or(i64::MAX) }
}

#[cfg(test)]
#[path = "notary/tests.rs"]
mod tests;
