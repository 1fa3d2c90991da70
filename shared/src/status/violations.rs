//! Every fault of a request, reported at once.

use std::fmt::{Display, Write as _};

use tonic::Status;
use tonic_types::FieldViolation;

use super::Failure;

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

    use tonic_types::StatusExt as _;

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
