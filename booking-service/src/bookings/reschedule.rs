use chrono::{NaiveDate, NaiveTime};
use teppan_shared::contract::events::v1::{self as wire, ConfirmationCause};

use super::{
    booking::{Booking, OpenBooking},
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    confirm::confirmed,
    decision::{Decision, Occasion},
    event_data::{self, EventData},
    load::{Loaded, Wanted},
};
use crate::{
    core::Core,
    domain::{BookingChange, ChangeRefusal, PartySize, Refusal, SlotKey, deposit_cents},
    slots::row::{SlotRow, slot_refusal},
};

/// What a booking is to become; what is not given stays.
#[derive(Debug, Clone, Copy)]
pub struct Reschedule {
    pub target: BookingTarget,
    pub date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub party_size: Option<PartySize>,
    /// The price that the customer was shown, in minor units: refused at another.
    pub expected_total_cents: Option<i64>,
}

impl Core {
    /// Moves a booking to another slot of its venue, or changes its party size. At no time does it hold no seats, or
    /// those of both slots.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn reschedule_booking(&self, wish: &Reschedule) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let wanted = Wanted { date: wish.date, start_time: wish.start_time, ..Wanted::default() };
        let decide = |loaded: &Loaded| decide(loaded, wish, &occasion);
        self.change(BookingChange::Reschedule, &wish.target, &occasion, wanted, decide).await
    }
}

fn decide(loaded: &Loaded, wish: &Reschedule, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    let slot = SlotKey {
        venue_id: booking.venue_id,
        date: wish.date.unwrap_or(booking.slot_date),
        start_time: wish.start_time.unwrap_or(booking.start_time),
    };
    let party_size = wish.party_size.map_or(booking.party_size, PartySize::get);
    if is_so_already(loaded, wish, slot, party_size) {
        return Err(NoChange::Unchanged);
    }
    allow(booking, wish.target.etag, BookingChange::Reschedule)?;
    if booking.hold_expires_at.is_some_and(|at| at <= occasion.at) {
        return Err(NoChange::Refused(ChangeRefusal::HoldExpired));
    }
    // Otherwise a guest who did not come could move the booking, and then cancel it for nothing.
    if booking.starts_at <= occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let refuse = |refusal| NoChange::Refused(ChangeRefusal::Slot(slot, refusal));
    let target = loaded.target.as_ref().map(|target| without_own_seats(target, booking));
    if let Some(refusal) = slot_refusal(&loaded.venue, target.as_ref(), slot.date, party_size, occasion.at) {
        return Err(refuse(refusal));
    }
    let target = target.ok_or(refuse(Refusal::SlotNotFound))?;
    let total_cents = target.price_per_person_cents * i64::from(party_size);
    if wish.expected_total_cents.is_some_and(|expected| expected != total_cents) {
        return Err(refuse(Refusal::PriceChanged { total_cents }));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.take_seats(&target, party_size);
    decision.happen(rescheduled(loaded, &target, party_size, total_cents))?;
    if completes_deposit(booking, &decision.booking) {
        decision.happen(confirmed(ConfirmationCause::DepositPaid, false))?;
    }
    Ok(decision)
}

/// By newer rules of the time zone the same local time may be another instant: then there is something to change.
fn is_so_already(loaded: &Loaded, wish: &Reschedule, slot: SlotKey, party_size: i32) -> bool {
    let booking = &loaded.booking;
    booking.status.after(BookingChange::Reschedule).is_some()
        && (slot, party_size) == (booking.slot(), booking.party_size)
        && wish.expected_total_cents.is_none_or(|expected| expected == booking.total_cents)
        && loaded.slot.as_ref().is_none_or(|slot| slot.starts_at == booking.starts_at)
}

/// The slot as if the booking's own seats in it were free.
fn without_own_seats(target: &SlotRow, booking: &Booking) -> SlotRow {
    let own = if target.key() == booking.slot() { booking.party_size } else { 0 };
    SlotRow { reserved: target.reserved - own, ..target.clone() }
}

fn rescheduled(loaded: &Loaded, target: &SlotRow, party_size: i32, total_cents: i64) -> EventData {
    let (booking, venue) = (&loaded.booking, &loaded.venue);
    EventData::BookingRescheduled(wire::BookingRescheduled {
        date: target.slot_date.to_string(),
        start_time: target.start_time.format("%H:%M").to_string(),
        starts_at: event_data::timestamp(target.starts_at),
        ends_at: event_data::timestamp(target.ends_at),
        party_size,
        price_per_person_cents: target.price_per_person_cents,
        total_cents,
        deposit_due_cents: deposit_cents(total_cents, venue.deposit_percent, venue.currency),
        refund_due_cents: (booking.paid_cents - total_cents).max(0),
        hold_expires_at: booking.hold_expires_at.and_then(|at| event_data::timestamp(at.min(target.starts_at))),
        ..Default::default()
    })
}

/// Whether a booking that waited for its deposit has paid as much as it now comes to. An offer waits for an answer:
/// only who pays, or confirms, takes it.
fn completes_deposit(before: &Booking, after: &Booking) -> bool {
    after.status.after(BookingChange::PayDeposit).is_some()
        && before.deposit_due_cents > before.paid_cents
        && after.deposit_due_cents <= after.paid_cents
        && (after.waitlist_entry_id.is_none() || after.paid_cents > 0)
}
