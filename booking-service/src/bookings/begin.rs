use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::events::v1 as wire;

use super::{event_data::timestamp, preview::Preview};
use crate::{
    domain::{AreaKey, Refusal, SlotKey},
    slots::row::{Seating, SlotRow, seat, slot_refusal},
    venues::policy::VenuePolicy,
};

/// A slot and the party that wants to book it.
#[derive(Debug, Clone, Copy)]
pub struct SlotWish<'a> {
    pub slot: SlotKey,
    pub party_size: i32,
    pub area: Option<&'a AreaKey>,
    /// The price that the customer was quoted, in minor units.
    pub expected_total_cents: Option<i64>,
}

/// The first event of the booking that CreateBooking would make now, or why it would refuse it.
///
/// # Errors
/// The same refusals as those of create.sql.
pub fn offered(preview: &Preview, wish: SlotWish<'_>, now: DateTime<Utc>) -> Result<wire::BookingCreated, Refusal> {
    let Preview { venue, slot, floor, .. } = preview;
    let SlotWish { party_size, .. } = wish;
    if let Some(refusal) = slot_refusal(venue, slot.as_ref(), wish.slot.date, party_size, now) {
        return Err(refusal);
    }
    let slot = slot.as_ref().ok_or(Refusal::SlotNotFound)?;
    let seating = seat(slot, floor.as_ref(), wish.area, party_size, &[])?;
    let total_cents = venue.terms().total_cents(slot.price_per_person_cents, party_size);
    if wish.expected_total_cents.is_some_and(|expected| expected != total_cents) {
        return Err(Refusal::PriceChanged { total_cents });
    }
    Ok(created(slot, &seating, venue, party_size, false, now))
}

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
    let terms = venue.terms();
    let total_cents = terms.total_cents(slot.price_per_person_cents, party_size);
    let deposit_cents = terms.deposit_cents(total_cents, party_size, venue.currency);
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
        terms: Some((&terms).into()),
        ..Default::default()
    }
}
