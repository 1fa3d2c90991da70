//! Reads the message of a call, bounded in time and bytes. The call counts as work only when its message is complete.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::{HeaderMap, Request};
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
/// A compressed message is unpacked, and takes its permit, by so many bytes at a time.
const UNPACKED_BYTES: usize = 16 * 1024;

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
        let (message, mut permit) = timeout_at(by, self.read(body)).await.map_err(|_| self.too_slow())??;
        let message = if is_gzip(&parts.headers, &message) { self.unpack(message, &mut permit)? } else { message };
        Ok((Request::from_parts(parts, message), permit))
    }

    /// The frame of a message that was compressed, without the compression. The library would unpack it too, but
    /// without a permit: a few KiB can become the largest message there is. One that is broken is left to the library.
    fn unpack(&self, packed: Bytes, permit: &mut Permit) -> Result<Bytes, Status> {
        let mut decoder = GzDecoder::new(&packed[HEAD_BYTES..]);
        let mut frame = vec![0; HEAD_BYTES];
        loop {
            let before = frame.len();
            match decoder.by_ref().take(UNPACKED_BYTES as u64).read_to_end(&mut frame) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return Ok(packed),
            }
            if frame.len() - HEAD_BYTES > self.message_bytes_max {
                return Err(message_too_large().into());
            }
            if !permit.grow(self.pools, frame.len() - before) {
                return Err(overloaded());
            }
        }
        let length = u32::try_from(frame.len() - HEAD_BYTES).map_err(|_| message_too_large())?;
        frame[1..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(frame.into())
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

/// Whether a whole message came compressed, in the way that the services take.
fn is_gzip(headers: &HeaderMap, message: &[u8]) -> bool {
    let length =
        message.get(1..HEAD_BYTES).map(|length| length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
    headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip")
        && message.first() == Some(&1)
        && length == Some(message.len() - HEAD_BYTES)
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
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

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

    fn packed(content: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("it is written");
        let content = encoder.finish().expect("it ends");
        [&[1][..], &u32::try_from(content.len()).expect("short").to_be_bytes(), &content].concat().into()
    }

    #[test]
    fn a_compressed_message_counts_as_it_is_unpacked() {
        let pools = Pools::sized(|_| 1 << 20);
        let holders = Holders::default();
        let now = Instant::now();
        let arrival =
            Arrival { pools: &pools, holders: &holders, ends_at: now, arrives_by: now, message_bytes_max: 100_000 };
        let unpack = |message: &Bytes| {
            let mut permit = pools.empty(Resource::ArrivingBytes, &holders);
            arrival.unpack(message.clone(), &mut permit).map(|frame| (frame, permit.count()))
        };
        let (frame, bytes) = unpack(&packed(&vec![7; 100_000])).expect("it fits");
        assert_eq!((&frame[..HEAD_BYTES], frame.len(), bytes), (&[0, 0, 1, 0x86, 0xa0][..], 100_005, 100_000));
        assert_eq!(unpack(&packed(&vec![7; 100_001])).expect_err("too large").code(), Code::ResourceExhausted);
        let (frame, _) = unpack(&packed(b"")).expect("it fits");
        assert_eq!(&frame[..], [0; HEAD_BYTES]);
        let broken = packed(&[7; 1000]);
        let broken = broken.slice(..broken.len() - 4);
        assert_eq!(unpack(&broken).expect("it is left as it is").0, broken);
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
