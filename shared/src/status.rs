//! Reports failures to gRPC clients: a code, an `ErrorInfo`, and the details for the kind of failure.

mod violations;

use std::{collections::HashMap, fmt::Display, time::Duration};

use prost::Message;
use prost_types::Any;
use rand::Rng as _;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt};

pub use self::violations::Violations;

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "teppan";

/// The default delay before a client should retry.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The same for a call that another replica can answer at once.
const RETRY_ELSEWHERE_AFTER: Duration = Duration::from_millis(100);
/// Delays are extended at random by up to this factor, so that clients that were refused together do not retry
/// together.
const SPREAD: f64 = 1.5;
/// The trailer that controls the retry policies of gRPC clients (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A failure for a client.
///
/// `reason` is for programs, `message` states what to do next. Variable values are in the metadata. None of them may
/// contain personal data, SQL or internals.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
    retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
            retry_after: None,
        }
    }

    pub fn invalid_argument(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, reason, message)
    }

    /// A resource of the request does not exist. `kind` is its type, `name` its id.
    pub fn not_found(reason: &'static str, kind: &str, name: impl Display) -> Self {
        let message = format!("No such {kind}: check its id.");
        let name = name.to_string();
        let mut failure = Self::new(Code::NotFound, reason, message);
        failure.details.set_resource_info(format!("teppan/{kind}"), name.as_str(), "", "");
        if name.is_empty() { failure } else { failure.with("resource_name", name) }
    }

    /// Replaces the message by a more specific one.
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The request is valid, but the current state forbids it. `subject` is the obstacle, as a proto field path or a
    /// resource.
    pub fn precondition(reason: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let mut failure = Self::new(Code::FailedPrecondition, reason, message);
        let violation = PreconditionViolation::new(reason, subject.into(), failure.message.clone());
        failure.details.set_precondition_failure(vec![violation]);
        failure
    }

    /// Too many calls at once; the same call may succeed soon.
    pub fn overloaded() -> Self {
        Self::new(
            Code::ResourceExhausted,
            "OVERLOADED",
            "The service is at its limit: wait as long as RetryInfo says, then send the same call again.",
        )
        .retry_after(RETRY_AFTER)
    }

    /// The database cannot be reached; the same call may succeed soon.
    pub fn database_unavailable() -> Self {
        Self::new(
            Code::Unavailable,
            "DATABASE_UNAVAILABLE",
            "The database cannot be reached: send the same call again after the time in RetryInfo.",
        )
        .retry_after(RETRY_AFTER)
    }

    /// The server stops or renews the connection. Another replica, or this one over a new connection, can answer the
    /// call.
    pub fn draining() -> Self {
        Self::new(
            Code::Unavailable,
            "DRAINING",
            "The connection ends: send the same call again, with the same idempotency key, over a new one.",
        )
        .retry_after(RETRY_ELSEWHERE_AFTER)
    }

    /// The deadline of the call passed before it was done; it may or may not have taken effect.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "The call's time was up before it was done: send it again, with the same idempotency key.",
        )
    }

    /// Stored data cannot be read. The client gets no details; they are in the log.
    pub fn data_corrupted() -> Self {
        Self::new(Code::Internal, "DATA_CORRUPTED", "Stored data cannot be read: the operators have to look into it.")
    }

    /// A fault of the service itself. The client gets no details; they are in the log.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "INTERNAL", "The service failed: the operators have to look into it.")
    }

    /// Adds a value to the `ErrorInfo`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Requests a retry after this time, or up to half as much more.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay.mul_f64(rand::rng().random_range(1.0..SPREAD))), ..self }
    }

    /// The value for the retry policy of a client: a delay, or "do not retry". `None` if the code is enough.
    fn pushback(&self) -> Option<MetadataValue<tonic::metadata::Ascii>> {
        match self.retry_after {
            Some(delay) => MetadataValue::try_from(delay.as_millis().to_string()).ok(),
            // A message that is too large has this code too; a retry would not help.
            None if self.code == Code::ResourceExhausted => Some(MetadataValue::from_static("-1")),
            None => None,
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut trailers = MetadataMap::new();
        if let Some(pushback) = failure.pushback() {
            trailers.insert(PUSHBACK, pushback);
        }
        let Failure { code, reason, message, metadata, mut details, retry_after } = failure;
        details.set_error_info(reason, DOMAIN, metadata);
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        Status::with_error_details_and_metadata(code, message, details, trailers)
    }
}

/// Adds a detail of the contract's own to a failure. `name` is the full name of its message, such as
/// `teppan.booking.v1.Alternatives`.
pub fn with_detail(status: Status, name: &str, detail: &impl Message) -> Status {
    // Our own statuses always have readable details.
    let Ok(mut details) = tonic_types::pb::Status::decode(status.details()) else { return status };
    details.details.push(Any { type_url: format!("type.googleapis.com/{name}"), value: detail.encode_to_vec() });
    let (code, message, trailers) = (status.code(), status.message().to_owned(), status.metadata().clone());
    Status::with_details_and_metadata(code, message, details.encode_to_vec().into(), trailers)
}

/// Why a call failed, in one word: the reason of its `ErrorInfo`, or its code where it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| code_name(status.code()).to_owned(), |info| info.reason)
}

pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushback(failure: Failure) -> Option<String> {
        let status = Status::from(failure);
        let pushback = status.metadata().get(PUSHBACK)?.to_str().ok()?.to_owned();
        let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!(
            pushback,
            delay.map_or("-1".to_owned(), |delay| delay.as_millis().to_string()),
            "the pushback trailer and RetryInfo are equal"
        );
        Some(pushback)
    }

    #[test]
    fn the_pushback_trailer_has_a_different_delay_for_each_client() {
        let times: Vec<u64> =
            (0..100).map(|_| pushback(Failure::overloaded()).expect("a time").parse().expect("milliseconds")).collect();
        assert!(times.iter().all(|time| (500..=750).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]), "{times:?}");
    }

    #[test]
    fn a_detail_of_the_contract_is_added_to_the_others() {
        let failure = Failure::precondition("SLOT_FULL", "slots/1", "Choose another slot.").with("open_seats", 1);
        let status = with_detail(failure.into(), "teppan.booking.v1.Alternatives", &String::from("a message"));
        assert_eq!(reason(&status), "SLOT_FULL");
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "Choose another slot."));
        assert!(status.get_details_precondition_failure().is_some());
        let details = tonic_types::pb::Status::decode(status.details()).expect("details").details;
        let last = details.last().expect("a detail");
        assert_eq!(last.type_url, "type.googleapis.com/teppan.booking.v1.Alternatives");
        assert_eq!(String::decode(&*last.value).as_deref(), Ok("a message"));
    }

    #[test]
    fn a_failure_that_a_retry_cannot_solve_has_no_retry_delay() {
        let too_large = Failure::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "Send less.");
        assert_eq!(pushback(too_large).as_deref(), Some("-1"));
        assert_eq!(pushback(Failure::deadline_exceeded()), None);
    }
}
