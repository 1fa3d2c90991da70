//! The calls that make and change bookings.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, CancelBookingRequest, CancellationInitiator, CreateBookingRequest,
        CreateBookingResponse, RescheduleBookingRequest,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    rules::{self, Wish, deposit, hold_until},
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
            let booking = self.booking(&used.booking_id).map(|n| self.bookings[n].told.clone());
            return Ok(Reply::Created(CreateBookingResponse { booking, replayed: true }));
        }
        let slot = (date(&request.date), time(&request.start_time));
        let wish = Wish { venue_id: &request.venue_id, slot, party_size: request.party_size, but: None };
        if let Some(refused) = self.refused(wish) {
            return Err(refused);
        }
        let made = self.made(request, wish, seen);
        if request.expected_total_cents.is_some_and(|cents| cents != made.total_cents) {
            return Err(Refused::precondition("PRICE_CHANGED").with("total_cents", made.total_cents));
        }
        let email = request.contact.as_ref().map(|contact| contact.email.clone()).unwrap_or_default();
        Arc::make_mut(&mut self.customers).insert(email, made.customer_id.clone());
        let used = Used { request: request.clone(), booking_id: made.booking_id.clone() };
        Arc::make_mut(&mut self.keys).insert(request.idempotency_key.clone(), used);
        let history = vec![("teppan.booking.created.v1", self.now)];
        self.bookings.push(Arc::new(Booking::new(made.clone(), history)));
        self.leave_queue(self.bookings.len() - 1);
        Ok(Reply::Created(CreateBookingResponse { booking: Some(made), replayed: false }))
    }

    fn made(&self, request: &CreateBookingRequest, wish: Wish, seen: &Answer) -> wire::Booking {
        let named = match seen {
            Ok(Reply::Created(response)) => response.booking.clone().unwrap_or_default(),
            _ => wire::Booking::default(),
        };
        let email = request.contact.as_ref().map(|contact| contact.email.as_str()).unwrap_or_default();
        let customer_id = self.customers.get(email).cloned().unwrap_or(named.customer_id);
        let mut made = wire::Booking {
            booking_id: named.booking_id,
            confirmation_code: named.confirmation_code,
            customer_id,
            venue_id: request.venue_id.clone(),
            conversation_id: request.conversation_id.clone(),
            special_requests: request.special_requests.clone(),
            source: request.source.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            version: 1,
            ..Default::default()
        };
        let starts_at = self.priced(&mut made, wish);
        if made.deposit_cents > 0 {
            made.set_status(BookingStatus::Pending);
            let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
            made.hold_expires_at = Some(timestamp(hold_until(venue.told.hold_minutes, self.now, starts_at)));
        } else {
            made.set_status(BookingStatus::Confirmed);
            made.confirmed_at = Some(timestamp(self.now));
        }
        made
    }

    /// Puts a booking into a slot at the slot's price and the venue's deposit of now. Tells the start.
    pub(super) fn priced(&self, booking: &mut wire::Booking, wish: Wish) -> DateTime<Utc> {
        let venue = &self.venues[self.venue(wish.venue_id).unwrap_or_default()];
        let slot = &venue.slots[&wish.slot];
        booking.date = wish.slot.0.to_string();
        booking.start_time = wish.slot.1.format("%H:%M").to_string();
        booking.starts_at = Some(timestamp(slot.starts_at));
        booking.ends_at = Some(timestamp(slot.ends_at));
        booking.time_zone.clone_from(&venue.told.time_zone);
        booking.currency.clone_from(&venue.told.currency);
        booking.party_size = wish.party_size;
        booking.price_per_person_cents = slot.price_cents;
        booking.total_cents = slot.price_cents * i64::from(wish.party_size);
        booking.deposit_cents = deposit(booking.total_cents, venue.told.deposit_percent);
        slot.starts_at
    }

    /// The booking a change names, once its outcome does not stand yet and its etag is current.
    fn target(&self, id: &str, etag: &str, stands: impl Fn(&wire::Booking) -> bool) -> Result<Target, Refused> {
        let n = self.booking(id).ok_or_else(|| Refused::not_found("BOOKING_NOT_FOUND"))?;
        let told = self.bookings[n].told.clone();
        if stands(&told) {
            return Ok(Target::Stands(told));
        }
        if !etag.is_empty() && self.etags.version(id, etag) != Some(told.version) {
            return Err(rules::stale());
        }
        Ok(Target::Open(n, told))
    }

    pub(super) fn confirm(&mut self, id: &str, etag: &str) -> Answer {
        let (n, told) = match self.target(id, etag, |booking| booking.status() == BookingStatus::Confirmed)? {
            Target::Stands(told) => return Ok(Reply::Booking(told)),
            Target::Open(n, told) => (n, told),
        };
        match told.status() {
            BookingStatus::Pending => {}
            BookingStatus::Expired => return Err(rules::not_in(&told, "HOLD_EXPIRED")),
            _ => return Err(rules::not_in(&told, "BOOKING_NOT_CONFIRMABLE")),
        }
        Ok(self.make_firm(n))
    }

    pub(super) fn make_firm(&mut self, n: usize) -> Reply {
        let now = self.now;
        self.change(n, "teppan.booking.confirmed.v1", |booking| {
            booking.set_status(BookingStatus::Confirmed);
            booking.hold_expires_at = None;
            booking.confirmed_at = Some(timestamp(now));
        })
    }

    pub(super) fn cancel(&mut self, request: &CancelBookingRequest) -> Answer {
        let cancelled = |booking: &wire::Booking| booking.status() == BookingStatus::Cancelled;
        let (n, told) = match self.target(&request.booking_id, &request.etag, cancelled)? {
            Target::Stands(told) => return Ok(Reply::Booking(told)),
            Target::Open(n, told) => (n, told),
        };
        if !self.bookings[n].live() || begun(&told, self.now) {
            return Err(rules::not_in(&told, "BOOKING_NOT_CANCELLABLE"));
        }
        let by = match request.cancelled_by() {
            CancellationInitiator::Venue => CancellationInitiator::Venue,
            _ => CancellationInitiator::Customer,
        };
        let now = self.now;
        let venue = &self.venues[self.venue(&told.venue_id).unwrap_or_default()];
        let kept = rules::kept_on_cancellation(&venue.told, &told, self.bookings[n].disputed_cents, by, now);
        Arc::make_mut(&mut self.bookings[n]).kept_cents = kept;
        Ok(self.change(n, "teppan.booking.cancelled.v1", |booking| {
            booking.set_status(BookingStatus::Cancelled);
            booking.hold_expires_at = None;
            booking.cancelled_at = Some(timestamp(now));
            booking.set_cancelled_by(by);
            booking.refund_due_cents = (booking.paid_cents - kept).max(0);
        }))
    }

    pub(super) fn reschedule(&mut self, request: &RescheduleBookingRequest) -> Answer {
        if !(1..=50).contains(&request.party_size.unwrap_or(1)) {
            return Err(Refused::invalid(&["party_size"]));
        }
        let wanted = |booking: &wire::Booking| {
            let day = if request.date.is_empty() { &booking.date } else { &request.date };
            let start = if request.start_time.is_empty() { &booking.start_time } else { &request.start_time };
            ((date(day), time(start)), request.party_size.unwrap_or(booking.party_size))
        };
        let stands = |booking: &wire::Booking| {
            matches!(booking.status(), BookingStatus::Pending | BookingStatus::Confirmed)
                && wanted(booking) == ((date(&booking.date), time(&booking.start_time)), booking.party_size)
                && request.expected_total_cents.is_none_or(|cents| cents == booking.total_cents)
        };
        let (n, told) = match self.target(&request.booking_id, &request.etag, stands)? {
            Target::Stands(told) => return Ok(Reply::Booking(told)),
            Target::Open(n, told) => (n, told),
        };
        match told.status() {
            BookingStatus::Pending | BookingStatus::Confirmed => {}
            BookingStatus::Expired => return Err(rules::not_in(&told, "HOLD_EXPIRED")),
            _ => return Err(rules::not_in(&told, "BOOKING_NOT_RESCHEDULABLE")),
        }
        if begun(&told, self.now) {
            return Err(rules::not_in(&told, "BOOKING_NOT_RESCHEDULABLE"));
        }
        let (slot, party_size) = wanted(&told);
        let wish = Wish { venue_id: &told.venue_id, slot, party_size, but: Some(n) };
        if let Some(refused) = self.refused(wish) {
            return Err(refused);
        }
        let mut moved = told.clone();
        let starts_at = self.priced(&mut moved, wish);
        if request.expected_total_cents.is_some_and(|cents| cents != moved.total_cents) {
            return Err(Refused::precondition("PRICE_CHANGED").with("total_cents", moved.total_cents));
        }
        moved.hold_expires_at = told.hold_expires_at.map(|until| timestamp(moment(&until).min(starts_at)));
        moved.refund_due_cents = (moved.paid_cents - moved.total_cents).max(0);
        // A deposit that was due and is paid by now confirms, as the payment would have; but nobody has answered an
        // offer for which nothing was paid.
        let answered = told.waitlist_entry_id.is_empty() || told.paid_cents > 0;
        let confirms = told.status() == BookingStatus::Pending
            && told.paid_cents < told.deposit_cents
            && moved.paid_cents >= moved.deposit_cents
            && answered;
        let changes_slot = slot != (date(&told.date), time(&told.start_time));
        let stands = !told.waitlist_entry_id.is_empty() && told.status() == BookingStatus::Pending;
        if changes_slot && stands && !confirms && self.is_offered(&told, &moved) {
            return Err(rules::not_in(&told, "SLOT_ALREADY_OFFERED"));
        }
        let reply = self.change(n, "teppan.booking.rescheduled.v1", |booking| *booking = moved);
        if changes_slot {
            self.leave_queue(n);
        }
        if changes_slot && stands {
            self.take_entry_along(n);
        }
        Ok(if confirms { self.make_firm(n) } else { reply })
    }

    /// COMPLETED or NO_SHOW, from the start on.
    pub(super) fn conclude(&mut self, id: &str, etag: &str, end: BookingStatus) -> Answer {
        let (n, told) = match self.target(id, etag, |booking| booking.status() == end)? {
            Target::Stands(told) => return Ok(Reply::Booking(told)),
            Target::Open(n, told) => (n, told),
        };
        let (reason, event) = match end {
            BookingStatus::Completed => ("BOOKING_NOT_COMPLETABLE", "teppan.booking.completed.v1"),
            _ => ("NO_SHOW_NOT_ALLOWED", "teppan.booking.no_show.v1"),
        };
        if told.status() != BookingStatus::Confirmed {
            return Err(rules::not_in(&told, reason));
        }
        if !begun(&told, self.now) {
            return Err(rules::not_in(&told, "BOOKING_NOT_STARTED"));
        }
        Ok(self.change(n, event, |booking| booking.set_status(end)))
    }

    fn change(&mut self, n: usize, event: &'static str, change: impl FnOnce(&mut wire::Booking)) -> Reply {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        change(&mut booking.told);
        booking.changed(event, now);
        self.follow(n);
        Reply::Booking(self.bookings[n].told.clone())
    }
}

enum Target {
    /// The outcome stands already.
    Stands(wire::Booking),
    Open(usize, wire::Booking),
}

fn begun(booking: &wire::Booking, now: DateTime<Utc>) -> bool {
    booking.starts_at.as_ref().is_some_and(|start| moment(start) <= now)
}

/// What is wrong with a request, of the faults that the strategy makes.
fn invalid_fields(request: &CreateBookingRequest) -> Vec<&'static str> {
    let contact = request.contact.clone().unwrap_or_default();
    let faults = [
        (request.idempotency_key.is_empty(), "idempotency_key"),
        (uuid::Uuid::parse_str(&request.venue_id).is_err(), "venue_id"),
        (!(1..=50).contains(&request.party_size), "party_size"),
        (contact.email.is_empty(), "contact.email"),
        (request.expected_total_cents.is_some_and(|cents| cents < 0), "expected_total_cents"),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, field)| field).collect()
}
