//! How much metadata a call may bring.
//!
//! Beyond its own limit the HTTP/2 library answers by itself, without a gRPC status, and far beyond it ends the
//! connection with every call on it. So its limit is well above ours, and calls between the two are refused here
//! with a reason.

use http::HeaderMap;
use tonic::Code;

use crate::status::Failure;

/// What a call may bring, counted as HTTP/2 does. Far more than a trace context, a deadline and a token need.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// What the library reads. A connection reads the headers of one call at a time, so this bounds what one can make it
/// keep; the library ends connections that send a quarter more.
pub const READ_BYTES_MAX: u32 = 128 * 1024;
/// What HTTP/2 counts for each header besides its name and value.
const HEADER_BYTES: usize = 32;

/// Why a call with these headers is refused, where they are too many.
pub fn refusal(headers: &HeaderMap) -> Option<Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum();
    if bytes <= METADATA_BYTES_MAX {
        return None;
    }
    let failure = Failure::new(
        Code::ResourceExhausted,
        "METADATA_TOO_LARGE",
        "The call's metadata is larger than the service accepts: send less of it.",
    );
    Some(failure.with("max_bytes", METADATA_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_counted_as_http2_does() {
        let headers = |bytes: usize| {
            let mut headers = HeaderMap::new();
            headers.insert("x-long", "x".repeat(bytes).parse().expect("a header value"));
            headers
        };
        let room = METADATA_BYTES_MAX - HEADER_BYTES - "x-long".len();
        assert!(refusal(&headers(room)).is_none());
        assert!(refusal(&headers(room + 1)).is_some());
    }
}
