use std::collections::BTreeMap;

use teppan_shared::{
    contract::booking::v1::{ListFloorRequest, ListFloorResponse, PartiesOfArea},
    status::Violations,
    wire::{instant, timestamp},
};
use tonic::Status;

use super::encode;
use crate::{
    bookings::list_floor::{FloorParties, FloorQuery},
    domain::{Attendance, VenueId},
};

const WINDOW_DEFAULT: u16 = 60;
const WINDOW_MAX: u16 = 1440;

/// Decodes the request, or returns every violation.
pub fn decode(request: &ListFloorRequest) -> Result<FloorQuery, Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let at = request.at.as_ref().map(|at| instant(at).ok_or("must be a timestamp"));
    let at = violations.check_optional("at", at);
    let window_minutes = match u16::try_from(request.window_minutes) {
        Ok(0) => WINDOW_DEFAULT,
        Ok(minutes) if minutes <= WINDOW_MAX => minutes,
        _ => {
            violations.add("window_minutes", format_args!("must be 0 to {WINDOW_MAX} minutes"));
            0
        }
    };
    let (Some(venue_id), Some(at)) = (venue_id, at) else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok(FloorQuery { venue_id, at, window_minutes })
}

pub fn encode(found: FloorParties) -> ListFloorResponse {
    let mut areas: BTreeMap<String, PartiesOfArea> = BTreeMap::new();
    for (attendance, open) in found.parties {
        let booking = encode::booking(open);
        let of_area = areas.entry(booking.area.clone()).or_default();
        let (list, guests) = match attendance {
            Attendance::Seated => (&mut of_area.seated, &mut of_area.seated_guests),
            Attendance::Arriving => (&mut of_area.arriving, &mut of_area.arriving_guests),
            Attendance::Late => (&mut of_area.late, &mut of_area.late_guests),
        };
        *guests += booking.party_size;
        list.push(booking);
    }
    let areas = areas.into_iter().map(|(area, parties)| PartiesOfArea { area, ..parties }).collect();
    ListFloorResponse { at: Some(timestamp(found.at)), areas, truncated: found.truncated }
}
