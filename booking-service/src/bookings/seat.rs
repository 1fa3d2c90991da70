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
    domain::{BookingChange, ChangeRefusal, Etag, SEATED_EARLY},
};

impl Bookings {
    /// Notes that the party of a booking is seated, or, with `undo`, that it is not after all.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn seat_booking(&self, target: &BookingTarget, undo: bool) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let seat = |loaded: &Loaded| decide(loaded, target.etag, undo, &occasion);
        self.change(BookingChange::Seat, target, &occasion, Wanted::default(), seat).await
    }
}

pub fn decide(loaded: &Loaded, etag: Option<Etag>, undo: bool, occasion: &Occasion) -> Result<Decision, NoChange> {
    let (booking, now) = (&loaded.booking, occasion.at);
    if booking.seated_at.is_none() == undo {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::Seat)?;
    if !undo && now < booking.starts_at - SEATED_EARLY {
        return Err(NoChange::Refused(ChangeRefusal::TooEarlyToSeat));
    }
    if !undo && now >= booking.ends_at {
        return Err(NoChange::Refused(ChangeRefusal::NotAllowed));
    }
    let mut decision = Decision::about(booking, occasion);
    let seated_at = if undo { None } else { timestamp(now) };
    decision.apply(EventData::BookingSeated(wire::BookingSeated { seated_at, ..Default::default() }))?;
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            end,
            fixtures::{START, assert_sound, at, booking_in_status, confirmed_booking, events, occasion},
        },
        *,
    };
    use crate::domain::BookingStatus;

    fn seated(loaded: &Loaded, minute: i64) -> Loaded {
        let decision = decide(loaded, None, false, &occasion(minute)).expect("seated");
        assert_sound(Some(&loaded.booking), &decision);
        Loaded { booking: decision.booking, ..loaded.clone() }
    }

    #[test]
    fn a_confirmed_booking_is_seated_from_two_hours_before_its_start_until_its_end() {
        let loaded = confirmed_booking();
        let refused = |minute| decide(&loaded, None, false, &occasion(minute)).expect_err("refused");
        assert_eq!(refused(START - 121), NoChange::Refused(ChangeRefusal::TooEarlyToSeat));
        for minute in [START - 120, START, START + 119] {
            let seated = seated(&loaded, minute).booking;
            assert_eq!((seated.status, seated.seated_at), (BookingStatus::Confirmed, Some(at(minute))));
        }
        assert_eq!(refused(START + 120), NoChange::Refused(ChangeRefusal::NotAllowed));
        let others = BookingStatus::ALL.iter().filter(|status| **status != BookingStatus::Confirmed);
        for status in others {
            let refused = decide(&booking_in_status(*status), None, false, &occasion(START)).expect_err("refused");
            assert_eq!(refused, NoChange::Refused(ChangeRefusal::NotAllowed), "{status:?}");
        }
    }

    #[test]
    fn a_seated_party_is_no_no_show_unless_the_seating_is_taken_back() {
        let seated = seated(&confirmed_booking(), START);
        let again = decide(&seated, Some(Etag::of(1)), false, &occasion(START + 5)).expect_err("no change");
        assert_eq!(again, NoChange::Unchanged, "also with an old etag");
        let no_show = |loaded: &Loaded| end::decide(loaded, None, &end::NO_SHOW, &occasion(START + 30));
        assert_eq!(no_show(&seated).expect_err("refused"), NoChange::Refused(ChangeRefusal::Seated));
        assert!(end::decide(&seated, None, &end::COMPLETED, &occasion(START + 30)).is_ok());

        let undone = decide(&seated, None, true, &occasion(START + 6)).expect("undone");
        assert_sound(Some(&seated.booking), &undone);
        let [EventData::BookingSeated(event)] = &events(&undone)[..] else { panic!("one event") };
        assert!(event.seated_at.is_none());
        assert!(no_show(&Loaded { booking: undone.booking, ..seated }).is_ok());
    }
}
