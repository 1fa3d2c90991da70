use teppan_shared::contract::events::v1 as wire;

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

/// One way in which a booking that has begun can end.
pub struct End {
    change: BookingChange,
    status: BookingStatus,
    event: fn() -> EventData,
}

pub const COMPLETED: End = End {
    change: BookingChange::Complete,
    status: BookingStatus::Completed,
    event: || EventData::BookingCompleted(wire::BookingCompleted::default()),
};

pub const NO_SHOW: End = End {
    change: BookingChange::MarkNoShow,
    status: BookingStatus::NoShow,
    event: || EventData::BookingNoShow(wire::BookingNoShow::default()),
};

impl Bookings {
    /// Marks a confirmed booking as completed: the guests came.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn complete_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        self.end(target, &COMPLETED).await
    }

    /// Marks a confirmed booking as a no-show: the guests did not come.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn mark_no_show(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        self.end(target, &NO_SHOW).await
    }

    async fn end(&self, target: &BookingTarget, end: &End) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let decide = |loaded: &Loaded| decide(loaded, target.etag, end, &occasion);
        self.change(end.change, target, &occasion, Wanted::default(), decide).await
    }
}

pub fn decide(loaded: &Loaded, etag: Option<Etag>, end: &End, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == end.status {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, end.change)?;
    if booking.starts_at > occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotStarted));
    }
    if end.status == BookingStatus::NoShow && booking.seated_at.is_some() {
        return Err(NoChange::Refused(ChangeRefusal::Seated));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.apply((end.event)())?;
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixtures::{START, assert_sound, booking_in_status, confirmed_booking, occasion},
        *,
    };

    #[test]
    fn ending_a_confirmed_booking_that_has_begun_frees_its_seats() {
        for (end, concerns_conversation) in [(&COMPLETED, false), (&NO_SHOW, true)] {
            let loaded = confirmed_booking();
            let decision = decide(&loaded, Some(Etag::of(2)), end, &occasion(START)).expect("ended");
            assert_sound(Some(&loaded.booking), &decision);
            assert_eq!((decision.booking.status, decision.seats[0].seats), (end.status, -2));
            let [event] = &decision.events[..] else { panic!("one event") };
            assert_eq!(event.concerns_conversation, concerns_conversation, "{:?}", end.change);
        }
    }

    #[test]
    fn a_booking_that_is_not_confirmed_or_has_not_begun_cannot_be_ended() {
        for end in [&COMPLETED, &NO_SHOW] {
            let refused = |loaded: &Loaded, etag, minute| decide(loaded, etag, end, &occasion(minute)).expect_err("no");
            assert_eq!(refused(&booking_in_status(end.status), Some(Etag::of(1)), START), NoChange::Unchanged);
            assert_eq!(refused(&confirmed_booking(), None, START - 1), NoChange::Refused(ChangeRefusal::NotStarted));
            assert_eq!(refused(&confirmed_booking(), Some(Etag::of(1)), START), NoChange::StaleEtag);
            let others = [
                BookingStatus::Pending,
                BookingStatus::Cancelled,
                BookingStatus::Expired,
                if end.status == BookingStatus::NoShow { BookingStatus::Completed } else { BookingStatus::NoShow },
            ];
            for status in others {
                let refusal = refused(&booking_in_status(status), None, START);
                assert_eq!(refusal, NoChange::Refused(ChangeRefusal::NotAllowed), "{status:?}");
            }
        }
    }
}
