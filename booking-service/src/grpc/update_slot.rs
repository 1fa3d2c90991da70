use teppan_shared::{contract::booking::v1::UpdateSlotRequest, status::Violations};
use tonic::Status;

use super::set_weekly_schedule::{CAPACITY_MAX, check_price};
use crate::domain::{SlotChange, SlotKey, VenueId, parse_date, parse_start_time};

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: &UpdateSlotRequest) -> Result<(SlotKey, SlotChange), Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let date = violations.check("date", parse_date(&request.date));
    let start_time = violations.check("start_time", parse_start_time(&request.start_time));
    let change = SlotChange {
        closed: request.closed,
        capacity: request.capacity,
        price_per_person_cents: request.price_per_person_cents,
    };
    if let Some(capacity) = change.capacity
        && !(0..=CAPACITY_MAX).contains(&capacity)
    {
        violations.add("capacity", format_args!("must be 0 to {CAPACITY_MAX} seats"));
    }
    if let Some(cents) = change.price_per_person_cents {
        check_price(cents, "price_per_person_cents", &mut violations);
    }
    if (change.closed, change.capacity, change.price_per_person_cents) == (None, None, None) {
        violations.add("closed", "must be given, or capacity, or price_per_person_cents");
    }

    let (Some(venue_id), Some(date), Some(start_time)) = (venue_id, date, start_time) else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok((SlotKey { venue_id, date, start_time }, change))
}
