//! What must hold whoever is right about the answers: no table has two parties, and no area fills beyond its seats.

use std::collections::BTreeMap;

use super::{
    floors::{area_of, seats, ticks_of},
    state::{Model, Venue},
};

/// Looks at the bookings as the service has reported them, before and after a step.
///
/// An area has more guests than seats if it was made smaller, or if bookings from before the floor are counted in it.
/// Then it gets no more of them, except by a new floor.
///
/// # Errors
/// The table or area with too many parties.
pub fn check(before: &Model, after: &Model) -> Result<(), String> {
    for (venue_before, venue) in before.venues.iter().zip(&after.venues) {
        let taken = taken(after, venue)?;
        if venue_before.floor != venue.floor {
            continue;
        }
        let taken_before = self::taken(before, venue_before)?;
        for ((area, tick), guests) in &taken {
            let floor = venue.floor.iter().flat_map(|floor| &floor.areas);
            let most = floor.filter(|it| it.area == *area).map(seats).max().unwrap_or(i32::MAX);
            let guests_before = taken_before.get(&(area, *tick)).copied().unwrap_or(0);
            if *guests > most.max(guests_before) {
                return Err(format!("{guests} guests sit on the {most} seats of {area} at tick {tick}"));
            }
        }
    }
    Ok(())
}

/// The guests of each area in each tick.
fn taken<'a>(model: &'a Model, venue: &'a Venue) -> Result<BTreeMap<(&'a str, i64), i32>, String> {
    let mut taken = BTreeMap::new();
    let mut tables = BTreeMap::new();
    let Some(floor) = &venue.floor else { return Ok(taken) };
    let here = |venue_id: &str| venue_id == floor.venue_id;
    for booking in model.bookings.iter().filter(|booking| booking.live() && here(&booking.proto.venue_id)) {
        let area = area_of(floor, &booking.proto);
        for tick in ticks_of(floor, &booking.proto) {
            *taken.entry((area, tick)).or_default() += booking.proto.party_size;
            for table in &booking.proto.tables {
                if let Some(other) = tables.insert((area, table, tick), &booking.proto.booking_id) {
                    return Err(format!("{table} of {area} has {other} and {} at once", booking.proto.booking_id));
                }
            }
        }
    }
    Ok(taken)
}
