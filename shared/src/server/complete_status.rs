//! Adds an `ErrorInfo` to every error that lacks one.

use http::Response;
use tonic::{Code, Status, body::Body};

use crate::status::Failure;

const DETAILS: &str = "grpc-status-details-bin";
/// The header that lists the compressions that the server accepts. tonic sets it when a call uses another one.
const ACCEPTED: &str = "grpc-accept-encoding";

/// The response with a complete error, and that error if there is one.
///
/// Handlers answer with full details. Errors of the library (unknown method, message over the limit, unknown
/// compression) have none, and this function adds them.
pub fn complete_status(response: Response<Body>) -> (Response<Body>, Option<Status>) {
    // An answer with a body has its status in the trailers. The library itself writes trailers only for streams that
    // have already begun.
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
        // Above the size limit the library answers OUT_OF_RANGE, or RESOURCE_EXHAUSTED for a compressed message.
        Code::OutOfRange | Code::ResourceExhausted => message_too_large(),
        // The health service answers this for a service that it does not know.
        Code::NotFound => Failure::not_found("SERVICE_NOT_FOUND", "service", ""),
        // The header of accepted compressions is copied below.
        Code::Unimplemented if response.headers().contains_key(ACCEPTED) => Failure::new(
            Code::Unimplemented,
            "COMPRESSION_NOT_SUPPORTED",
            "The message is compressed in a way that is not supported: send it with gzip, or as it is.",
        ),
        Code::Unimplemented => Failure::new(
            Code::Unimplemented,
            "METHOD_NOT_IMPLEMENTED",
            "There is no such call in this version of the service.",
        ),
        // The service's own INTERNAL has details. The library answers INTERNAL when the framing of a request is broken
        // or its message is missing; that is the caller's fault.
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
