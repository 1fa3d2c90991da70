//! Resolves what operations name.

use std::sync::Arc;

use chrono::{Days, TimeDelta};

use super::{
    floor_plans::AREAS,
    operations::{Etag, Expected, Pick, SlotChoice},
    rules,
    schedules::STARTS,
    state::{Booking, Model, Slot, Venue, date, time},
};

/// A UUID that nothing has.
pub(super) const UNKNOWN_ID: &str = "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";

pub(super) fn venue(model: &Model, n: u8) -> &Venue {
    &model.venues[usize::from(n) % model.venues.len()]
}

pub(super) fn day_of(model: &Model, venue: &Venue, day: u8) -> String {
    (venue.today(model.now) + Days::new(day.into())).to_string()
}

pub(super) fn named(model: &Model, slot_choice: SlotChoice) -> (String, String, String) {
    let venue = venue(model, slot_choice.venue);
    (
        venue.proto.venue_id.clone(),
        day_of(model, venue, slot_choice.day),
        STARTS[usize::from(slot_choice.start)].to_owned(),
    )
}

/// The next start at a venue, also if it began within the last 40 minutes.
pub(super) fn next_start(model: &Model, venue_id: &str) -> Option<(String, String)> {
    let venue = &model.venues[model.venue(venue_id)?];
    let is_next = |slot: &Slot| slot.starts_at >= model.now - TimeDelta::minutes(40);
    let ((date, start), _) = venue.slots.iter().find(|(_, slot)| is_next(slot))?;
    Some((date.to_string(), start.format("%H:%M").to_string()))
}

pub(super) fn area(n: u8) -> String {
    AREAS[usize::from(n) % AREAS.len()].to_owned()
}

pub(super) fn email(guest: u8) -> String {
    format!("guest.{guest}@example.org")
}

pub(super) fn pick(model: &Model, pick: Pick) -> Option<&Booking> {
    let all: Vec<&Arc<Booking>> = model.bookings.iter().rev().filter(|booking| booking.live() || !pick.live).collect();
    all.get(usize::from(pick.back) % all.len().max(1)).map(|booking| &***booking)
}

pub(super) fn id(booking: Option<&Booking>) -> String {
    booking.map_or_else(|| UNKNOWN_ID.to_owned(), |booking| booking.proto.booking_id.clone())
}

pub(super) fn etag(model: &Model, id: &str, version: i64, wanted: Etag) -> String {
    let version = match wanted {
        Etag::None => return String::new(),
        Etag::Current => version,
        Etag::Stale => version - 1,
    };
    model.etags.of(id, version).unwrap_or("of another").to_owned()
}

/// The total that the customer expects for a party in a slot.
pub(super) fn expected_total(
    model: &Model,
    venue_id: &str,
    (day, start): (&str, &str),
    party_size: i32,
    expected: Expected,
) -> Option<i64> {
    let venue = model.venue(venue_id).map(|n| &model.venues[n])?;
    let price = venue.slots.get(&(date(day), time(start))).map_or(0, |slot| slot.price_cents);
    let total = rules::total(&rules::terms(&venue.proto), price, party_size);
    match expected {
        Expected::Any => None,
        Expected::Current => Some(total),
        Expected::Other => Some(total + 1),
    }
}
