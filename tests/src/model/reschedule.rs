//! A booking moves to another slot, or its party changes.

use std::sync::Arc;

use teppan_shared::{
    contract::booking::v1::{self as wire, BookingStatus, RescheduleBookingRequest},
    wire::timestamp,
};

use super::{
    bookings::{Target, begun},
    calls::{Answer, Refused, Reply},
    floors::{Place, Seeker},
    rules::{self, Keeps, Wish, deposit, total},
    state::{Model, date, moment, time},
};

impl Model {
    pub(super) fn reschedule(&mut self, request: &RescheduleBookingRequest) -> Answer {
        if !(1..=50).contains(&request.party_size.unwrap_or(1)) {
            return Err(Refused::invalid(&["party_size"]));
        }
        let wanted = |booking: &wire::Booking| {
            let day = if request.date.is_empty() { &booking.date } else { &request.date };
            let start = if request.start_time.is_empty() { &booking.start_time } else { &request.start_time };
            ((date(day), time(start)), request.party_size.unwrap_or(booking.party_size))
        };
        let is_reached = |booking: &wire::Booking| {
            matches!(booking.status(), BookingStatus::Pending | BookingStatus::Confirmed)
                && wanted(booking) == ((date(&booking.date), time(&booking.start_time)), booking.party_size)
                && (request.area.is_empty() || request.area == booking.area)
                && request.expected_total_cents.is_none_or(|cents| cents == booking.total_cents)
        };
        let (n, proto) = match self.target(&request.booking_id, &request.etag, is_reached)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        match proto.status() {
            BookingStatus::Pending | BookingStatus::Confirmed => {}
            BookingStatus::Expired => return Err(rules::not_in(&proto, "HOLD_EXPIRED")),
            _ => return Err(rules::not_in(&proto, "BOOKING_NOT_RESCHEDULABLE")),
        }
        if begun(&proto, self.now) {
            return Err(rules::not_in(&proto, "BOOKING_NOT_RESCHEDULABLE"));
        }
        let (slot, party_size) = wanted(&proto);
        let wish = Wish { area: &request.area, but: Some(n), ..Wish::new(&proto.venue_id, slot, party_size) };
        let to_other_slot = slot != (date(&proto.date), time(&proto.start_time));
        let duplicate =
            if to_other_slot && !request.allow_duplicate { self.duplicate(wish, &proto.customer_id) } else { None };
        // Another offer of the new slot has its own reason, below.
        let (day, start_time) = (slot.0.to_string(), slot.1.format("%H:%M").to_string());
        let target = wire::Booking { date: day, start_time, ..proto.clone() };
        let is_offered = !proto.waitlist_entry_id.is_empty() && self.is_offered(&proto, &target);
        if let Some(refused) = duplicate.clone().filter(|_| !is_offered) {
            return Err(refused);
        }
        // Fewer guests in the same slot are always accepted, at the booking's own price.
        let smaller = slot == (date(&proto.date), time(&proto.start_time)) && party_size < proto.party_size;
        let mut moved = proto.clone();
        let starts_at = if smaller {
            let venue = &self.venues[self.venue(&proto.venue_id).unwrap_or_default()];
            if party_size < venue.proto.min_party_size {
                return Err(Refused::precondition("PARTY_TOO_SMALL"));
            }
            moved.party_size = party_size;
            let terms = proto.terms.unwrap_or_default();
            moved.total_cents = total(&terms, proto.price_per_person_cents, party_size);
            moved.deposit_cents = deposit(&terms, moved.total_cents, party_size);
            if request.area.is_empty() {
                self.seat_fewer(&mut moved, wish);
            } else if let Some(refused) = self.refused_by_floor(wish) {
                return Err(refused);
            } else {
                self.seat(&mut moved, wish);
            }
            proto.starts_at.as_ref().map(moment).unwrap_or_default()
        } else {
            if let Some(refused) = self.refused(wish) {
                return Err(refused);
            }
            let starts_at = self.priced(&mut moved, wish);
            // Without a wish the party stays in its area if it can.
            let own = Wish { area: if wish.area.is_empty() { &proto.area } else { wish.area }, ..wish };
            let wish = if self.refused_by_floor(own).is_none() { own } else { wish };
            self.seat(&mut moved, wish);
            starts_at
        };
        if request.expected_total_cents.is_some_and(|cents| cents != moved.total_cents) {
            return Err(Refused::precondition("PRICE_CHANGED").with("total_cents", moved.total_cents));
        }
        if slot != (date(&proto.date), time(&proto.start_time)) {
            moved.seated_at = None;
        }
        moved.guest_confirmed_at = proto.guest_confirmed_at.filter(|_| proto.starts_at == moved.starts_at);
        moved.hold_expires_at = proto.hold_expires_at.map(|until| timestamp(moment(&until).min(starts_at)));
        let keeps = Keeps::of(&self.bookings[n], request.rescheduled_by(), self.now);
        moved.retained_cents = keeps.map_or(0, |keeps| keeps.beyond(moved.total_cents));
        moved.refund_percent_max = keeps.map(|keeps| keeps.share);
        moved.refund_due_cents = (rules::paid(&moved) - moved.total_cents - moved.retained_cents).max(0);
        // A reschedule confirms the booking if its smaller deposit is already paid, but not an offer for which nothing
        // was paid: the customer has not accepted it.
        let answered = proto.waitlist_entry_id.is_empty() || rules::paid(&proto) > 0;
        let confirms = proto.status() == BookingStatus::Pending
            && rules::paid(&proto) < proto.deposit_cents
            && rules::paid(&moved) >= moved.deposit_cents
            && answered;
        let changes_slot = slot != (date(&proto.date), time(&proto.start_time));
        let is_open_offer = !proto.waitlist_entry_id.is_empty() && proto.status() == BookingStatus::Pending;
        if changes_slot && is_open_offer && !confirms && self.is_offered(&proto, &moved) {
            return Err(rules::not_in(&proto, "SLOT_ALREADY_OFFERED"));
        }
        if let Some(refused) = duplicate {
            return Err(refused);
        }
        Arc::make_mut(&mut self.bookings[n]).base_cents = keeps.map_or(0, |keeps| keeps.base_cents);
        let reply = self.change(n, "teppan.booking.rescheduled.v1", |booking| *booking = moved);
        if changes_slot {
            self.leave_queue(n);
        }
        if changes_slot && is_open_offer {
            self.move_entry(n);
        }
        Ok(if confirms { self.confirm_booking(n) } else { reply })
    }

    /// Seats a party that has become smaller in its slot: in its area and not longer than before, at smaller tables if
    /// there are any.
    fn seat_fewer(&self, booking: &mut wire::Booking, wish: Wish) {
        let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
        let Some(floor) = venue.floor.as_ref().filter(|_| !booking.area.is_empty()) else { return };
        let [starts_at, ends_at, until] = [&booking.starts_at, &booking.ends_at, &booking.occupied_until]
            .map(|at| at.as_ref().map(moment).unwrap_or_default());
        let shorter = ends_at.min(venue.visit_end(wish.slot, &venue.slots[&wish.slot], wish.party_size));
        let until = shorter + (until - ends_at);
        (booking.ends_at, booking.occupied_until) = (Some(timestamp(shorter)), Some(timestamp(until)));
        let Some(area) = floor.areas.iter().find(|area| area.area == booking.area) else { return };
        if booking.tables.is_empty() {
            return;
        }
        let own = Place { area: booking.area.clone(), tables: booking.tables.clone() };
        let seeker = Seeker::new(floor, wish.party_size, starts_at, until, wish.but);
        booking.tables = self.tables_in(floor, area, &seeker, &own).unwrap_or(own.tables);
    }
}
