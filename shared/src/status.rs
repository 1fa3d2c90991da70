//! Reports failures to gRPC clients: a code, an `ErrorInfo`, and the details for the kind of failure.

use std::{
    collections::HashMap,
    fmt::{Display, Write as _},
    time::Duration,
};

use rand::Rng as _;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

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

/// The bytes of the trailers for a list of violations.
///
/// Clients accept at least 8 KiB of headers. With one violation beyond this bound and the other fields, an answer stays
/// below that. Many clients would see a longer answer as a broken stream.
const VIOLATIONS_BYTES: usize = 6 * 1024;
/// The bytes by which the last violation may exceed that bound.
const BEYOND_BYTES: usize = 1024;

/// The violations of a request, so that they are reported together. If there are very many, the first ones and the
/// number of the rest.
#[derive(Debug, Default)]
pub struct Violations {
    listed: Vec<FieldViolation>,
    /// The bytes of the listed violations in the trailers.
    bytes: usize,
    more: usize,
    /// What the path of every field begins with, while a message inside of the request is read.
    within: String,
}

impl Violations {
    /// Adds a violation of the field at this proto path. Neither text is formatted if the list is full.
    pub fn add(&mut self, field: impl Display, description: impl Display) {
        if self.bytes >= VIOLATIONS_BYTES {
            self.more += 1;
            return;
        }
        let field = format!("{}{field}", self.within);
        let violation = FieldViolation::new(field, description.to_string());
        let bytes = self.bytes + trailer_bytes(&violation);
        if !self.listed.is_empty() && bytes > VIOLATIONS_BYTES + BEYOND_BYTES {
            // A very long field: this violation and all later ones are only counted.
            self.bytes = VIOLATIONS_BYTES;
            self.more += 1;
            return;
        }
        self.bytes = bytes;
        self.listed.push(violation);
    }

    /// The value of a field; `None` when it is invalid, with the violation added. Only then the field's path is
    /// formatted.
    pub fn check<T>(&mut self, field: impl Display, parsed: Result<T, impl Display>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error)).ok()
    }

    /// The value of an optional field: `Some(None)` when it is absent, `None` when it is invalid.
    pub fn check_optional<T>(&mut self, field: &str, parsed: Option<Result<T, impl Display>>) -> Option<Option<T>> {
        parsed.map(|parsed| self.check(field, parsed)).map_or(Some(None), |value| value.map(Some))
    }

    /// Reads a message inside of the request: the path of each wrong field begins with this one.
    pub fn within<T>(&mut self, path: impl Display, read: impl FnOnce(&mut Self) -> T) -> T {
        let around = self.within.len();
        // Writing to a string does not fail.
        let _ = write!(self.within, "{path}");
        let read = read(self);
        self.within.truncate(around);
        read
    }

    /// `Ok` when there are no violations.
    pub fn finish(self) -> Result<(), Status> {
        if self.listed.is_empty() { Ok(()) } else { Err(self.into_status()) }
    }

    /// The status that lists all violations, or the first ones and the number of the rest.
    pub fn into_status(self) -> Status {
        let fields = self.listed.iter().map(|v| v.field.as_str()).collect::<Vec<_>>().join(", ");
        let message = match self.more {
            0 => format!("These fields are missing or wrong: {fields}. BadRequest says what each must be."),
            more => format!(
                "These fields are missing or wrong: {fields}, and {more} more. BadRequest says what each of the first \
                 {} must be.",
                self.listed.len()
            ),
        };
        let mut failure = Failure::invalid_argument("INVALID_FIELDS", message);
        failure.details.set_bad_request(self.listed);
        failure.into()
    }
}

