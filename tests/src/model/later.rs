//! The calls that work on a booking in any state: its notes change, or its end is taken back.

use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    contract::booking::v1::{self as wire, BookingStatus, CancellationInitiator, UpdateBookingRequest},
    wire::timestamp,
};

use super::{
    bookings::{Target, begun},
    calls::{Answer, Refused, Reply},
    floors::{area_full, leaves_at},
    rules::{self, Wish, hold_until},
    state::{Model, date, moment, time},
};

impl Model {
    /// Takes a cancellation, a completion or a no-show back.
    pub(super) fn reinstate(&mut self, id: &str, etag: &str) -> Answer {
        const ENDINGS: [&str; 3] =
            ["teppan.booking.cancelled.v1", "teppan.booking.completed.v1", "teppan.booking.no_show.v1"];
        let is_live =
            |booking: &wire::Booking| matches!(booking.status(), BookingStatus::Pending | BookingStatus::Confirmed);
        let (n, proto) = match self.target(id, etag, is_live)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        let not_allowed = rules::not_in(&proto, "BOOKING_NOT_REINSTATABLE");
        if proto.status() == BookingStatus::Expired {
            return Err(not_allowed);
        }
        let now = self.now;
        let venue = self.venues[self.venue(&proto.venue_id).unwrap_or_default()].proto.clone();
        let ended = self.bookings[n].history.iter().rev().find(|(kind, _)| ENDINGS.contains(kind));
        let undo = TimeDelta::minutes(venue.undo_minutes.into());
        if ended.is_none_or(|(_, at)| now >= *at + undo) {
            return Err(rules::not_in(&proto, "UNDO_TIME_OVER").with("undo_minutes", venue.undo_minutes));
        }
        let was_confirmed = proto.confirmed_at.is_some();
        if !was_confirmed && (!proto.waitlist_entry_id.is_empty() || begun(&proto, now)) {
            return Err(not_allowed);
        }
        let slot = (date(&proto.date), time(&proto.start_time));
        let wish = Wish::new(&proto.venue_id, slot, proto.party_size);
        if proto.party_size > self.open_seats(wish) {
            return Err(self.slot_full(wish));
        }
        if !self.has_its_place(n) {
            return Err(area_full(0));
        }
        let starts_at = proto.starts_at.as_ref().map(moment).unwrap_or_default();
        let waits = !was_confirmed && rules::paid(&proto) < proto.deposit_cents;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        (booking.kept_cents, booking.is_uncounted) = (0, false);
        let reply = self.change(n, "teppan.booking.reinstated.v1", |booking| {
            if waits {
                booking.set_status(BookingStatus::Pending);
                booking.hold_expires_at = Some(timestamp(hold_until(venue.hold_minutes, now, starts_at)));
            } else {
                booking.set_status(BookingStatus::Confirmed);
                booking.confirmed_at = booking.confirmed_at.or(Some(timestamp(now)));
            }
            // Who has cancelled since has not confirmed.
            booking.guest_confirmed_at = booking.guest_confirmed_at.filter(|_| booking.cancelled_at.is_none());
            booking.cancelled_at = None;
            booking.set_cancelled_by(CancellationInitiator::Unspecified);
            booking.no_show_fee_cents = 0;
            booking.refund_due_cents = (rules::paid(booking) - booking.total_cents - booking.retained_cents).max(0);
        });
        self.leave_queue(n);
        Ok(reply)
    }

    /// Changes the one field that the mask names.
    pub(super) fn update(&mut self, request: &UpdateBookingRequest) -> Answer {
        let names_end = request.update_mask.iter().flat_map(|mask| &mask.paths).any(|path| path == "ends_at");
        if names_end { self.end_visit(request) } else { self.note(request) }
    }

    /// Sets when the party leaves. Its seats are taken until then.
    fn end_visit(&mut self, request: &UpdateBookingRequest) -> Answer {
        let wanted = request.booking.clone().unwrap_or_default();
        let ends_then = |booking: &wire::Booking| booking.ends_at == wanted.ends_at;
        let (n, proto) = match self.target(&wanted.booking_id, &request.etag, ends_then)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        if !self.bookings[n].live() {
            return Err(rules::not_in(&proto, "BOOKING_NOT_UPDATABLE"));
        }
        let [starts_at, before, ends_at] =
            [&proto.starts_at, &proto.ends_at, &wanted.ends_at].map(|at| at.as_ref().map(moment).unwrap_or_default());
        if ends_at <= starts_at || ends_at > starts_at + TimeDelta::hours(24) {
            return Err(Refused::invalid(&["booking.ends_at"]));
        }
        let later = ends_at - before;
        if ends_at > before && !self.has_its_place_until(n, leaves_at(&proto) + later) {
            return Err(area_full(0));
        }
        Arc::make_mut(&mut self.bookings[n]).is_uncounted = false;
        Ok(self.change(n, "teppan.booking.updated.v1", |booking| {
            booking.ends_at = Some(timestamp(ends_at));
            booking.occupied_until = booking.occupied_until.map(|until| timestamp(moment(&until) + later));
        }))
    }

    /// Sets the notes by the venue.
    fn note(&mut self, request: &UpdateBookingRequest) -> Answer {
        let wanted = request.booking.clone().unwrap_or_default();
        let has_it = |booking: &wire::Booking| booking.venue_notes == wanted.venue_notes;
        match self.target(&wanted.booking_id, &request.etag, has_it)? {
            Target::Reached(proto) => Ok(Reply::Booking(proto)),
            Target::Open(n, _) => {
                Ok(self.change(n, "teppan.booking.updated.v1", |booking| booking.venue_notes = wanted.venue_notes))
            }
        }
    }
}
