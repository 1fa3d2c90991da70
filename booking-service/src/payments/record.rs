use teppan_shared::{fingerprint::optional, read_error::Corrupted};

use crate::{
    bookings::row::Booking,
    core::Core,
    domain::{Etag, ExternalReference, MoneyMove, NewPayment, PaymentKind},
    payments::move_money::{MoveMoneyError, Movement},
    payments::row::Payment,
};

/// A payment, its booking as it stands, and whether an earlier call with the same key had recorded it.
pub struct RecordedPayment {
    pub payment: Payment,
    pub booking: Booking,
    pub replayed: bool,
}

impl Core {
    /// Records money that moved by other means than Stripe, and what follows from it, in one round trip.
    ///
    /// A second call with the same key and request returns the first one's payment, also while the first
    /// is still running.
    ///
    /// # Errors
    /// [`MoveMoneyError`]. It is `Corrupted` too when the payment is recorded and the booking's wishes cannot be
    /// read.
    pub async fn record_payment(&self, new: &NewPayment) -> Result<RecordedPayment, MoveMoneyError> {
        let cents = new.amount.get();
        let (money, paid_delta_cents, refunded_delta_cents) = match new.kind {
            PaymentKind::Charge => (MoneyMove::Received, cents, 0),
            PaymentKind::Refund => (MoneyMove::Refunded, -cents, cents),
        };
        let moved = self
            .move_money(&Movement {
                key: Some((new.key.as_str(), self.payment_fingerprint(new))),
                booking_id: Some(new.booking_id.0),
                version: new.etag.map(Etag::version),
                money,
                method: new.method,
                amount_cents: cents,
                paid_delta_cents,
                refunded_delta_cents,
                disputed_delta_cents: 0,
                may_confirm: true,
                currency: Some(new.currency.code()),
                external_reference: new.external_reference.as_ref().map_or("", ExternalReference::as_str),
                charge_id: None,
                occurred_at: new.occurred_at.unwrap_or_else(|| self.clock.now()),
                charge: None,
            })
            .await?;
        let payment = moved.payment.ok_or(Corrupted::Column("move_money.payment_id"))?;
        Ok(RecordedPayment { payment, booking: moved.booking.open(&self.ring)?, replayed: moved.replayed })
    }

    /// The request without its key, as a keyed hash. The etag is part of it: with another it is another
    /// request.
    fn payment_fingerprint(&self, new: &NewPayment) -> [u8; 32] {
        let fields = [
            b"RecordPayment".to_vec(),
            new.booking_id.0.as_bytes().to_vec(),
            optional(new.etag.map(|etag| etag.to_string())),
            new.kind.as_column().as_bytes().to_vec(),
            new.method.as_column().as_bytes().to_vec(),
            new.amount.get().to_be_bytes().to_vec(),
            new.currency.code().as_bytes().to_vec(),
            optional(new.external_reference.as_ref().map(ExternalReference::as_str)),
            optional(new.occurred_at.map(|at| at.timestamp_micros().to_be_bytes())),
        ];
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }
}
