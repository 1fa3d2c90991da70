use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::events::v1 as wire;

use super::event_data::timestamp;
use crate::{
    domain::deposit_cents,
    slots::row::{Seating, SlotRow},
    venues::policy::VenuePolicy,
};

/// The first event of a booking of a slot: its price, its deposit, and until when its seats are held. An offer is
/// pending, also when no deposit is due.
pub fn created(
    slot: &SlotRow,
    seating: &Seating,
    venue: &VenuePolicy,
    party_size: i32,
    is_offer: bool,
    now: DateTime<Utc>,
) -> wire::BookingCreated {
    let total_cents = slot.price_per_person_cents * i64::from(party_size);
    let deposit_cents = deposit_cents(total_cents, venue.deposit_percent, venue.currency);
    let is_pending = is_offer || deposit_cents > 0;
    let hold_minutes = if is_offer { venue.waitlist_hold_minutes } else { venue.hold_minutes };
    let hold_expires_at = (now + TimeDelta::minutes(hold_minutes.into())).min(slot.starts_at);
    let status = if is_pending { wire::BookingStatus::Pending } else { wire::BookingStatus::Confirmed };
    wire::BookingCreated {
        venue_id: slot.venue_id.to_string(),
        date: slot.slot_date.to_string(),
        start_time: slot.start_time.format("%H:%M").to_string(),
        status: status.into(),
        starts_at: timestamp(slot.starts_at),
        ends_at: timestamp(seating.ends_at),
        time_zone: venue.time_zone.clone(),
        party_size,
        price_per_person_cents: slot.price_per_person_cents,
        total_cents,
        deposit_cents,
        currency: venue.currency.code().to_owned(),
        hold_expires_at: is_pending.then(|| timestamp(hold_expires_at)).flatten(),
        area: seating.area_name(),
        occupied_until: seating.occupied_until().and_then(timestamp),
        tables: seating.tables(),
        terms: Some((&venue.terms()).into()),
        ..Default::default()
    }
}
