use teppan_shared::{contract::booking::v1::GetBookingRequest, status::Violations};
use tonic::Status;

use crate::{
    bookings::get::BookingLookup,
    domain::{BookingId, ConfirmationCode},
};

/// Decodes the request, or returns every violation.
pub fn decode(request: &GetBookingRequest) -> Result<BookingLookup, Status> {
    let mut violations = Violations::default();
    let name = match (request.booking_id.as_str(), request.confirmation_code.as_str()) {
        (id, "") => {
            let id = BookingId::parse(id).map_err(|must| format!("{must}; or give confirmation_code instead"));
            violations.check("booking_id", id).map(BookingLookup::Id)
        }
        ("", code) => violations.check("confirmation_code", ConfirmationCode::parse(code)).map(BookingLookup::Code),
        _ => {
            violations.add("booking_id", "must not be given together with confirmation_code");
            None
        }
    };
    name.ok_or_else(|| violations.into_status())
}
