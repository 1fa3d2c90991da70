use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::EventData,
    load::{Loaded, Wanted},
};
use crate::{
    core::Core,
    domain::{BookingChange, BookingStatus, ChangeRefusal, Etag},
};

/// One way in which the time of a booking can be over.
struct End {
    change: BookingChange,
    status: BookingStatus,
    event: fn() -> EventData,
}

const COMPLETED: End = End {
    change: BookingChange::Complete,
    status: BookingStatus::Completed,
    event: || EventData::BookingCompleted(wire::BookingCompleted::default()),
};

const NO_SHOW: End = End {
    change: BookingChange::MarkNoShow,
    status: BookingStatus::NoShow,
    event: || EventData::BookingNoShow(wire::BookingNoShow::default()),
};

impl Core {
    /// The guests of a firm booking came: it took place.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn complete_booking(&self, target: &BookingTarget) -> Result<OpenBooking, ChangeBookingError> {
        self.end(target, &COMPLETED).await
    }

    /// The guests of a firm booking did not come.
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

fn decide(loaded: &Loaded, etag: Option<Etag>, end: &End, occasion: &Occasion) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if booking.status == end.status {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, end.change)?;
    if booking.starts_at > occasion.at {
        return Err(NoChange::Refused(ChangeRefusal::NotStarted));
    }
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.happen((end.event)())?;
    Ok(decision)
}
