//! Tokens count once: the directory is asked about each, many in one call.
//!
//! While one call is under way, the tokens that come meanwhile wait for the next. What the directory does not answer is not
//! admitted.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jiff::Timestamp;
use signpost_proto::directory::v1::{
    UseTokensRequest, UsedToken, directory_service_client::DirectoryServiceClient,
};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{Context, Transport};
use crate::{clock, lifecycle::Lifecycle};

/// Most tokens of one call; the directory takes no more.
const BATCH_MAX: usize = 512;

/// Most tokens that wait; more calls wait outside.
const QUEUE_MAX: usize = 4 * BATCH_MAX;

/// Longest time for an answer of the directory.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A token as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// SHA-256 of the member's id, a zero byte and the token's id.
    pub token: [u8; 32],
    /// From when on it is refused anyway.
    pub forget_at: Timestamp,
}

/// The use of a token while its call is under way; it ends with whether the token counts.
pub(super) type Using = Shared<BoxFuture<'static, Result<(), Status>>>;

tokio::task_local! {
    static USING: Using;
}

/// Runs a call while its token is used.
pub(super) async fn during<T>(using: Using, call: impl Future<Output = T>) -> T {
    USING.scope(using, call).await
}

/// Makes a use that several wait for.
pub(super) fn using(token: impl Future<Output = Result<(), Status>> + Send + 'static) -> Using {
    token.boxed().shared()
}

/// Waits until it is known that the token of the call that runs here counts: what is recorded before would be of a call that
/// never was.
pub(super) async fn counts() -> Result<(), Status> {
    match USING.try_with(Clone::clone) {
        Ok(using) => using.await,
        Err(_) => Ok(()),
    }
}

struct Waiting {
    used: Use,
    answer: oneshot::Sender<Result<bool, Status>>,
}

/// Asks the directory about tokens.
pub(super) struct Uses(mpsc::Sender<Waiting>);

impl Uses {
    /// Starts the task that asks. It ends with the last who may ask.
    pub(super) fn start(
        directory: DirectoryServiceClient<Transport>,
        service: &'static str,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        lifecycle.spawn(run(directory, service, waiting));
        Self(queue)
    }

    /// Uses a token; false when it was used before.
    pub(super) async fn once(&self, used: Use) -> Result<bool, Status> {
        let gone = || Status::unavailable("nobody asks the directory any more");
        let (answer, answered) = oneshot::channel();
        self.0.send(Waiting { used, answer }).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn run(
    mut directory: DirectoryServiceClient<Transport>,
    service: &'static str,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let token = |waiting: &Waiting| UsedToken {
            token: waiting.used.token.to_vec(),
            forget_at: Some(clock::to_proto(waiting.used.forget_at)),
        };
        let request = UseTokensRequest { tokens: batch.iter().map(token).collect() };
        let request = Context::exchange(service).within(ANSWER_MAX).request(request);
        let answered = directory.use_tokens(request).await;
        let fresh = answered.map(|answer| answer.into_inner().fresh);
        for (at, waiting) in batch.drain(..).enumerate() {
            let answer = match &fresh {
                Ok(fresh) => fresh.get(at).copied().ok_or_else(|| Status::internal("an answer is missing")),
                Err(error) => Err(error.clone()),
            };
            waiting.answer.send(answer).ok();
        }
    }
}
