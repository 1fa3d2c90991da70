//! Reads the message of a call, bounded in time and bytes. The call counts as work only when its message is complete.

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::{
    complete_status::message_too_large,
    pools::{Holders, Permit, Pools, Resource},
};
use crate::status::Failure;

/// The header of a gRPC message: the compression flag and the length.
const HEAD_BYTES: usize = 5;

/// The bounds for reading a message.
pub struct Arrival<'a> {
    pub pools: &'a Pools,
    pub holders: &'a Holders,
    /// The deadline of the call.
    pub ends_at: Instant,
    /// The time by which the message must be complete.
    pub arrives_by: Instant,
    pub message_bytes_max: usize,
}

/// Reads the message of a refused call and drops it. An answer before the end of the message would reset the stream,
/// and HTTP/2 ends a connection on which data arrives for many reset streams.
pub async fn discard(mut body: Incoming, by: Instant) {
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    // The stream of a client that sends too slowly is reset.
    let _ = timeout_at(by, reading).await;
}

impl Arrival<'_> {
    /// The request with its whole message, and the permit for its bytes.
    ///
    /// # Errors
    /// The message is too large, arrives too slowly, is not exactly one message, or the pools have no room for it.
    pub async fn collect(&self, request: Request<Incoming>) -> Result<(Request<Bytes>, Permit), Status> {
        let (parts, body) = request.into_parts();
        let _arriving = self.pools.take(Resource::Arriving, self.holders, 1).ok_or_else(overloaded)?;
        let by = self.ends_at.min(self.arrives_by);
        let (message, permit) = timeout_at(by, self.read(body)).await.map_err(|_| self.too_slow())??;
        Ok((Request::from_parts(parts, message), permit))
    }

    async fn read(&self, mut body: Incoming) -> Result<(Bytes, Permit), Status> {
        let mut message = Message::default();
        let mut permit = self.pools.empty(Resource::ArrivingBytes, self.holders);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| cancelled())?.into_data() else { continue };
            if !permit.grow(self.pools, data.len()) {
                return Err(overloaded());
            }
            message.add(data);
            message.check(self.message_bytes_max)?;
        }
        Ok((message.whole(), permit))
    }

    fn too_slow(&self) -> Status {
        let failure = Failure::deadline_exceeded();
        if self.ends_at <= self.arrives_by {
            return failure.into();
        }
        let message = "The call's message did not arrive in time: send it whole, soon after the call's beginning.";
        failure.with_message(message).into()
    }
}

/// The bytes received so far. Most messages arrive in one piece, which is not copied.
#[derive(Default)]
struct Message {
    first: Bytes,
    rest: BytesMut,
}

impl Message {
    fn add(&mut self, data: Bytes) {
        if self.rest.is_empty() && self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&data);
    }

    fn so_far(&self) -> &[u8] {
        if self.rest.is_empty() { &self.first } else { &self.rest }
    }

    /// Refuses more than one message, and a message that is too large. The library refuses an incomplete message.
    fn check(&self, message_bytes_max: usize) -> Result<(), Status> {
        let so_far = self.so_far();
        let Some((head, message)) = so_far.split_at_checked(HEAD_BYTES) else { return Ok(()) };
        let length = head[1..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length > message_bytes_max {
            return Err(message_too_large().into());
        }
        if message.len() > length {
            return Err(Failure::invalid_argument(
                "MALFORMED_MESSAGE",
                "The call takes one message, and more was sent: send one message framed as gRPC says.",
            )
            .into());
        }
        Ok(())
    }

    fn whole(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

fn overloaded() -> Status {
    Failure::overloaded().into()
}

fn cancelled() -> Status {
    Failure::new(Code::Cancelled, "CANCELLED", "The call was given up before its message was there.").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(pieces: &[&'static [u8]]) -> Message {
        let mut message = Message::default();
        for piece in pieces {
            message.add(Bytes::from_static(piece));
        }
        message
    }

    #[test]
    fn the_pieces_of_a_message_are_joined_in_order() {
        assert_eq!(message(&[b"\0\0\0\0\x03abc"]).whole(), "\0\0\0\0\x03abc");
        assert_eq!(message(&[b"\0\0", b"\0\0\x03", b"a", b"bc"]).whole(), "\0\0\0\0\x03abc");
        assert_eq!(message(&[]).whole(), "");
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_as_soon_as_its_length_is_read() {
        let announced = message(&[b"\0\0\0\x10\x01"]);
        assert!(announced.check(4097).is_ok());
        assert!(announced.check(4096).is_err());
    }

    #[test]
    fn a_second_message_in_a_call_is_refused() {
        assert!(message(&[b"\0\0\0\0\x01a"]).check(10).is_ok());
        assert!(message(&[b"\0\0\0\0\x01a", b"\0"]).check(10).is_err());
    }
}