/// An upper estimate of a violation's bytes in the trailers. Its field is once in `grpc-message`, and twice in
/// `grpc-status-details-bin`, where base64 makes four bytes of three.
fn trailer_bytes(violation: &FieldViolation) -> usize {
    // The separators in both messages (a space in one of them is %20), and the tags and lengths of the details.
    const FRAME: usize = 20;
    let (field, description) = (violation.field.len(), violation.description.len());
    let in_message: usize = violation.field.bytes().map(percent_encoded_bytes).sum();
    FRAME + in_message + (2 * field + description) * 4 / 3
}

/// The size of a byte in `grpc-message`, which gRPC percent-encodes.
fn percent_encoded_bytes(byte: u8) -> usize {
    if byte.is_ascii_graphic() && !b"\"#%<>?`{}".contains(&byte) { 1 } else { 3 }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// The sum that HTTP/2 compares with `SETTINGS_MAX_HEADER_LIST_SIZE`.
    fn header_list_bytes(status: &Status) -> usize {
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).expect("it can be sent");
        trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    fn refusal(faults: usize, description: &str) -> Status {
        let mut violations = Violations::default();
        for index in 0..faults {
            violations.add(format_args!("exceptions[{index}].price_per_person_cents"), description);
        }
        violations.into_status()
    }

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
    fn a_failure_that_a_retry_cannot_solve_has_no_retry_delay() {
        let too_large = Failure::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "Send less.");
        assert_eq!(pushback(too_large).as_deref(), Some("-1"));
        assert_eq!(pushback(Failure::deadline_exceeded()), None);
    }

    #[test]
    fn a_field_of_a_message_inside_of_the_request_has_its_whole_path() {
        let mut violations = Violations::default();
        violations.within("messages[3].", |violations| {
            violations.within("parts[0].", |violations| violations.add("text", "must be short"));
            violations.add("role", "is required");
        });
        violations.add("conversation_id", "is required");
        let listed = violations.into_status().get_details_bad_request().expect("a BadRequest").field_violations;
        let fields: Vec<_> = listed.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["messages[3].parts[0].text", "messages[3].role", "conversation_id"]);
    }

    #[test]
    fn few_violations_are_all_listed() {
        let status = refusal(10, "must be 0 to 100000000 minor units");
        assert_eq!(status.get_details_bad_request().expect("a BadRequest").field_violations.len(), 10);
        assert!(status.message().ends_with("[9].price_per_person_cents. BadRequest says what each must be."));
    }

    #[test]
    fn of_very_many_violations_the_first_are_listed_and_the_rest_is_counted() {
        for description in ["x", "must be 0 to 100000000 minor units", &"must be one of these names ".repeat(8)] {
            let status = refusal(4000, description);
            let listed = status.get_details_bad_request().expect("a BadRequest").field_violations.len();
            assert!(listed >= 10, "{listed}");
            let rest = format!(", and {} more. ", 4000 - listed);
            assert!(status.message().contains(&rest), "{}", status.message());
            // Room for the headers of every answer: content-type, date, the call's id.
            let bytes = header_list_bytes(&status);
            assert!((5 * 1024..8 * 1024 - 512).contains(&bytes), "{bytes} bytes, {listed} listed");
        }
    }

    #[test]
    fn long_percent_encoded_fields_stay_within_the_bound() {
        let mut violations = Violations::default();
        for _ in 0..100 {
            violations.add("席".repeat(140), "must be a finite number");
        }
        assert_eq!((violations.listed.len(), violations.more), (2, 98));
        let bytes = header_list_bytes(&violations.into_status());
        assert!(bytes < 8 * 1024 - 512, "{bytes} bytes");
    }

    #[test]
    fn violations_beyond_the_bound_are_not_formatted() {
        struct Unformatted;
        impl Display for Unformatted {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("it is formatted")
            }
        }
        let mut violations = Violations::default();
        while violations.bytes < VIOLATIONS_BYTES {
            violations.add("queries", "must be 1 to 500");
        }
        assert_eq!(violations.check(Unformatted, Err::<(), _>(Unformatted)), None);
        assert_eq!(violations.more, 1);
    }
}
