//! Answers while they are sent: what nobody reads is not kept for ever.
//!
//! An answer whose client takes no frame keeps what it was made of, and its place among the answers of its member. It is ended when
//! nothing of it was taken for a while. One that waits for something to tell is another thing: it may take as long as it likes.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::{status, stream};

/// How long an answer is kept of which nothing is taken.
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// The answers that are sent on one connection.
#[derive(Default)]
pub(super) struct Answers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Arc<Mutex<Sending>>>>,
}

/// An answer that is being sent.
struct Sending {
    /// The answer, and what is kept as long as it is there; `None` once it was ended.
    content: Option<(Body, Box<dyn Any + Send>)>,
    /// When it was last asked for a frame.
    asked: Instant,
    /// True when it had none then: it will be asked again as soon as it has one.
    waits: bool,
    /// True when the client was told that it was ended.
    told: bool,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({})", lock(&self.0.all).len())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// Sends an answer, and keeps something as long as it is being sent.
    pub(super) fn send<T: Send + 'static>(&self, body: Body, kept: T) -> Body {
        let content = Some((body, Box::new(kept) as Box<dyn Any + Send>));
        let sending = Sending { content, asked: Instant::now(), waits: false, told: false };
        let (number, sending) = (self.0.next.fetch_add(1, Ordering::Relaxed), Arc::new(Mutex::new(sending)));
        lock(&self.0.all).insert(number, sending.clone());
        Body::new(Sent { number, sending, answers: self.0.clone() })
    }

    /// Ends the answers of which nothing was taken for too long.
    pub(super) fn end_unread(&self, now: Instant) {
        let unread = |sending: &Arc<Mutex<Sending>>| {
            let mut sending = lock(sending);
            let is_unread = !sending.waits && now.saturating_duration_since(sending.asked) >= UNREAD_MAX;
            if is_unread { sending.content.take() } else { None }
        };
        let ended: Vec<_> = lock(&self.0.all).values().filter_map(unread).collect();
        if !ended.is_empty() {
            tracing::warn!(answers = ended.len(), "answers that nobody reads were ended");
        }
    }
}

/// An answer, as the transport sees it.
struct Sent {
    number: u64,
    sending: Arc<Mutex<Sending>>,
    answers: Arc<Shared>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        lock(&self.answers.all).remove(&self.number);
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut sending = lock(&self.sending);
        let Some((body, _)) = &mut sending.content else {
            let told = std::mem::replace(&mut sending.told, true);
            let text = "nothing of the answer was read for 30 s: it has ended";
            let ended = || stream::end(&status::error(Code::Aborted, "ANSWER_NOT_READ", text));
            return Poll::Ready((!told).then(ended));
        };
        let polled = Pin::new(body).poll_frame(cx);
        sending.asked = Instant::now();
        sending.waits = polled.is_pending();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let sending = lock(&self.sending);
        sending.content.as_ref().map_or(sending.told, |(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let sending = lock(&self.sending);
        sending.content.as_ref().map_or_else(SizeHint::default, |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn frames() -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Status>> + Send {
        futures_util::stream::iter(["a", "b"].map(|text| Ok(Frame::data(Bytes::from(text)))))
    }

    #[tokio::test]
    async fn an_answer_of_which_nothing_is_taken_is_ended_and_no_other() {
        let answers = Answers::default();
        let kept: [Arc<()>; 4] = Default::default();
        let send = |at: usize, body| answers.send(body, kept[at].clone());
        let is_there = |at: usize| Arc::strong_count(&kept[at]) == 2;
        let untouched = send(0, Body::new(StreamBody::new(frames())));
        let mut begun = send(1, Body::new(StreamBody::new(frames())));
        begun.frame().await.unwrap().unwrap();
        let silent = futures_util::stream::pending::<Result<Frame<Bytes>, Status>>();
        let mut waits = send(2, Body::new(StreamBody::new(silent)));
        assert!(futures_util::FutureExt::now_or_never(waits.frame()).is_none());
        let read = send(3, Body::new(StreamBody::new(frames())));
        assert_eq!(read.collect().await.unwrap().to_bytes().as_ref(), b"ab");
        assert!(!is_there(3), "it was sent");
        answers.end_unread(Instant::now());
        assert!((0..3).all(is_there), "it is too soon");
        answers.end_unread(Instant::now() + UNREAD_MAX);
        assert!(!is_there(0) && !is_there(1) && is_there(2));
        for ended in [untouched, begun] {
            let sent = ended.collect().await.unwrap();
            let told = Status::from_header_map(sent.trailers().unwrap()).unwrap();
            assert_eq!(status::reason(&told), "ANSWER_NOT_READ");
        }
        drop(waits);
        assert_eq!(format!("{answers:?}"), "Answers(0)");
    }
}
