use chrono::TimeDelta;
use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::{EventData, timestamp},
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    domain::{BookingChange, BookingStatus, ChangeRefusal, Etag, Refusal},
};

impl Bookings {
    /// Takes back a cancellation, a completion or a no-show, and takes the seats again. Of several calls that want the
    /// last seats, one gets them: the commit counts on the locked row of the slot.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn reinstate_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let reinstate = |loaded: &Loaded| decide(loaded, target.etag, &occasion);
        self.change(BookingChange::Reinstate, target, &occasion, Wanted::default(), reinstate).await
    }
}

pub fn decide(loaded: &Loaded, etag: Option<Etag>, occasion: &Occasion) -> Result<Decision, NoChange> {
    let (booking, venue, now) = (&loaded.booking, &loaded.venue, occasion.at);
    if matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed) {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::Reinstate)?;
    let not_allowed = NoChange::Refused(ChangeRefusal::NotAllowed);
    let ended_at = loaded.ended_at.filter(|_| booking.erased_at.is_none()).ok_or(not_allowed)?;
    let undo_minutes = venue.undo_minutes;
    if now >= ended_at + TimeDelta::minutes(undo_minutes.into()) {
        return Err(NoChange::Refused(ChangeRefusal::UndoTimeOver { undo_minutes }));
    }
    let slot = loaded.slot.as_ref().ok_or(not_allowed)?;
    // A declined offer is the next customer's, and a deposit is not awaited after the start.
    let was_confirmed = booking.confirmed_at.is_some();
    if !was_confirmed && (booking.waitlist_entry_id.is_some() || slot.starts_at <= now) {
        return Err(not_allowed);
    }
    if booking.party_size > slot.open_seats() {
        let full = Refusal::SlotFull { open_seats: slot.open_seats() };
        return Err(NoChange::Refused(ChangeRefusal::Slot(booking.slot(), full)));
    }
    if !loaded.has_area_for_it_again() {
        let full = Refusal::AreaFull { open_seats: 0 };
        return Err(NoChange::Refused(ChangeRefusal::Slot(booking.slot(), full)));
    }
    let waits_for_deposit = !was_confirmed && booking.paid_without_extras_cents() < booking.deposit_cents;
    let hold_expires_at = (now + TimeDelta::minutes(venue.hold_minutes.into())).min(slot.starts_at);
    let mut decision = Decision::about(booking, occasion);
    decision.apply(EventData::BookingReinstated(wire::BookingReinstated {
        // Newer time zone rules may have moved the slot meanwhile. The length stays.
        starts_at: timestamp(slot.starts_at),
        ends_at: timestamp(slot.starts_at + (booking.ends_at - booking.starts_at)),
        // As when a late payment takes the seats of an expired hold again: only what exceeds the price is owed, also of
        // money that has paid the fee of a no-show.
        refund_due_cents: (booking.paid_without_extras_cents() - booking.price_and_retained_cents()).max(0),
        hold_expires_at: if waits_for_deposit { timestamp(hold_expires_at) } else { None },
        ..Default::default()
    }))?;
    decision.retake_seats();
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            cancel, end,
            fixtures::{
                START, assert_sound, at, booking_in_status, confirmed_booking, events, occasion, pending_booking,
            },
        },
        *,
    };
    use crate::{domain::CancellationInitiator, slots::row::SlotState};

    /// The booking after a decision at this minute, with its slot.
    fn after(loaded: &Loaded, decision: Decision, minute: i64) -> Loaded {
        let mut after = Loaded { booking: decision.booking, ended_at: Some(at(minute)), ..loaded.clone() };
        after.slot.as_mut().expect("a slot").reserved -= loaded.booking.party_size;
        after
    }

    fn cancelled(loaded: &Loaded, minute: i64) -> Loaded {
        let decision = cancel::decide(loaded, None, CancellationInitiator::Customer, &occasion(minute));
        after(loaded, decision.expect("cancelled"), minute)
    }

    fn reinstated(loaded: &Loaded, minute: i64) -> Decision {
        let decision = decide(loaded, Some(Etag::of(loaded.booking.version)), &occasion(minute)).expect("reinstated");
        assert_sound(Some(&loaded.booking), &decision);
        decision
    }

    fn refused(loaded: &Loaded, minute: i64) -> ChangeRefusal {
        match decide(loaded, None, &occasion(minute)) {
            Err(NoChange::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_no_show_or_completion_is_taken_back_until_the_time_is_over() {
        for (end, schedules) in [(&end::NO_SHOW, true), (&end::COMPLETED, false)] {
            let confirmed = confirmed_booking();
            let decision = end::decide(&confirmed, None, end, &occasion(START)).expect("ended");
            let ended = after(&confirmed, decision, START);
            let decision = reinstated(&ended, START + 59);
            assert_eq!(decision.booking.status, BookingStatus::Confirmed);
            assert_eq!(decision.booking.confirmed_at, confirmed.booking.confirmed_at);
            assert_eq!(decision.events[0].concerns_conversation, schedules, "a completion cancels no follow-up");
            assert_eq!(refused(&ended, START + 60), ChangeRefusal::UndoTimeOver { undo_minutes: 60 });
            let mut never = ended.clone();
            never.venue.undo_minutes = 0;
            assert_eq!(refused(&never, START), ChangeRefusal::UndoTimeOver { undo_minutes: 0 });
        }
    }

    #[test]
    fn a_cancellation_is_taken_back_with_its_seats_and_nothing_is_owed() {
        let mut confirmed = confirmed_booking();
        confirmed.booking.paid_cents = 7000;
        let mut ended = cancelled(&confirmed, START - 60);
        assert_eq!((ended.booking.refund_due_cents, ended.booking.kept_cents), (3500, 3500));
        // A part was refunded since; the slot was closed, and its price has risen.
        (ended.booking.paid_cents, ended.booking.refunded_cents, ended.booking.refund_due_cents) = (5000, 2000, 1500);
        let slot = ended.slot.as_mut().expect("a slot");
        (slot.state, slot.price_per_person_cents) = (SlotState::Closed, 9900);
        let decision = reinstated(&ended, START - 30);
        let booking = &decision.booking;
        assert_eq!(
            (booking.status, booking.cancelled_at, booking.cancelled_by),
            (BookingStatus::Confirmed, None, None)
        );
        assert_eq!((booking.paid_cents, booking.refund_due_cents, booking.kept_cents), (5000, 0, 0));
        assert_eq!((booking.total_cents, decision.seats[0].seats), (7000, 2));
        let [EventData::BookingReinstated(event)] = &events(&decision)[..] else { panic!("one event") };
        assert_eq!((event.previous_status(), event.paid_cents), (wire::BookingStatus::Cancelled, 5000));

        ended.booking.paid_cents = 9000;
        assert_eq!(reinstated(&ended, START - 30).booking.refund_due_cents, 2000, "what exceeds the price is owed");
        let slot = ended.slot.as_mut().expect("a slot");
        slot.reserved = slot.capacity - 1;
        let full = ChangeRefusal::Slot(ended.booking.slot(), Refusal::SlotFull { open_seats: 1 });
        assert_eq!(refused(&ended, START - 30), full);
    }

    #[test]
    fn a_booking_that_was_never_confirmed_waits_for_its_deposit_again() {
        let ended = cancelled(&pending_booking(), 10);
        let booking = reinstated(&ended, 20).booking;
        assert_eq!((booking.status, booking.hold_expires_at), (BookingStatus::Pending, Some(at(140))));
        let mut paid = ended.clone();
        (paid.booking.paid_cents, paid.booking.refund_due_cents) = (1750, 1750);
        let booking = reinstated(&paid, 20).booking;
        assert_eq!((booking.status, booking.confirmed_at), (BookingStatus::Confirmed, Some(at(20))));
        let mut late = ended.clone();
        late.ended_at = Some(at(START));
        assert_eq!(refused(&late, START), ChangeRefusal::NotAllowed, "it has begun");
        let mut offer = ended;
        offer.booking.waitlist_entry_id = Some(crate::domain::WaitlistEntryId::generate());
        assert_eq!(refused(&offer, 20), ChangeRefusal::NotAllowed, "a declined offer");
    }

    #[test]
    fn a_booking_moves_to_the_new_instant_of_its_slot() {
        let mut ended = cancelled(&confirmed_booking(), 10);
        ended.slot.as_mut().expect("a slot").starts_at = at(START + 60);
        let booking = reinstated(&ended, 20).booking;
        assert_eq!((booking.starts_at, booking.ends_at), (at(START + 60), at(START + 180)));
    }

    #[test]
    fn only_an_ended_booking_with_its_personal_data_is_reinstated() {
        for live in [pending_booking(), confirmed_booking()] {
            assert_eq!(decide(&live, Some(Etag::of(7)), &occasion(1)).expect_err("no change"), NoChange::Unchanged);
        }
        assert_eq!(refused(&booking_in_status(BookingStatus::Expired), 10), ChangeRefusal::NotAllowed);
        let mut erased = cancelled(&confirmed_booking(), 10);
        let stale = decide(&erased, Some(Etag::of(1)), &occasion(20)).expect_err("another version");
        assert_eq!(stale, NoChange::StaleEtag);
        erased.booking.erased_at = Some(at(11));
        assert_eq!(refused(&erased, 20), ChangeRefusal::NotAllowed);
    }
}
