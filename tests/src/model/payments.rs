//! The calls of PaymentService.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, ListPaymentsRequest, PaymentKind, PaymentMethod, PaymentStatus,
        RecordPaymentRequest, RecordPaymentResponse,
    },
    wire::timestamp,
};
use tonic::Code;

use super::{
    calls::{Answer, Refused, Reply},
    rules::{self, Wish},
    state::{Model, date, moment, time},
    stripe::canonical,
};

impl Model {
    pub(super) fn record_payment(&mut self, request: &RecordPaymentRequest, seen: &Answer) -> Answer {
        let fields = invalid_fields(request);
        if !fields.is_empty() {
            return Err(Refused::invalid(&fields));
        }
        if let Some((used, payment)) = self.payment_keys.get(&request.idempotency_key) {
            if used != request {
                return Err(Refused::new(Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
            }
            let booking = self.booking(&request.booking_id).map(|n| self.bookings[n].told.clone());
            return Ok(Reply::Paid(RecordPaymentResponse { payment: Some(payment.clone()), booking, replayed: true }));
        }
        let n = self.booking(&request.booking_id).ok_or_else(|| Refused::not_found("BOOKING_NOT_FOUND"))?;
        let told = &self.bookings[n].told;
        if !request.etag.is_empty() && self.etags.version(&request.booking_id, &request.etag) != Some(told.version) {
            return Err(rules::stale());
        }
        if request.currency != told.currency {
            return Err(Refused::precondition("CURRENCY_MISMATCH"));
        }
        if request.kind() == PaymentKind::Refund {
            if request.amount_cents > told.paid_cents {
                return Err(Refused::precondition("REFUND_EXCEEDS_PAID").with("paid_cents", told.paid_cents));
            }
            self.refund(n, request.amount_cents);
        } else {
            self.charge(n, request.amount_cents, true);
        }
        self.follow(n);
        let payment = self.payment(request, seen);
        Arc::make_mut(&mut self.payments).push(payment.clone());
        Arc::make_mut(&mut self.payment_keys)
            .insert(request.idempotency_key.clone(), (request.clone(), payment.clone()));
        let booking = Some(self.bookings[n].told.clone());
        Ok(Reply::Paid(RecordPaymentResponse { payment: Some(payment), booking, replayed: false }))
    }

    fn payment(&self, request: &RecordPaymentRequest, seen: &Answer) -> wire::Payment {
        let named = match seen {
            Ok(Reply::Paid(response)) => response.payment.clone().unwrap_or_default(),
            _ => wire::Payment::default(),
        };
        let kind = if request.kind() == PaymentKind::Refund { PaymentKind::Refund } else { PaymentKind::Charge };
        wire::Payment {
            payment_id: named.payment_id,
            booking_id: request.booking_id.clone(),
            kind: kind.into(),
            method: request.method,
            status: PaymentStatus::Succeeded.into(),
            amount_cents: request.amount_cents,
            currency: request.currency.clone(),
            external_reference: request.external_reference.clone(),
            occurred_at: Some(request.occurred_at.unwrap_or_else(|| timestamp(self.now))),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            disputed_cents: 0,
        }
    }

    pub(super) fn refund(&mut self, n: usize, cents: i64) {
        self.move_back(n, cents, cents, "teppan.payment.refunded.v1");
    }

    /// Less is paid, and more was given back.
    pub(super) fn move_back(&mut self, n: usize, less_cents: i64, refunded_cents: i64, event: &'static str) {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        booking.told.paid_cents -= less_cents;
        booking.told.refunded_cents += refunded_cents;
        booking.told.refund_due_cents = booking.owed_cents().min(booking.told.refund_due_cents);
        booking.changed(event, now);
    }

    /// A charge confirms where it completes the deposit and the seats are held or to be had, unless it is known to
    /// have gone back whole; what it cannot be used for is owed back.
    pub(super) fn charge(&mut self, n: usize, cents: i64, any_is_left: bool) {
        let seats_to_be_had = self.seats_to_be_had(n);
        self.pay_in(n, cents, any_is_left, seats_to_be_had);
    }

    /// Money that was given back or taken comes back. It confirms as a charge does, but takes no seats again.
    pub(super) fn come_back(&mut self, n: usize, cents: i64, any_is_left: bool) {
        self.pay_in(n, cents, any_is_left, false);
    }

    fn pay_in(&mut self, n: usize, cents: i64, any_is_left: bool, seats_to_be_had: bool) {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        booking.told.paid_cents += cents;
        booking.changed("teppan.payment.recorded.v1", now);
        let told = &mut booking.told;
        let begun = has_begun(told, now);
        let complete = any_is_left && cents > 0 && told.paid_cents >= told.deposit_cents;
        let (confirms, retakes) = match told.status() {
            BookingStatus::Pending => (complete && !begun, false),
            BookingStatus::Expired => (complete && seats_to_be_had, true),
            _ => (false, false),
        };
        if confirms {
            told.set_status(BookingStatus::Confirmed);
            told.hold_expires_at = None;
            told.confirmed_at = Some(timestamp(now));
            if retakes {
                told.refund_due_cents = 0;
            }
            booking.changed("teppan.booking.confirmed.v1", now);
        }
        if confirms && retakes {
            self.leave_queue(n);
        }
        let booking = Arc::make_mut(&mut self.bookings[n]);
        let owed = booking.owed_cents();
        if owed > booking.told.refund_due_cents {
            booking.told.refund_due_cents = owed;
            booking.changed("teppan.payment.refund_required.v1", now);
        }
    }

    /// Whether the seats of a booking could be taken again.
    fn seats_to_be_had(&self, n: usize) -> bool {
        let told = &self.bookings[n].told;
        let slot = (date(&told.date), time(&told.start_time));
        let wish = Wish { venue_id: &told.venue_id, slot, party_size: told.party_size, but: Some(n) };
        let venue = self.venue(&told.venue_id).map(|n| &self.venues[n]);
        let open = venue.and_then(|venue| venue.slots.get(&slot)).is_some_and(|slot| slot.opening.open());
        open && !has_begun(told, self.now) && self.open_seats(wish) >= told.party_size
    }

    /// All that match, in the order in which they were recorded.
    pub(super) fn list_payments(&self, request: &ListPaymentsRequest) -> Reply {
        let matches = |payment: &&wire::Payment| {
            (request.booking_id.is_empty() || payment.booking_id == request.booking_id)
                && (request.kind == 0 || payment.kind == request.kind)
                && (request.statuses.is_empty() || request.statuses.contains(&payment.status))
        };
        let mut payments: Vec<_> = self.payments.iter().filter(matches).cloned().collect();
        // Ids are made as calls begin: of calls at once they tell the order of the list, not that of the chain.
        canonical(&mut payments);
        Reply::Payments(payments)
    }
}

fn has_begun(told: &wire::Booking, now: DateTime<Utc>) -> bool {
    told.starts_at.as_ref().is_some_and(|start| moment(start) <= now)
}

/// What is wrong with a request, of the faults that the strategy makes.
fn invalid_fields(request: &RecordPaymentRequest) -> Vec<&'static str> {
    let faults = [
        (matches!(request.method(), PaymentMethod::Unspecified | PaymentMethod::Stripe), "method"),
        (request.amount_cents < 1, "amount_cents"),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, field)| field).collect()
}
