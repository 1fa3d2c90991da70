//! The calls that create and change bookings.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, CancelBookingRequest, CancellationInitiator, CreateBookingRequest,
        CreateBookingResponse,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    door::WALK_IN,
    floors::Place,
    rules::{self, Keeps, Wish, deposit, hold_until, total},
    state::{Booking, Model, Used, date, moment, time},
};

impl Model {
    pub(super) fn create_booking(&mut self, request: &CreateBookingRequest, seen: &Answer) -> Answer {
        let fields = invalid_fields(request);
        if !fields.is_empty() {
            return Err(Refused::invalid(&fields));
        }
        if let Some(used) = self.keys.get(&request.idempotency_key) {
            if used.request != *request {
                return Err(Refused::new(tonic::Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
            }
            let booking = self.booking(&used.booking_id).map(|n| self.bookings[n].proto.clone());
            return Ok(Reply::Created(CreateBookingResponse { booking, replayed: true }));
        }
        let slot = (date(&request.date), time(&request.start_time));
        let walk_in = request.source == WALK_IN;
        let wish = Wish { area: &request.area, walk_in, ..Wish::new(&request.venue_id, slot, request.party_size) };
        // A party at the door without an address has a customer of its own.
        let email = request.contact.as_ref().map(|contact| contact.email.clone()).filter(|email| !email.is_empty());
        let email = email.unwrap_or_else(|| request.idempotency_key.clone());
        let customer = self.customers.get(&email).filter(|_| !request.allow_duplicate);
        if let Some(refused) = customer.and_then(|customer_id| self.duplicate(wish, customer_id)) {
            return Err(refused);
        }
        if let Some(refused) = self.refused(wish) {
            return Err(refused);
        }
        let made = self.made(request, wish, &email, seen);
        if request.expected_total_cents.is_some_and(|cents| cents != made.total_cents) {
            return Err(Refused::precondition("PRICE_CHANGED").with("total_cents", made.total_cents));
        }
        Arc::make_mut(&mut self.customers).insert(email, made.customer_id.clone());
        let used = Used { request: request.clone(), booking_id: made.booking_id.clone() };
        Arc::make_mut(&mut self.keys).insert(request.idempotency_key.clone(), used);
        let history = vec![("teppan.booking.created.v1", self.now)];
        self.bookings.push(Arc::new(Booking::new(made.clone(), history)));
        self.leave_queue(self.bookings.len() - 1);
        Ok(Reply::Created(CreateBookingResponse { booking: Some(made), replayed: false }))
    }

    fn made(&self, request: &CreateBookingRequest, wish: Wish, email: &str, seen: &Answer) -> wire::Booking {
        let named = match seen {
            Ok(Reply::Created(response)) => response.booking.clone().unwrap_or_default(),
            _ => wire::Booking::default(),
        };
        let customer_id = self.customers.get(email).cloned().unwrap_or(named.customer_id);
        let mut made = wire::Booking {
            booking_id: named.booking_id,
            confirmation_code: named.confirmation_code,
            customer_id,
            venue_id: request.venue_id.clone(),
            conversation_id: request.conversation_id.clone(),
            special_requests: request.special_requests.clone(),
            contact: request.contact.clone(),
            source: request.source.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            version: 1,
            ..Default::default()
        };
        let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
        made.terms = Some(rules::terms_for(&venue.proto, wish.walk_in));
        let starts_at = self.priced(&mut made, wish);
        self.seat(&mut made, wish);
        if made.deposit_cents > 0 {
            made.set_status(BookingStatus::Pending);
            made.hold_expires_at = Some(timestamp(hold_until(venue.proto.hold_minutes, self.now, starts_at)));
        } else {
            made.set_status(BookingStatus::Confirmed);
            made.confirmed_at = Some(timestamp(self.now));
        }
        made
    }

    /// Puts a booking into a slot, with the slot's price and the deposit of the booking's terms. Returns the start.
    pub(super) fn priced(&self, booking: &mut wire::Booking, wish: Wish) -> DateTime<Utc> {
        let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
        let slot = &venue.slots[&wish.slot];
        booking.date = wish.slot.0.to_string();
        booking.start_time = wish.slot.1.format("%H:%M").to_string();
        booking.starts_at = Some(timestamp(slot.starts_at));
        booking.ends_at = Some(timestamp(slot.ends_at));
        booking.time_zone.clone_from(&venue.proto.time_zone);
        booking.currency.clone_from(&venue.proto.currency);
        booking.party_size = wish.party_size;
        booking.price_per_person_cents = slot.price_cents;
        // A booking that is moved keeps its terms.
        let terms = booking.terms.get_or_insert_with(|| rules::terms(&venue.proto));
        booking.total_cents = total(terms, slot.price_cents, wish.party_size);
        booking.deposit_cents = deposit(terms, booking.total_cents, wish.party_size);
        slot.starts_at
    }

    /// Gives a booking its place on the floor, if the venue has one. The party keeps its own tables if they fit.
    pub(super) fn seat(&self, booking: &mut wire::Booking, wish: Wish) {
        let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
        let own = Place { area: booking.area.clone(), tables: booking.tables.clone() };
        let place = self.place(wish, &own);
        let ends_at = venue.visit_end(wish.slot, &venue.slots[&wish.slot], wish.party_size);
        booking.ends_at = Some(timestamp(ends_at));
        let turn = venue.floor.as_ref().map(|floor| TimeDelta::minutes(floor.turn_minutes.into()));
        booking.occupied_until = place.is_some().then(|| timestamp(ends_at + turn.unwrap_or_default()));
        Place { area: booking.area, tables: booking.tables } = place.unwrap_or_default();
    }

    /// The booking that a change names, if its outcome is not reached yet and its etag is current.
    pub(super) fn target(
        &self,
        id: &str,
        etag: &str,
        is_reached: impl Fn(&wire::Booking) -> bool,
    ) -> Result<Target, Refused> {
        let n = self.booking(id).ok_or_else(|| Refused::not_found("BOOKING_NOT_FOUND"))?;
        let proto = self.bookings[n].proto.clone();
        if is_reached(&proto) {
            return Ok(Target::Reached(proto));
        }
        if !etag.is_empty() && self.etags.version(id, etag) != Some(proto.version) {
            return Err(rules::stale());
        }
        Ok(Target::Open(n, proto))
    }

    pub(super) fn confirm(&mut self, id: &str, etag: &str) -> Answer {
        let (n, proto) = match self.target(id, etag, |booking| booking.status() == BookingStatus::Confirmed)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        match proto.status() {
            BookingStatus::Pending => {}
            BookingStatus::Expired => return Err(rules::not_in(&proto, "HOLD_EXPIRED")),
            _ => return Err(rules::not_in(&proto, "BOOKING_NOT_CONFIRMABLE")),
        }
        Ok(self.confirm_booking(n))
    }

    pub(super) fn confirm_booking(&mut self, n: usize) -> Reply {
        let now = self.now;
        self.change(n, "teppan.booking.confirmed.v1", |booking| {
            booking.set_status(BookingStatus::Confirmed);
            booking.hold_expires_at = None;
            booking.confirmed_at = Some(timestamp(now));
        })
    }

    pub(super) fn cancel(&mut self, request: &CancelBookingRequest) -> Answer {
        let cancelled = |booking: &wire::Booking| booking.status() == BookingStatus::Cancelled;
        let (n, proto) = match self.target(&request.booking_id, &request.etag, cancelled)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        let by = match request.cancelled_by() {
            CancellationInitiator::Venue => CancellationInitiator::Venue,
            _ => CancellationInitiator::Customer,
        };
        // The venue cancels until the visit ends.
        let until = if by == CancellationInitiator::Venue { &proto.ends_at } else { &proto.starts_at };
        let is_over = until.as_ref().is_some_and(|until| moment(until) <= self.now);
        if !self.bookings[n].live() || is_over {
            return Err(rules::not_in(&proto, "BOOKING_NOT_CANCELLABLE"));
        }
        let now = self.now;
        let kept = Keeps::of(&self.bookings[n], by, now).map_or(0, Keeps::if_cancelled);
        Arc::make_mut(&mut self.bookings[n]).kept_cents = kept;
        Ok(self.change(n, "teppan.booking.cancelled.v1", |booking| {
            booking.set_status(BookingStatus::Cancelled);
            booking.hold_expires_at = None;
            booking.cancelled_at = Some(timestamp(now));
            booking.set_cancelled_by(by);
            booking.refund_due_cents = (rules::paid(booking) - kept).max(0);
        }))
    }

    /// COMPLETED or NO_SHOW, after the start. Guests who did not come owe a fee, unless it is waived; what was paid
    /// counts towards it, also what was owed to them.
    pub(super) fn conclude(&mut self, id: &str, etag: &str, end: BookingStatus, waives_fee: bool) -> Answer {
        let (n, proto) = match self.target(id, etag, |booking| booking.status() == end)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        let (reason, event) = match end {
            BookingStatus::Completed => ("BOOKING_NOT_COMPLETABLE", "teppan.booking.completed.v1"),
            _ => ("NO_SHOW_NOT_ALLOWED", "teppan.booking.no_show.v1"),
        };
        if proto.status() != BookingStatus::Confirmed {
            return Err(rules::not_in(&proto, reason));
        }
        if !begun(&proto, self.now) {
            return Err(rules::not_in(&proto, "BOOKING_NOT_STARTED"));
        }
        if end == BookingStatus::NoShow && proto.seated_at.is_some() {
            return Err(rules::not_in(&proto, "BOOKING_SEATED"));
        }
        let fee = proto.terms.filter(|_| !waives_fee).map_or(0, |terms| terms.no_show_fee_per_person_cents);
        Arc::make_mut(&mut self.bookings[n]).proto.no_show_fee_cents = fee * i64::from(proto.party_size);
        let owed_cents = self.bookings[n].owed_cents();
        Ok(self.change(n, event, |booking| {
            booking.set_status(end);
            booking.refund_due_cents = owed_cents;
        }))
    }

    pub(super) fn change(&mut self, n: usize, event: &'static str, change: impl FnOnce(&mut wire::Booking)) -> Reply {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        change(&mut booking.proto);
        booking.changed(event, now);
        self.follow(n);
        Reply::Booking(self.bookings[n].proto.clone())
    }
}

pub(super) enum Target {
    /// The outcome is already reached.
    Reached(wire::Booking),
    Open(usize, wire::Booking),
}

pub(super) fn begun(booking: &wire::Booking, now: DateTime<Utc>) -> bool {
    booking.starts_at.as_ref().is_some_and(|start| moment(start) <= now)
}

/// The violations of a request, of the kinds that the strategy makes.
fn invalid_fields(request: &CreateBookingRequest) -> Vec<&'static str> {
    let contact = request.contact.clone().unwrap_or_default();
    let faults = [
        (request.idempotency_key.is_empty(), "idempotency_key"),
        (uuid::Uuid::parse_str(&request.venue_id).is_err(), "venue_id"),
        (!(1..=50).contains(&request.party_size), "party_size"),
        (contact.email.is_empty() && request.source != WALK_IN, "contact.email"),
        (request.expected_total_cents.is_some_and(|cents| cents < 0), "expected_total_cents"),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, field)| field).collect()
}
