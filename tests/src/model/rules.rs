//! The figures and refusals of the contract.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::booking::v1::{self as wire, BookingStatus, CancellationInitiator, UnavailableReason};
use tonic::Code;

use super::{
    calls::Refused,
    state::{Model, SlotTime, moment},
};

/// A percentage of an amount, half a cent up.
pub fn percent(cents: i64, percent: i32) -> i64 {
    (cents * i64::from(percent) + 50).div_euclid(100)
}

/// The deposit for a total in euros: the percentage, half a cent up, at least what Stripe charges, and no more than
/// the total; none where that is less than Stripe charges.
pub fn deposit(total_cents: i64, share: i32) -> i64 {
    const LEAST: i64 = 50;
    match percent(total_cents, share) {
        0 => 0,
        _ if total_cents < LEAST => 0,
        cents => cents.max(LEAST),
    }
}

/// What a booking that waits for its deposit has still to pay of it.
pub fn deposit_due(booking: &wire::Booking) -> i64 {
    match booking.status() {
        BookingStatus::Pending => (booking.deposit_cents - booking.paid_cents).max(0),
        _ => 0,
    }
}

/// Until when a booking that is made now holds its seats: no longer than to its start.
pub fn hold_until(minutes: i32, now: DateTime<Utc>, starts_at: DateTime<Utc>) -> DateTime<Utc> {
    (now + TimeDelta::minutes(minutes.into())).min(starts_at)
}

/// What the venue keeps of a booking that is cancelled: nothing, or a share of what was received up to the price. What
/// is disputed was received.
pub fn kept_on_cancellation(
    venue: &wire::Venue,
    booking: &wire::Booking,
    disputed_cents: i64,
    by: CancellationInitiator,
    now: DateTime<Utc>,
) -> i64 {
    let starts_at = booking.starts_at.as_ref().map(moment).unwrap_or_default();
    let early = now <= starts_at - TimeDelta::hours(venue.full_refund_hours.into());
    if early || by == CancellationInitiator::Venue {
        return 0;
    }
    let received = (booking.paid_cents + disputed_cents).min(booking.total_cents);
    received - percent(received, venue.late_refund_percent)
}

/// A slot that somebody wants, and for how many.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub venue_id: &'a str,
    pub slot: SlotTime,
    pub party_size: i32,
    /// The booking that wants to be there: its own seats count as free.
    pub but: Option<usize>,
}

impl Model {
    /// Why a party cannot book a slot: the first that applies, in the order of `unavailable_reason`.
    pub fn unavailable(&self, wish: Wish) -> Option<UnavailableReason> {
        let Some(venue) = self.venue(wish.venue_id).map(|n| &self.venues[n]) else {
            return Some(UnavailableReason::VenueNotFound);
        };
        let beyond = wish.slot.0 > venue.last_day(self.now);
        let Some(slot) = venue.slots.get(&wish.slot) else {
            return Some(if beyond { UnavailableReason::TooFarAhead } else { UnavailableReason::SlotNotFound });
        };
        let notice = TimeDelta::minutes(venue.told.notice_minutes.into());
        let reasons = [
            (wish.party_size < venue.told.min_party_size, UnavailableReason::PartyTooSmall),
            (wish.party_size > venue.told.max_party_size, UnavailableReason::PartyTooLarge),
            (beyond, UnavailableReason::TooFarAhead),
            (slot.starts_at < self.now + notice, UnavailableReason::InsufficientNotice),
            (!slot.opening.open(), UnavailableReason::SlotClosed),
            (wish.party_size > self.open_seats(wish), UnavailableReason::SlotFull),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
    }

    /// Seats that no other booking takes.
    pub fn open_seats(&self, wish: Wish) -> i32 {
        let venue = self.venue(wish.venue_id).map(|n| &self.venues[n]);
        let capacity = venue.and_then(|venue| venue.slots.get(&wish.slot)).map_or(0, |slot| slot.capacity);
        capacity - self.reserved(wish.venue_id, wish.slot, wish.but)
    }

    /// The same as an error.
    pub fn refused(&self, wish: Wish) -> Option<Refused> {
        let reason = self.unavailable(wish)?;
        let name = reason.as_str_name().trim_start_matches("UNAVAILABLE_REASON_");
        Some(match reason {
            UnavailableReason::VenueNotFound | UnavailableReason::SlotNotFound => Refused::not_found(name),
            UnavailableReason::SlotFull => Refused::precondition(name).with("open_seats", self.open_seats(wish)),
            _ => Refused::precondition(name),
        })
    }
}

/// What is refused because the etag is another.
pub fn stale() -> Refused {
    Refused::new(Code::Aborted, "ETAG_MISMATCH")
}

/// What is refused because of the booking's state.
pub fn not_in(booking: &wire::Booking, reason: &str) -> Refused {
    Refused::precondition(reason).with("status", booking.status().as_str_name())
}
