//! Decodes the fields that all requests to change a booking have in common.

use teppan_shared::{status::Violations, wire::given};
use tonic::Status;

use crate::{
    bookings::change::BookingTarget,
    domain::{BookingId, Etag},
};

/// Decodes a request that has only the common fields, or returns every violation.
pub fn decode(booking_id: &str, etag: String, validate_only: bool) -> Result<BookingTarget, Status> {
    let mut violations = Violations::default();
    target(booking_id, etag, validate_only, &mut violations).ok_or_else(|| violations.into_status())
}

/// Decodes the common fields.
pub fn target(
    booking_id: &str,
    etag: String,
    validate_only: bool,
    violations: &mut Violations,
) -> Option<BookingTarget> {
    let booking_id = violations.check("booking_id", BookingId::parse(booking_id))?;
    Some(BookingTarget { booking_id, etag: given(etag).map(|etag| Etag::parse(&etag)), validate_only })
}
