//! No error leaves without its `ErrorInfo`, whoever made it.

use http::Response;
use tonic::{Code, Status, body::Body};

use crate::status::Failure;

const DETAILS: &str = "grpc-status-details-bin";
/// The header that lists the compressions a server accepts, in the answer to a call that used another.
const ACCEPTED: &str = "grpc-accept-encoding";

/// The response with its error made complete, and that error, if it is one.
///
/// Handlers answer with full details; what the library answers by itself (an unknown method, a
/// message over the limit, a compression it does not know) has none and is given them here.
pub fn complete_status(response: Response<Body>) -> (Response<Body>, Option<Status>) {
    // An answer with a body carries its status in the trailers; the library writes those itself
    // only for streams that were already under way.
    let Some(status) = Status::from_header_map(response.headers()) else {
        return (response, None);
    };
    if status.code() == Code::Ok {
        return (response, None);
    }
    if response.headers().contains_key(DETAILS) {
        return (response, Some(status));
    }
    let completed = Status::from(match status.code() {
        // The size limit answers OUT_OF_RANGE, or, for a compressed message, RESOURCE_EXHAUSTED.
        Code::OutOfRange | Code::ResourceExhausted => message_too_large(),
        // Health answers it for a service it does not know.
        Code::NotFound => Failure::not_found("SERVICE_NOT_FOUND", "service", ""),
        // tonic sets the header that lists what it accepts; it is kept below.
        Code::Unimplemented if response.headers().contains_key(ACCEPTED) => Failure::new(
            Code::Unimplemented,
            "COMPRESSION_NOT_SUPPORTED",
            "The message is compressed in a way that is not supported: send it with gzip, or as it is.",
        ),
        Code::Unimplemented => Failure::new(
            Code::Unimplemented,
            "METHOD_NOT_IMPLEMENTED",
            "There is no such call, or it is not built yet: the comments in the .proto files say which are not.",
        ),
        // Ours come with details. The library answers INTERNAL when a request's framing is broken or
        // its message is missing, which is the caller's fault.
        Code::Internal => Failure::invalid_argument(
            "MALFORMED_MESSAGE",
            "The request is not one message framed as gRPC says: use a gRPC client made from the .proto files.",
        ),
        code => Failure::new(code, reason(code), status.message()),
    });
    let mut answer = completed.clone().into_http();
    if let Some(accepted) = response.headers().get(ACCEPTED) {
        answer.headers_mut().insert(ACCEPTED, accepted.clone());
    }
    (answer, Some(completed))
}

pub fn message_too_large() -> Failure {
    Failure::new(
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
        "The message is larger than the service accepts: send less in one call.",
    )
}

fn reason(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_REQUEST",
        Code::Unavailable => "UNAVAILABLE",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    }
}
