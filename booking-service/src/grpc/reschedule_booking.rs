use teppan_shared::{contract::booking::v1::RescheduleBookingRequest, status::Violations, wire::given};
use tonic::Status;

use super::{cancel_booking, change_booking};
use crate::{
    bookings::reschedule::Reschedule,
    domain::{AreaKey, PartySize, parse_date, parse_start_time},
};

/// Decodes the request, or returns every violation.
pub fn decode(request: RescheduleBookingRequest) -> Result<Reschedule, Status> {
    let mut violations = Violations::default();
    let target = change_booking::target(&request.booking_id, request.etag, request.validate_only, &mut violations);
    let date = violations.check_optional("date", given(request.date).map(|date| parse_date(&date)));
    let start_time =
        violations.check_optional("start_time", given(request.start_time).map(|time| parse_start_time(&time)));
    let party_size = violations.check_optional("party_size", request.party_size.map(PartySize::parse));
    if request.expected_total_cents.is_some_and(|cents| cents < 0) {
        violations.add("expected_total_cents", "must not be negative");
    }
    let area = violations.check_optional("area", given(request.area).map(|area| AreaKey::parse(&area)));
    let by = cancel_booking::initiator("rescheduled_by", request.rescheduled_by, &mut violations);
    let (Some(target), Some(date), Some(start_time), Some(party_size), Some(area), Some(by)) =
        (target, date, start_time, party_size, area, by)
    else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok(Reschedule {
        target,
        date,
        start_time,
        party_size,
        expected_total_cents: request.expected_total_cents,
        area,
        allows_duplicate: request.allow_duplicate,
        by,
    })
}
