//! Answers that take their time: whoever they go to is judged again while they flow.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

/// Frames after which an answer is one that takes its time, also when it never waits.
const FRAMES_AT_ONCE: u32 = 8;

type Verdict = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Sends a body until `verdict` comes, which then is how it ends. A body that is there at once is sent as it is.
pub(super) fn until<V>(body: Body, verdict: V) -> Body
where
    V: Future<Output = Status> + Send + 'static,
{
    Body::new(Until { body, verdict: Some(Box::pin(verdict)), frames: 0 })
}

struct Until {
    body: Body,
    /// Absent once it has come.
    verdict: Option<Verdict>,
    frames: u32,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(verdict) = &mut this.verdict else { return Poll::Ready(None) };
        if this.frames >= FRAMES_AT_ONCE
            && let Poll::Ready(status) = verdict.as_mut().poll(cx)
        {
            this.verdict = None;
            return Poll::Ready(Some(end(&status)));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.frames = match polled {
            Poll::Pending => FRAMES_AT_ONCE,
            Poll::Ready(_) => this.frames.saturating_add(1),
        };
        if polled.is_pending()
            && let Poll::Ready(status) = verdict.as_mut().poll(cx)
        {
            this.verdict = None;
            return Poll::Ready(Some(end(&status)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.verdict.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The trailers with which an answer ends.
pub(super) fn end(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = http::HeaderMap::with_capacity(3);
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;

    fn body(frames: impl Iterator<Item = &'static str> + Send + 'static) -> Body {
        let frames = frames.map(|text| Ok::<_, Status>(Frame::data(Bytes::from(text))));
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_short_answer_is_sent_whatever_the_verdict() {
        let short = until(body(["a", "b"].into_iter()), async { Status::aborted("late") });
        let sent = short.collect().await.unwrap();
        assert!(sent.trailers().is_none());
        assert_eq!(sent.to_bytes().as_ref(), b"ab");
    }

    #[tokio::test]
    async fn an_answer_that_goes_on_ends_with_the_verdict() {
        let long = until(body(std::iter::repeat("x")), async { Status::unauthenticated("gone") });
        let sent = long.collect().await.unwrap();
        let status = Status::from_header_map(sent.trailers().unwrap()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "gone"));
        let silent =
            Body::new(StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Status>>()));
        let sent = until(silent, async { Status::unauthenticated("gone") }).collect().await.unwrap();
        assert!(sent.trailers().is_some());
    }
}
