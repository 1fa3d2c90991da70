use teppan_shared::{contract::booking::v1::UpdateSlotRequest, status::Violations};
use tonic::Status;

use super::{
    set_weekly_schedule::{CAPACITY_MAX, check_price},
    update_mask,
};
use crate::domain::{SlotChange, SlotKey, VenueId, parse_date, parse_start_time};

/// Decodes the request, or returns every violation. Of the slot only its key and the fields in the mask are read.
pub fn decode(request: UpdateSlotRequest) -> Result<(SlotKey, SlotChange), Status> {
    let mut violations = Violations::default();
    let slot = request.slot.unwrap_or_default();
    let venue_id = violations.check("slot.venue_id", VenueId::parse(&slot.venue_id));
    let date = violations.check("slot.date", parse_date(&slot.date));
    let start_time = violations.check("slot.start_time", parse_start_time(&slot.start_time));
    let mut change = SlotChange::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    update_mask::apply(&paths, "closed or capacity", &mut violations, |path, violations| {
        match path {
            "closed" => change.closed = Some(slot.closed),
            "capacity" => {
                if !(0..=CAPACITY_MAX).contains(&slot.capacity) {
                    violations.add("slot.capacity", format_args!("must be 0 to {CAPACITY_MAX} seats"));
                }
                change.capacity = Some(slot.capacity);
            }
            "price_per_person_cents" => {
                check_price(slot.price_per_person_cents, "slot.price_per_person_cents", violations);
                change.price_per_person_cents = Some(slot.price_per_person_cents);
            }
            _ => return false,
        }
        true
    });

    let (Some(venue_id), Some(date), Some(start_time)) = (venue_id, date, start_time) else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok((SlotKey { venue_id, date, start_time }, change))
}
