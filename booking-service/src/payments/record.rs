use teppan_shared::{fingerprint::optional, postgres::DatabaseError, read_error::Corrupted, sealing::Hashes};

use super::{
    move_money::{MoneyRefusal, Movement, decide},
    row::Payment,
};
use crate::{
    bookings::{
        booking::OpenBooking,
        change::{ATTEMPTS_MAX, is_overtaken},
        decision::{NewKey, Occasion},
        load::Wanted,
    },
    domain::{ExternalReference, MoneyMove, NewPayment, PaymentKind},
    payments::Payments,
};

/// A payment, the current state of its booking, and whether an earlier call with the same key recorded it.
pub struct RecordedPayment {
    pub payment: Payment,
    pub booking: OpenBooking,
    pub replayed: bool,
}

/// Why a payment was not recorded. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
/// `Corrupted` is also the answer when the payment was recorded but the booking's special requests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordPaymentError {
    #[error("there is no such booking")]
    BookingNotFound,
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the payment is refused")]
    Refused(#[from] MoneyRefusal),
    #[error("the booking changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Payments {
    /// Records money that moved without Stripe, and its effects on the booking.
    ///
    /// A second call with the same key and request returns the payment of the first call, also while the first call is
    /// still running.
    ///
    /// # Errors
    /// [`RecordPaymentError`].
    pub async fn record_payment(&self, new: &NewPayment) -> Result<RecordedPayment, RecordPaymentError> {
        let occasion = Occasion::of_call(self.clock.now());
        let fingerprint = self.payment_fingerprint(new);
        let movement = movement(new, &occasion);
        let wanted = Wanted { key: Some(new.key.as_str()), ..Wanted::default() };
        for _ in 0..ATTEMPTS_MAX {
            let loaded =
                self.bookings.load_one(new.booking_id, wanted).await?.ok_or(RecordPaymentError::BookingNotFound)?;
            if let Some(prior) = &loaded.prior_fingerprint {
                if !fingerprint.matches(prior) {
                    return Err(RecordPaymentError::KeyReused);
                }
                let payment = loaded.prior_payment.ok_or(Corrupted::Column("idempotency_keys.resource_id"))?.0;
                // With this call's id, an earlier run of this call recorded the payment, and its answer was lost.
                let replayed = payment.payment_id != occasion.payment_id;
                if !replayed {
                    self.bookings.follow_payment(&loaded.booking, &occasion).await;
                }
                return Ok(RecordedPayment { payment, booking: loaded.booking.open(&self.ring)?, replayed });
            }
            let mut decision = decide(&loaded, &movement, &occasion)?;
            decision.key = Some(NewKey {
                method: "RecordPayment",
                key: new.key.as_str().to_owned(),
                fingerprint: *fingerprint.newest(),
                resource_id: occasion.payment_id.0,
            });
            let committed = match self.bookings.commit(vec![decision]).await {
                Ok(committed) => committed.into_iter().next(),
                // The next load shows what a faster call, or an earlier run of this call, recorded.
                Err(error) if is_overtaken(&error) || is_recorded_already(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(mut decision) = committed {
                self.bookings.follow_payment(&decision.booking, &occasion).await;
                let payment = decision.payments.remove(0).payment;
                return Ok(RecordedPayment { payment, booking: decision.booking.open(&self.ring)?, replayed: false });
            }
        }
        Err(RecordPaymentError::Contended)
    }

    /// The keyed hash of the request without its key. The etag is included: another etag makes another request.
    fn payment_fingerprint(&self, new: &NewPayment) -> Hashes {
        let mut fields = vec![
            b"RecordPayment".to_vec(),
            new.booking_id.0.as_bytes().to_vec(),
            optional(new.etag.map(|etag| etag.to_string())),
            <&str>::from(new.kind).as_bytes().to_vec(),
            <&str>::from(new.method).as_bytes().to_vec(),
            new.amount.get().to_be_bytes().to_vec(),
            new.currency.code().as_bytes().to_vec(),
            optional(new.external_reference.as_ref().map(ExternalReference::as_str)),
            optional(new.occurred_at.map(|at| at.timestamp_micros().to_be_bytes())),
        ];
        // Only then: a request of the version before has the same fingerprint as ever.
        if new.is_extra {
            fields.push(b"is_extra".to_vec());
        }
        self.fingerprint.hash(fields.iter().map(Vec::as_slice))
    }
}

/// Whether the payment or its idempotency key exists already.
fn is_recorded_already(error: &DatabaseError) -> bool {
    ["idempotency_keys_pkey", "payments_pkey"].iter().any(|constraint| error.violates(constraint))
}

fn movement<'a>(new: &'a NewPayment, occasion: &Occasion) -> Movement<'a> {
    let cents = new.amount.get();
    let (money, paid_delta_cents, refunded_delta_cents) = match new.kind {
        PaymentKind::Charge => (MoneyMove::Received, cents, 0),
        PaymentKind::Refund => (MoneyMove::Refunded, -cents, cents),
    };
    Movement {
        etag: new.etag,
        money,
        method: new.method,
        amount_cents: cents,
        paid_delta_cents,
        refunded_delta_cents,
        disputed_delta_cents: 0,
        extras_delta_cents: if new.is_extra { paid_delta_cents } else { 0 },
        may_confirm: true,
        currency: Some(new.currency),
        external_reference: new.external_reference.as_ref().map_or("", ExternalReference::as_str),
        charge_id: None,
        occurred_at: new.occurred_at.unwrap_or(occasion.at),
        charge: None,
    }
}
