//! A stream that ends when its connection closes or when its time is up.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};

use crate::status::Failure;

/// A response body that ends with DRAINING when the token is cancelled, or with DEADLINE_EXCEEDED when its time is up.
pub struct Ending {
    inner: Body,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    ends_at: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Ending {
    pub fn wrap(inner: Body, closing: CancellationToken, ends_at: Option<Instant>) -> Body {
        let ends_at = ends_at.map(|at| Box::pin(sleep_until(at)));
        Body::new(Self { inner, closing: Box::pin(closing.cancelled_owned()), ends_at, ended: false })
    }

    fn time_is_up(&mut self, context: &mut Context<'_>) -> bool {
        self.ends_at.as_mut().is_some_and(|ends_at| ends_at.as_mut().poll(context).is_ready())
    }
}

impl HttpBody for Ending {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let failure = if self.time_is_up(context) {
            Failure::deadline_exceeded()
        } else if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            // Ready frames are sent before the stream ends with DRAINING, so that the last cursor is not lost.
            return Poll::Ready(frame);
        } else if self.closing.as_mut().poll(context).is_ready() {
            Failure::draining()
        } else {
            return Poll::Pending;
        };
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let status = Status::from(failure);
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    /// A stream that always has another event.
    fn busy(closing: &CancellationToken, ends_at: Option<Instant>) -> Body {
        let events = stream::repeat_with(|| Ok::<_, Status>(Frame::data(Bytes::from_static(b"event"))));
        Ending::wrap(Body::new(StreamBody::new(events)), closing.clone(), ends_at)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_time_is_up_even_if_more_events_are_ready() {
        let mut body = busy(&CancellationToken::new(), Some(Instant::now() + std::time::Duration::from_secs(1)));
        assert!(body.frame().await.expect("a frame").expect("no error").is_data());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        let trailers = body.frame().await.expect("a frame").expect("no error").into_trailers().expect("trailers");
        assert_eq!(Status::from_header_map(&trailers).expect("a status").code(), Code::DeadlineExceeded);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn ready_events_are_sent_before_a_stream_ends_because_its_connection_closes() {
        let closing = CancellationToken::new();
        let mut body = busy(&closing, None);
        closing.cancel();
        assert!(body.frame().await.expect("a frame").expect("no error").is_data());
    }
}
