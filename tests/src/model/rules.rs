//! The amounts and refusals of the contract.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::contract::{
    booking::v1::{self as wire, BookingStatus, CancellationInitiator, UnavailableReason},
    events::v1::BookingTerms,
};
use tonic::Code;

use super::{
    calls::Refused,
    state::{Booking, Model, SlotTime, moment},
};

/// A percentage of an amount; half a cent is rounded up.
pub fn percent(cents: i64, percent: i32) -> i64 {
    (cents * i64::from(percent) + 50).div_euclid(100)
}

/// The price of a party: at least the minimum spend, and the deposit without its percentage.
pub fn total(terms: &BookingTerms, price_cents: i64, party_size: i32) -> i64 {
    let deposit = if party_size >= terms.deposit_min_party_size { set_deposit(terms, party_size) } else { 0 };
    [price_cents * i64::from(party_size), terms.minimum_spend_cents, deposit].into_iter().fold(0, i64::max)
}

/// The deposit for a total in euros: the percentage, with half a cent rounded up, and what the venue asks for each
/// guest and for the booking, but at least Stripe's minimum and at most the total. Zero when the total is below Stripe's
/// minimum, and for small parties.
pub fn deposit(terms: &BookingTerms, total_cents: i64, party_size: i32) -> i64 {
    const LEAST: i64 = 50;
    if party_size < terms.deposit_min_party_size || total_cents < LEAST {
        return 0;
    }
    match percent(total_cents, terms.deposit_percent) + set_deposit(terms, party_size) {
        0 => 0,
        cents => cents.max(LEAST).min(total_cents),
    }
}

fn set_deposit(terms: &BookingTerms, party_size: i32) -> i64 {
    terms.deposit_per_person_cents * i64::from(party_size) + terms.deposit_fixed_cents
}

/// What was paid without tips and extras, which are never owed and pay for nothing else.
pub fn paid(booking: &wire::Booking) -> i64 {
    booking.paid_cents - booking.extras_cents
}

/// The unpaid part of a pending booking's deposit.
pub fn deposit_due(booking: &wire::Booking) -> i64 {
    match booking.status() {
        BookingStatus::Pending => (booking.deposit_cents - paid(booking)).max(0),
        _ => 0,
    }
}

/// The unpaid part of the fee of a no-show.
pub fn fee_due(booking: &wire::Booking) -> i64 {
    (booking.no_show_fee_cents - paid(booking)).max(0)
}

/// The end of the hold of a new booking, at the latest its start.
pub fn hold_until(minutes: i32, now: DateTime<Utc>, starts_at: DateTime<Utc>) -> DateTime<Utc> {
    (now + TimeDelta::minutes(minutes.into())).min(starts_at)
}

/// The policy of a venue, as a booking that is made now keeps it.
pub fn terms(venue: &wire::Venue) -> BookingTerms {
    BookingTerms {
        full_refund_hours: venue.full_refund_hours,
        late_refund_percent: venue.late_refund_percent,
        deposit_percent: venue.deposit_percent,
        deposit_per_person_cents: venue.deposit_per_person_cents,
        deposit_fixed_cents: venue.deposit_fixed_cents,
        deposit_min_party_size: venue.deposit_min_party_size,
        minimum_spend_cents: venue.minimum_spend_cents,
        no_show_fee_per_person_cents: venue.no_show_fee_per_person_cents,
    }
}

/// The terms of a booking that is made now. A party at the door pays no deposit, has no least total, and no fee.
pub fn terms_for(venue: &wire::Venue, walk_in: bool) -> BookingTerms {
    let BookingTerms { full_refund_hours, late_refund_percent, .. } = terms(venue);
    if walk_in { BookingTerms { full_refund_hours, late_refund_percent, ..Default::default() } } else { terms(venue) }
}

/// The part of the paid amount that a change of a booking gives back now, in percent; `None`: all that was ever paid.
pub fn refund_percent(booking: &wire::Booking, by: CancellationInitiator, now: DateTime<Utc>) -> Option<i32> {
    if by == CancellationInitiator::Venue {
        return None;
    }
    let terms = booking.terms.unwrap_or_default();
    let starts_at = booking.starts_at.as_ref().map(moment).unwrap_or_default();
    let early = now <= starts_at - TimeDelta::hours(terms.full_refund_hours.into());
    let percent = if early { 100 } else { terms.late_refund_percent };
    Some(percent.min(booking.refund_percent_max.unwrap_or(100)))
}

/// What a venue keeps of a booking that the customer cancels or changes late.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// The largest price that was paid for. A disputed amount counts as received.
    pub base_cents: i64,
    received_cents: i64,
    /// The part that the customer gets, in percent.
    pub share: i32,
}

impl Keeps {
    /// `None`: nothing.
    pub fn of(booking: &Booking, by: CancellationInitiator, now: DateTime<Utc>) -> Option<Self> {
        let share = refund_percent(&booking.proto, by, now).filter(|share| *share < 100)?;
        let received_cents = paid(&booking.proto) + booking.disputed_cents;
        let base_cents = booking.base_cents.max(received_cents.min(booking.proto.total_cents));
        Some(Self { base_cents, received_cents, share })
    }

    pub fn if_cancelled(self) -> i64 {
        (self.base_cents - percent(self.base_cents, self.share)).min(self.received_cents)
    }

