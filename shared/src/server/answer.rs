//! The body of an answer, handed to the transport in parts. The call keeps its permits until the transport has written
//! or dropped the last part.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::{open_call::OpenCall, pools::Permit, streams::Progress, turn::Turn};
use crate::audit::Record;

/// A frame of HTTP/2. The transport asks for the next part when the client has room for it.
const PART_BYTES: usize = 16 * 1024;

/// What a call holds until its answer is sent.
pub struct Holds {
    pub call: OpenCall,
    pub turn: Option<Arc<Turn>>,
    pub answer_bytes: Option<Permit>,
    /// What the audit log will say of the call, until it has ended.
    pub record: Option<Record>,
    /// When the caller's credential ends, and a stream with it.
    pub credential_ends_at: Option<Instant>,
}

impl Holds {
    /// The call has ended, with a refusal or with this message. Returns when that is written down.
    pub async fn end(&mut self, refusal: Option<&Status>, message: &[u8]) {
        match refusal {
            Some(status) => self.call.refuse(status),
            None => self.call.succeed(),
        }
        self.write_down(refusal, message).await;
    }

    /// Writes into the audit log how the call was answered.
    pub async fn write_down(&mut self, refusal: Option<&Status>, message: &[u8]) {
        if let Some(record) = self.record.take() {
            record.ended(refusal, message).await;
        }
    }
}

/// The body of an answer.
pub struct Answer {
    inner: Body,
    /// The part of the last frame that is still to be handed over.
    rest: Bytes,
    holds: Arc<Holds>,
    /// The progress of the stream that sends this answer.
    progress: Option<Arc<Progress>>,
}

impl Answer {
    /// `first` is the part of the body that was read already.
    pub fn new(response: Response<Body>, first: Bytes, holds: Holds) -> Response<Self> {
        let holds = Arc::new(holds);
        response.map(|inner| Self { inner, rest: first, holds, progress: None })
    }

    fn part(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PART_BYTES));
        let progress = Arc::clone(self.progress.get_or_insert_with(Progress::current));
        progress.hand_over();
        let generation = self.holds.call.connection().untaken().hand_over();
        Bytes::from_owner(Part { bytes, generation, progress, holds: Arc::clone(&self.holds) })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if !self.rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(self.part()))));
            }
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else { return Poll::Ready(None) };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => self.rest = data,
                Ok(Err(frame)) => {
                    match frame.trailers_ref().and_then(Status::from_header_map) {
                        Some(status) if status.code() == Code::Ok => self.holds.call.succeed(),
                        Some(status) => self.holds.call.refuse(&status),
                        None => {}
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Err(status) => {
                    self.holds.call.refuse(&status);
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }
}

/// Bytes in the hands of the transport. It drops this when it has written or discarded them.
struct Part {
    bytes: Bytes,
    generation: usize,
    progress: Arc<Progress>,
    holds: Arc<Holds>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.progress.taken();
        self.holds.call.connection().untaken().taken(self.generation);
    }
}
