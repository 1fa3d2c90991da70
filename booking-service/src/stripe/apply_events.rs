use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    backoff::Backoff,
    error_chain::error_chain,
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use uuid::Uuid;

use crate::{
    domain::{Currency, StripeNames, StripePayment},
    payments::move_money::MoneyRefusal,
    stripe::Stripe,
    stripe::apply_payment::ApplyPaymentError,
};

/// Events that one run claims at most; `claim_events.sql` has the same number.
pub const BATCH_MAX: usize = 32;
/// Longer than a batch usually takes: an inline follow-up takes at most a second, and after a failed one the rest of
/// the batch does not wait. If a batch takes longer, another process may apply its remaining events too; applying an
/// event twice changes nothing. The lease must stay short: the claimed deposit of a process that died waits for its
/// end, and the booking's hold keeps running.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// The pauses between the attempts of one event.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1));

/// The result of one attempt to apply an event.
enum Attempt {
    Applied,
    /// A later attempt may succeed: after another event has arrived, or after a temporary fault.
    Retry(&'static str),
    /// The event names no booking, and its charge is unknown. It belongs to other business of the Stripe account, or
    /// the event that names the booking arrives later.
    WithoutBooking,
    /// No later attempt can succeed.
    Refused(&'static str),
}

/// A claimed event.
struct ClaimedEvent {
    event_id: String,
    kind: String,
    created_at: DateTime<Utc>,
    effect: String,
    booking_id: Option<Uuid>,
    payment_intent: Option<String>,
    charge_id: Option<String>,
    object_id: Option<String>,
    amount_cents: Option<i64>,
    refunded_cents: Option<i64>,
    currency: String,
    attempts: i32,
    due_at: DateTime<Utc>,
}

impl Stripe {
    /// Applies one batch of the Stripe events that are due. Each event is settled separately, so that a failed event
    /// does not delay the others. Applying an event twice changes nothing.
    ///
    /// # Errors
    /// When the database is unavailable. Claimed events are put back; if that fails too, they are due again when their
    /// leases end.
    pub async fn apply_stripe_events(&self, attempts_max: i32) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let leased_until = now + LEASE;
        let claim = || sqlx::query_file_as!(ClaimedEvent, "src/stripe/claim_events.sql", now, leased_until);
        let mut events = self.database.fetch_all(claim).await?;
        events.sort_by(|a, b| (a.due_at, &a.event_id).cmp(&(b.due_at, &b.event_id)));
        let lag = events.first().and_then(|first| (now - first.due_at).to_std().ok()).unwrap_or_default();
        let mut batch = Batch { more: events.len() == BATCH_MAX, lag, ..Batch::default() };
        let mut left = events.as_slice();
        while let Some((event, others)) = left.split_first() {
            match self.try_stripe_event(event, attempts_max).await {
                Ok(true) => batch.done += 1,
                Ok(false) => batch.failed += 1,
                Err(error) => {
                    // After any other error this event keeps its claim until the lease ends.
                    let unsettled = if error.is_unavailable() { left } else { others };
                    self.put_back_stripe_events(unsettled, leased_until).await;
                    return Err(error);
                }
            }
            left = others;
        }
        Ok(batch)
    }

    /// Returns whether the event was applied.
    async fn try_stripe_event(&self, event: &ClaimedEvent, attempts_max: i32) -> Result<bool, DatabaseError> {
        // Only if the process of the last allowed attempt died before it recorded a result.
        let attempt = if event.attempts > attempts_max {
            Attempt::Refused("ATTEMPTS_EXHAUSTED")
        } else {
            self.apply_stripe_event(event).await?
        };
        let is_applied = matches!(attempt, Attempt::Applied);
        self.settle_stripe_event(event, attempt, attempts_max).await?;
        Ok(is_applied)
    }

    /// Best effort: the database may still be unavailable.
    async fn put_back_stripe_events(&self, events: &[ClaimedEvent], leased_until: DateTime<Utc>) {
        let ids: Vec<_> = events.iter().map(|event| event.event_id.clone()).collect();
        let now = self.clock.now();
        let put_back = || sqlx::query_file!("src/stripe/put_back_events.sql", &ids, now, leased_until);
        if let Err(error) = self.database.fetch_all(put_back).await {
            let error = error_chain(&error);
            tracing::warn!(
                error,
                events = ids.len(),
                "claimed Stripe events could not be put back: they are due again when their leases end"
            );
        }
    }

    async fn apply_stripe_event(&self, event: &ClaimedEvent) -> Result<Attempt, DatabaseError> {
        // A newer replica may have stored an effect that only it knows.
        let Some(payment) = event.payment() else { return Ok(Attempt::Retry("EFFECT_UNKNOWN")) };
        let fault = match self.apply_stripe_payment(&payment, event.created_at).await {
            Ok(()) => return Ok(Attempt::Applied),
            Err(ApplyPaymentError::ChargeUnknown) => return Ok(Attempt::Retry("CHARGE_UNKNOWN")),
            Err(ApplyPaymentError::AmountUnknown) => return Ok(Attempt::Refused("DISPUTE_AMOUNT_UNKNOWN")),
            Err(ApplyPaymentError::CurrencyMismatch) => return Ok(Attempt::Refused("CURRENCY_MISMATCH")),
            Err(ApplyPaymentError::TooMany(_)) => return Ok(Attempt::Refused("TOO_MANY")),
            Err(ApplyPaymentError::BookingNotFound) if event.booking_id.is_none() => {
                return Ok(Attempt::WithoutBooking);
            }
            Err(ApplyPaymentError::BookingNotFound) => return Ok(Attempt::Retry("BOOKING_NOT_FOUND")),
            Err(ApplyPaymentError::Contended) => return Ok(Attempt::Retry("CONTENDED")),
            Err(ApplyPaymentError::Refused(MoneyRefusal::RefundExceedsPaid { .. })) => {
                return Ok(Attempt::Retry("REFUND_EXCEEDS_PAID"));
            }
            Err(ApplyPaymentError::Refused(MoneyRefusal::CurrencyMismatch { .. })) => {
                return Ok(Attempt::Refused("CURRENCY_MISMATCH"));
            }
            Err(ApplyPaymentError::Database(error)) if error.is_unavailable() => return Err(error),
            Err(fault) => fault,
        };
        // A fault of the service or of this event: the batch continues with the next event.
        let error = error_chain(&fault);
        tracing::error!(event = event.event_id, error, "a Stripe event could not be applied");
        Ok(Attempt::Retry("FAILED"))
    }

    async fn settle_stripe_event(
        &self,
        event: &ClaimedEvent,
        attempt: Attempt,
        attempts_max: i32,
    ) -> Result<(), DatabaseError> {
        let now = self.clock.now();
        let (is_last, again) =
            (event.attempts >= attempts_max, Some(now + BACKOFF.after(event.attempts.unsigned_abs())));
        let (state, reason, next) = match attempt {
            Attempt::Applied => ("DONE", "", None),
            Attempt::Retry(reason) if !is_last => ("WAITING", reason, again),
            Attempt::WithoutBooking if !is_last => ("WAITING", "BOOKING_NOT_NAMED", again),
            Attempt::WithoutBooking => ("DONE", "UNRELATED", None),
            Attempt::Retry(reason) | Attempt::Refused(reason) => ("SET_ASIDE", reason, None),
        };
        let settle = || {
            sqlx::query_file!("src/stripe/settle_event.sql", event.event_id, event.attempts, state, reason, next, now)
        };
        // No row: another process has claimed the event since.
        if self.database.fetch_optional(settle).await?.is_none() {
            return Ok(());
        }
        self.metrics.record_attempt(state, reason);
        if state == "SET_ASIDE" {
            tracing::error!(
                event = event.event_id,
                kind = event.kind,
                reason,
                "a Stripe event became a dead letter: resolve the cause, then retry the event"
            );
        } else if reason == "BOOKING_NOT_FOUND" && event.attempts == 1 {
            tracing::warn!(
                event = event.event_id,
                kind = event.kind,
                booking = event.booking_id.map(tracing::field::display),
                "a Stripe event names an unknown booking and is tried again: check booking_id in the payment's \
                 metadata, and whether Stripe sends to the right environment"
            );
        } else if reason == "UNRELATED" {
            tracing::info!(event = event.event_id, kind = event.kind, "a Stripe event belongs to no booking");
        }
        Ok(())
    }
}

impl ClaimedEvent {
    fn payment(&self) -> Option<StripePayment> {
        Some(StripePayment {
            names: StripeNames {
                booking_id: self.booking_id,
                payment_intent: self.payment_intent.clone(),
                charge_id: self.charge_id.clone(),
            },
            effect: self.effect.parse().ok()?,
            object_id: self.object_id.clone(),
            amount_cents: self.amount_cents,
            refunded_cents: self.refunded_cents,
            currency: Currency::parse(&self.currency).ok()?,
        })
    }
}

/// The worker that applies Stripe events.
pub struct StripeEvents {
    pub stripe: Arc<Stripe>,
    /// Attempts before an event becomes a dead letter.
    pub attempts_max: i32,
}

impl Job for StripeEvents {
    type Error = DatabaseError;
    const NAME: &'static str = "stripe-events";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.stripe.apply_stripe_events(self.attempts_max).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_default_number_of_attempts_an_event_is_retried_for_more_than_72_hours() {
        let shortest: Duration =
            (1..crate::settings::STRIPE_ATTEMPTS_MAX.unsigned_abs()).map(|attempts| BACKOFF.bound(attempts) / 2).sum();
        assert!(shortest > Duration::from_hours(72), "{shortest:?}");
    }
}