    /// Beyond another price: of what it frees, all but the share, which is rounded down.
    pub fn beyond(self, total_cents: i64) -> i64 {
        let freed = (self.base_cents - total_cents).max(0);
        freed - freed * i64::from(self.share) / 100
    }
}

/// How long after the start of a slot a party at the door still gets it.
const WALK_IN_LATE_MINUTES: i32 = 30;

/// A slot, and the party that wants it.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub venue_id: &'a str,
    pub slot: SlotTime,
    pub party_size: i32,
    /// The area in which it wants to sit; empty: any.
    pub area: &'a str,
    /// Whether it stands at the door.
    pub walk_in: bool,
    /// The booking that is rescheduled: its own seats count as free.
    pub but: Option<usize>,
}

impl<'a> Wish<'a> {
    pub fn new(venue_id: &'a str, slot: SlotTime, party_size: i32) -> Self {
        Self { venue_id, slot, party_size, area: "", walk_in: false, but: None }
    }
}

impl Model {
    /// The first reason, in the order of `unavailable_reason`, why a party cannot book a slot.
    pub fn unavailable(&self, wish: Wish) -> Option<UnavailableReason> {
        let by_floor = || self.refused_by_floor(wish).map(|_| UnavailableReason::SlotFull);
        self.unavailable_slot(wish).or_else(by_floor)
    }

    /// The same without the floor.
    pub fn unavailable_slot(&self, wish: Wish) -> Option<UnavailableReason> {
        let Some(venue) = self.venue(wish.venue_id).map(|n| &self.venues[n]) else {
            return Some(UnavailableReason::VenueNotFound);
        };
        let beyond = wish.slot.0 > venue.last_day(self.now);
        let Some(slot) = venue.slots.get(&wish.slot) else {
            return Some(if beyond { UnavailableReason::TooFarAhead } else { UnavailableReason::SlotNotFound });
        };
        let notice = if wish.walk_in { -WALK_IN_LATE_MINUTES } else { venue.proto.notice_minutes };
        let notice = TimeDelta::minutes(notice.into());
        let reasons = [
            (wish.party_size < venue.proto.min_party_size, UnavailableReason::PartyTooSmall),
            (wish.party_size > venue.proto.max_party_size, UnavailableReason::PartyTooLarge),
            (beyond, UnavailableReason::TooFarAhead),
            (slot.starts_at < self.now + notice, UnavailableReason::InsufficientNotice),
            (!slot.opening.open(), UnavailableReason::SlotClosed),
            (wish.party_size > self.open_seats(wish), UnavailableReason::SlotFull),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
    }

    /// The refusal of a booking whose customer has another one at that time.
    pub fn duplicate(&self, wish: Wish, customer_id: &str) -> Option<Refused> {
        let venue = &self.venues[self.venue(wish.venue_id)?];
        let slot = venue.slots.get(&wish.slot)?;
        let leaves_at = venue.visit_end(wish.slot, slot, wish.party_size);
        let overlaps = |booking: &wire::Booking| {
            let [from, until] = [&booking.starts_at, &booking.ends_at].map(|at| at.as_ref().map(moment));
            from < Some(leaves_at) && until > Some(slot.starts_at)
        };
        let others = self.bookings.iter().enumerate().filter(|&(n, booking)| {
            let proto = &booking.proto;
            booking.live()
                && wish.but != Some(n)
                && (proto.customer_id.as_str(), proto.venue_id.as_str()) == (customer_id, wish.venue_id)
                && overlaps(proto)
        });
        let named = |proto: &wire::Booking| (proto.date.clone(), proto.start_time.clone(), proto.booking_id.clone());
        let (.., booking_id) = others.map(|(_, booking)| named(&booking.proto)).min()?;
        Some(Refused::precondition("DUPLICATE_BOOKING").with("booking_id", booking_id.as_str()))
    }

    /// The free seats, without one booking's own.
    pub fn open_seats(&self, wish: Wish) -> i32 {
        let venue = self.venue(wish.venue_id).map(|n| &self.venues[n]);
        let capacity = venue.and_then(|venue| venue.slots.get(&wish.slot)).map_or(0, |slot| slot.capacity);
        capacity - self.reserved(wish.venue_id, wish.slot, wish.but)
    }

    /// The refusal of a party for which too many others arrive at the same time.
    pub fn slot_full(&self, wish: Wish) -> Refused {
        Refused::precondition("SLOT_FULL").with("open_seats", self.open_seats(wish)).with("limit", "slot")
    }

    /// [`Model::unavailable`], as an error.
    pub fn refused(&self, wish: Wish) -> Option<Refused> {
        let Some(reason) = self.unavailable_slot(wish) else { return self.refused_by_floor(wish) };
        let name = reason.as_str_name().trim_start_matches("UNAVAILABLE_REASON_");
        Some(match reason {
            UnavailableReason::VenueNotFound | UnavailableReason::SlotNotFound => Refused::not_found(name),
            UnavailableReason::SlotFull => self.slot_full(wish),
            _ => Refused::precondition(name),
        })
    }
}

/// The refusal of an outdated etag.
pub fn stale() -> Refused {
    Refused::new(Code::Aborted, "ETAG_MISMATCH")
}

/// The refusal of a change that the booking's state does not allow.
pub fn not_in(booking: &wire::Booking, reason: &str) -> Refused {
    Refused::precondition(reason).with("status", booking.status().as_str_name())
}
