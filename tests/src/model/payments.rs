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
            let booking = self.booking(&request.booking_id).map(|n| self.bookings[n].proto.clone());
            return Ok(Reply::Paid(RecordPaymentResponse { payment: Some(payment.clone()), booking, replayed: true }));
        }
        let n = self.booking(&request.booking_id).ok_or_else(|| Refused::not_found("BOOKING_NOT_FOUND"))?;
        let proto = &self.bookings[n].proto;
        if !request.etag.is_empty() && self.etags.version(&request.booking_id, &request.etag) != Some(proto.version) {
            return Err(rules::stale());
        }
        if request.currency != proto.currency {
            return Err(Refused::precondition("CURRENCY_MISMATCH"));
        }
        if request.kind() == PaymentKind::Refund {
            let refundable = if request.is_extra { proto.extras_cents } else { rules::paid(proto) };
            if request.amount_cents > refundable {
                return Err(Refused::precondition("REFUND_EXCEEDS_PAID").with("paid_cents", refundable));
            }
            if request.is_extra {
                Arc::make_mut(&mut self.bookings[n]).proto.extras_cents -= request.amount_cents;
            }
            self.refund(n, request.amount_cents);
        } else if request.is_extra {
            Arc::make_mut(&mut self.bookings[n]).proto.extras_cents += request.amount_cents;
            self.pay_in(n, request.amount_cents, false, false);
        } else {
            self.charge(n, request.amount_cents, true);
        }
        self.follow(n);
        let payment = self.payment(request, seen);
        Arc::make_mut(&mut self.payments).push(payment.clone());
        Arc::make_mut(&mut self.payment_keys)
            .insert(request.idempotency_key.clone(), (request.clone(), payment.clone()));
        let booking = Some(self.bookings[n].proto.clone());
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
            is_extra: request.is_extra,
        }
    }

    pub(super) fn refund(&mut self, n: usize, cents: i64) {
        self.reduce_paid(n, cents, cents, "teppan.payment.refunded.v1");
    }

    /// Reduces the paid amount, and increases the refunded amount.
    pub(super) fn reduce_paid(&mut self, n: usize, less_cents: i64, refunded_cents: i64, event: &'static str) {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        booking.proto.paid_cents -= less_cents;
        booking.proto.refunded_cents += refunded_cents;
        booking.proto.refund_due_cents = booking.owed_cents().min(booking.proto.refund_due_cents);
        booking.changed(event, now);
    }

    /// A charge confirms the booking when it completes the deposit and the seats are held or free, unless the charge
    /// was fully refunded. What the booking cannot use is owed back.
    pub(super) fn charge(&mut self, n: usize, cents: i64, is_partly_kept: bool) {
        let seats_are_free = self.seats_are_free(n);
        self.pay_in(n, cents, is_partly_kept, seats_are_free);
    }

    /// A refunded or disputed amount counts as paid again. It confirms as a charge does, but retakes no seats.
    pub(super) fn restore_paid(&mut self, n: usize, cents: i64, is_partly_kept: bool) {
        self.pay_in(n, cents, is_partly_kept, false);
    }

    fn pay_in(&mut self, n: usize, cents: i64, is_partly_kept: bool, seats_are_free: bool) {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        booking.proto.paid_cents += cents;
        booking.changed("teppan.payment.recorded.v1", now);
        let proto = &mut booking.proto;
        let begun = has_begun(proto, now);
        let complete = is_partly_kept && cents > 0 && rules::paid(proto) >= proto.deposit_cents;
        let (confirms, retakes) = match proto.status() {
            BookingStatus::Pending => (complete && !begun, false),
            BookingStatus::Expired => (complete && seats_are_free, true),
            _ => (false, false),
        };
        if confirms {
            proto.set_status(BookingStatus::Confirmed);
            proto.hold_expires_at = None;
            proto.confirmed_at = Some(timestamp(now));
            if retakes {
                proto.refund_due_cents = 0;
            }
            booking.changed("teppan.booking.confirmed.v1", now);
        }
        if confirms && retakes {
            self.leave_queue(n);
        }
        let booking = Arc::make_mut(&mut self.bookings[n]);
        let owed = booking.owed_cents();
        if owed > booking.proto.refund_due_cents {
            booking.proto.refund_due_cents = owed;
            booking.changed("teppan.payment.refund_required.v1", now);
        }
    }

    /// Whether the seats of an expired booking could be retaken.
    fn seats_are_free(&self, n: usize) -> bool {
        let proto = &self.bookings[n].proto;
        let slot = (date(&proto.date), time(&proto.start_time));
        let wish = Wish { but: Some(n), ..Wish::new(&proto.venue_id, slot, proto.party_size) };
        let venue = self.venue(&proto.venue_id).map(|n| &self.venues[n]);
        let open = venue.and_then(|venue| venue.slots.get(&slot)).is_some_and(|slot| slot.opening.open());
        open && !has_begun(proto, self.now) && self.open_seats(wish) >= proto.party_size && self.has_its_place(n)
    }

    /// All matching payments, in the order of recording.
    pub(super) fn list_payments(&self, request: &ListPaymentsRequest) -> Reply {
        let matches = |payment: &&wire::Payment| {
            (request.booking_id.is_empty() || payment.booking_id == request.booking_id)
                && (request.kind == 0 || payment.kind == request.kind)
                && (request.statuses.is_empty() || request.statuses.contains(&payment.status))
        };
        let mut payments: Vec<_> = self.payments.iter().filter(matches).cloned().collect();
        // Ids are made when calls begin: for concurrent calls they give the order of the list, not of the event chain.
        canonical(&mut payments);
        Reply::Payments(payments)
    }
}

fn has_begun(proto: &wire::Booking, now: DateTime<Utc>) -> bool {
    proto.starts_at.as_ref().is_some_and(|start| moment(start) <= now)
}

/// The violations of a request, of the kinds that the strategy makes.
fn invalid_fields(request: &RecordPaymentRequest) -> Vec<&'static str> {
    let faults = [
        (matches!(request.method(), PaymentMethod::Unspecified | PaymentMethod::Stripe), "method"),
        (request.amount_cents < 1, "amount_cents"),
    ];
    faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, field)| field).collect()
}
