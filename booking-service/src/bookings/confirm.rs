use teppan_shared::contract::events::v1::{self as wire, ConfirmationCause};

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    domain::{BookingChange, BookingStatus, ChangeRefusal, Etag},
};

impl Bookings {
    /// Confirms a pending booking, whether its deposit is paid or not.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn confirm_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let confirm = |loaded: &Loaded| decide(loaded, target.etag, &occasion);
        self.change(BookingChange::Confirm, target, &occasion, Wanted::default(), confirm).await
    }

    /// Records that the guest of a confirmed booking comes. Reminders that are not sent yet are cancelled.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn confirm_by_guest(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let confirm = |loaded: &Loaded| decide_by_guest(loaded, target.etag, &occasion);
        self.change(BookingChange::ConfirmByGuest, target, &occasion, Wanted::default(), confirm).await
    }
}

pub fn decide(loaded: &Loaded, etag: Option<Etag>, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == BookingStatus::Confirmed {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::Confirm)?;
    // The seats count as taken until the worker frees them, but the booking has lost its right to them.
    if booking.hold_expires_at.is_some_and(|at| at <= occasion.at) {
        return Err(NoChange::Refused(ChangeRefusal::HoldExpired));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.apply(confirmed(ConfirmationCause::Requested, false))?;
    Ok(decision)
}

/// A guest's answer does not confirm a pending booking: that would waive its deposit.
pub fn decide_by_guest(loaded: &Loaded, etag: Option<Etag>, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == BookingStatus::Confirmed && booking.guest_confirmed_at.is_some() {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::ConfirmByGuest)?;
    if booking.ends_at <= occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let mut decision = Decision::about(booking, occasion);
    let changed_fields = vec![wire::BookingField::GuestConfirmedAt.into()];
    decision.apply(EventData::BookingUpdated(wire::BookingUpdated { changed_fields, ..Default::default() }))?;
    Ok(decision)
}

/// The event that confirms a booking.
pub fn confirmed(cause: ConfirmationCause, seats_retaken: bool) -> EventData {
    EventData::BookingConfirmed(wire::BookingConfirmed { cause: cause.into(), seats_retaken, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{
        super::event_data::timestamp,
        super::fixtures::{assert_sound, at, booking_in_status, confirmed_booking, events, occasion, pending_booking},
        super::fold::fold,
        *,
    };

    #[test]
    fn a_pending_booking_is_confirmed() {
        let loaded = pending_booking();
        let decision = decide(&loaded, Some(Etag::of(1)), &occasion(119)).expect("confirmed");
        assert_sound(Some(&loaded.booking), &decision);
        let booking = &decision.booking;
        assert_eq!((booking.status, booking.version), (BookingStatus::Confirmed, 2));
        assert_eq!((booking.hold_expires_at, booking.confirmed_at), (None, Some(at(119))));
        let [EventData::BookingConfirmed(event)] = &events(&decision)[..] else { panic!("one event") };
        assert_eq!((event.cause(), event.seats_retaken), (ConfirmationCause::Requested, false));
        assert!(decision.events[0].concerns_conversation && decision.payments.is_empty() && decision.key.is_none());
    }

    #[test]
    fn a_booking_is_confirmed_once_and_only_before_its_hold_expires() {
        let refused = |loaded: &Loaded, etag, minute| decide(loaded, etag, &occasion(minute)).expect_err("refused");
        let hold_expired = NoChange::Refused(ChangeRefusal::HoldExpired);
        assert_eq!(refused(&pending_booking(), None, 120), hold_expired);
        assert_eq!(refused(&booking_in_status(BookingStatus::Expired), None, 2), hold_expired);
        assert_eq!(refused(&confirmed_booking(), Some(Etag::of(1)), 2), NoChange::Unchanged, "also with an old etag");
        assert_eq!(refused(&pending_booking(), Some(Etag::of(2)), 2), NoChange::StaleEtag);
        for ended in [BookingStatus::Cancelled, BookingStatus::Completed, BookingStatus::NoShow] {
            assert_eq!(
                refused(&booking_in_status(ended), None, 2),
                NoChange::Refused(ChangeRefusal::NotAllowed),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_guest_confirms_a_confirmed_booking_once_and_a_move_clears_it() {
        let loaded = confirmed_booking();
        let decision = decide_by_guest(&loaded, Some(Etag::of(2)), &occasion(30)).expect("confirmed");
        assert_sound(Some(&loaded.booking), &decision);
        assert_eq!(
            (decision.booking.status, decision.booking.guest_confirmed_at),
            (BookingStatus::Confirmed, Some(at(30)))
        );
        assert!(decision.events[0].concerns_conversation && decision.seats.is_empty());
        let mut again = loaded.clone();
        again.booking = decision.booking;
        let unchanged = decide_by_guest(&again, Some(Etag::of(1)), &occasion(31)).expect_err("nothing to do");
        assert_eq!(unchanged, NoChange::Unchanged, "also with an old etag");
        let fold = |event| fold(Some(&again.booking), &event, at(40)).expect("it can happen").guest_confirmed_at;
        let moved = |minutes: i64| {
            EventData::BookingRescheduled(wire::BookingRescheduled {
                date: "2024-10-18".to_owned(),
                start_time: "18:00".to_owned(),
                starts_at: timestamp(again.booking.starts_at + TimeDelta::minutes(minutes)),
                ends_at: timestamp(again.booking.ends_at + TimeDelta::minutes(minutes)),
                party_size: 3,
                ..Default::default()
            })
        };
        assert_eq!((fold(moved(0)), fold(moved(30))), (Some(at(30)), None));
    }

    #[test]
    fn a_guest_confirms_no_booking_that_waits_for_its_deposit_or_has_ended() {
        let refused = |loaded: &Loaded| decide_by_guest(loaded, None, &occasion(2)).expect_err("refused");
        assert_eq!(refused(&pending_booking()), NoChange::Refused(ChangeRefusal::NotAllowed));
        for ended in [BookingStatus::Cancelled, BookingStatus::Completed, BookingStatus::NoShow] {
            let loaded = booking_in_status(ended);
            assert_eq!(refused(&loaded), NoChange::Refused(ChangeRefusal::NotAllowed), "{ended:?}");
        }
        assert_eq!(
            decide_by_guest(&confirmed_booking(), Some(Etag::of(1)), &occasion(2)).expect_err("stale"),
            NoChange::StaleEtag
        );
    }
}
