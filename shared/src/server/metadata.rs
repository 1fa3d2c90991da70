//! The limit of a call's metadata.
//!
//! The HTTP/2 library has a limit too. Above its limit it answers without a gRPC status, and far above it ends the
//! connection with all its calls. So the library's limit is set well above this one, and a call between the two limits
//! is refused here with a reason.

use http::HeaderMap;
use tonic::Code;

use crate::status::Failure;

/// The most metadata of a call, counted as HTTP/2 counts it. A trace context, a deadline and a token need far less.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// The most metadata that the library reads. A connection reads the headers of one call at a time, so this also bounds
/// the memory of a connection for headers. The library ends a connection that sends a quarter more.
pub const READ_BYTES_MAX: u32 = 128 * 1024;
/// HTTP/2 counts this many bytes for each header in addition to its name and value.
const HEADER_BYTES: usize = 32;

/// The failure for a call whose metadata is too large; `None` otherwise.
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
    fn the_size_of_metadata_is_counted_as_http2_counts_it() {
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
