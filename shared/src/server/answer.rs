//! The body of an answer, passed to the transport in parts. The call keeps its permits until the transport has written
//! or discarded the last part.

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

use super::{call_permits::CallPermits, open_call::OpenCall, pools::Permit, streams::Progress};
use crate::audit::Record;

/// The size of a part: one HTTP/2 frame. The transport requests the next part when the client has room for it.
const PART_BYTES: usize = 16 * 1024;

/// The state that a call keeps until its answer is sent.
pub struct CallState {
    pub call: OpenCall,
    pub permits: Option<Arc<CallPermits>>,
    pub answer_bytes: Option<Permit>,
    /// The entry of the call for the audit log, until it is written.
    pub record: Option<Record>,
    /// The name of the caller's credential, once the caller is known.
    pub caller: Option<Arc<str>>,
    /// When the caller's credential expires. A stream ends then.
    pub credential_ends_at: Option<Instant>,
}

impl CallState {
    /// Ends the call with a refusal or with this message. Returns when the audit log has it.
    pub async fn end(&mut self, refusal: Option<&Status>, message: &[u8]) {
        match refusal {
            Some(status) => self.call.refuse(status),
            None => self.call.succeed(),
        }
        self.write_audit(refusal, message).await;
    }

    /// Writes the result of the call into the audit log.
    pub async fn write_audit(&mut self, refusal: Option<&Status>, message: &[u8]) {
        if let Some(record) = self.record.take() {
            record.ended(refusal, message).await;
        }
    }
}

/// The body of an answer.
pub struct Answer {
    inner: Body,
    /// The part of the last frame that was not passed to the transport yet.
    rest: Bytes,
    state: Arc<CallState>,
    /// The progress of the stream that sends this answer.
    progress: Option<Arc<Progress>>,
}

impl Answer {
    /// `first` is the part of the body that was already read.
    pub fn new(response: Response<Body>, first: Bytes, state: CallState) -> Response<Self> {
        let state = Arc::new(state);
        response.map(|inner| Self { inner, rest: first, state, progress: None })
    }

    fn part(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PART_BYTES));
        let progress = Arc::clone(self.progress.get_or_insert_with(Progress::current));
        progress.hand_over();
        let generation = self.state.call.connection().unwritten().hand_over();
        Bytes::from_owner(Part { bytes, generation, progress, state: Arc::clone(&self.state) })
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
                        Some(status) if status.code() == Code::Ok => self.state.call.succeed(),
                        Some(status) => self.state.call.refuse(&status),
                        None => {}
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Err(status) => {
                    self.state.call.refuse(&status);
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }
}

/// Bytes that the transport owns. It drops them when it has written or discarded them.
struct Part {
    bytes: Bytes,
    generation: usize,
    progress: Arc<Progress>,
    state: Arc<CallState>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.progress.written();
        self.state.call.connection().unwritten().written(self.generation);
    }
}
