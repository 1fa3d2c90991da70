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
    domain::{Currency, StripeEffect, StripeNames, StripePayment},
    payments::move_money::MoneyRefusal,
    stripe::Stripe,
    stripe::apply_payment::ApplyPaymentError,
};

/// Events that one run takes at most; the statement has the same number.
pub const BATCH_MAX: usize = 32;
/// Longer than a batch takes as a rule: a follow-up is waited for a second at most, and after one that nobody took
/// the next are not waited for at all. Should a batch take longer still, because they are taken slowly or somebody
/// keeps bookings locked, somebody else applies its rest too, which changes nothing. Not longer than this,
/// because a deposit that was claimed by a process that died waits so long, and its booking's hold runs meanwhile.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// The pauses between the attempts of one event.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1));

/// What became of one attempt to apply an event.
enum Attempt {
    Applied,
    /// Another event may still bring what it lacks, or the fault may pass.
    Waits(&'static str),
    /// It names no booking, and is about nothing that is known: the account has other business too, unless
    /// what tells it apart is still to come.
    Nameless,
    /// No later attempt would end otherwise.
    Refused(&'static str),
}

/// An event that was claimed.
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
    /// Applies the events of Stripe's that are due, a bounded number of them. Each is settled by itself, so
    /// that none stands in the way of another; one that is applied twice changes nothing the second time.
    ///
    /// # Errors
    /// When the database is unavailable. Claimed events are put back; if the database is still unavailable then, they
    /// come back when their leases end.
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
                    // One that cannot be settled for another reason keeps its claim, and is in nobody's way.
                    let unsettled = if error.is_away() { left } else { others };
                    self.put_back_stripe_events(unsettled, leased_until).await;
                    return Err(error);
                }
            }
            left = others;
        }
        Ok(batch)
    }

    /// Whether the event was applied.
    async fn try_stripe_event(&self, event: &ClaimedEvent, attempts_max: i32) -> Result<bool, DatabaseError> {
        // The process of the last attempt died before it recorded a result.
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
            tracing::warn!(error, events = ids.len(), "events of Stripe's wait for the end of their lease");
        }
    }

    async fn apply_stripe_event(&self, event: &ClaimedEvent) -> Result<Attempt, DatabaseError> {
        // A newer replica may have stored it, and will know.
        let Some(payment) = event.payment() else { return Ok(Attempt::Waits("EFFECT_UNKNOWN")) };
        let fault = match self.apply_stripe_payment(&payment, event.created_at).await {
            Ok(()) => return Ok(Attempt::Applied),
            Err(ApplyPaymentError::ChargeUnknown) => return Ok(Attempt::Waits("CHARGE_UNKNOWN")),
            Err(ApplyPaymentError::AmountUnknown) => return Ok(Attempt::Refused("DISPUTE_AMOUNT_UNKNOWN")),
            Err(ApplyPaymentError::CurrencyMismatch) => return Ok(Attempt::Refused("CURRENCY_MISMATCH")),
            Err(ApplyPaymentError::TooMany(_)) => return Ok(Attempt::Refused("TOO_MANY")),
            Err(ApplyPaymentError::BookingNotFound) if event.booking_id.is_none() => return Ok(Attempt::Nameless),
            Err(ApplyPaymentError::BookingNotFound) => return Ok(Attempt::Waits("BOOKING_NOT_FOUND")),
            Err(ApplyPaymentError::Contended) => return Ok(Attempt::Waits("CONTENDED")),
            Err(ApplyPaymentError::Refused(MoneyRefusal::RefundExceedsPaid { .. })) => {
                return Ok(Attempt::Waits("REFUND_EXCEEDS_PAID"));
            }
            Err(ApplyPaymentError::Refused(MoneyRefusal::CurrencyMismatch { .. })) => {
                return Ok(Attempt::Refused("CURRENCY_MISMATCH"));
            }
            Err(ApplyPaymentError::Database(error)) if error.is_away() => return Err(error),
            Err(fault) => fault,
        };
        // A fault of ours, or of this event: it must not keep the others waiting.
        let error = error_chain(&fault);
        tracing::error!(event = event.event_id, error, "an event of Stripe's failed");
        Ok(Attempt::Waits("FAILED"))
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
            Attempt::Waits(reason) if !is_last => ("WAITING", reason, again),
            Attempt::Nameless if !is_last => ("WAITING", "BOOKING_NOT_NAMED", again),
            Attempt::Nameless => ("DONE", "UNRELATED", None),
            Attempt::Waits(reason) | Attempt::Refused(reason) => ("SET_ASIDE", reason, None),
        };
        let settle = || {
            sqlx::query_file!("src/stripe/settle_event.sql", event.event_id, event.attempts, state, reason, next, now)
        };
        // Another process has claimed it since.
        if self.database.fetch_optional(settle).await?.is_none() {
            return Ok(());
        }
        self.metrics.settled(state, reason);
        if state == "SET_ASIDE" {
            tracing::error!(
                event = event.event_id,
                kind = event.kind,
                reason,
                "an event of Stripe's became a dead letter: resolve the cause, then retry it"
            );
        } else if reason == "BOOKING_NOT_FOUND" && event.attempts == 1 {
            tracing::warn!(
                event = event.event_id,
                kind = event.kind,
                booking = event.booking_id.map(tracing::field::display),
                "an event of Stripe's names a booking that is not here, and is tried again: check booking_id in the \
                 payment's metadata, and whether Stripe sends to the right environment"
            );
        } else if reason == "UNRELATED" {
            tracing::info!(event = event.event_id, kind = event.kind, "an event of Stripe's is about no booking");
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
            effect: StripeEffect::from_column(&self.effect)?,
            object_id: self.object_id.clone(),
            amount_cents: self.amount_cents,
            refunded_cents: self.refunded_cents,
            currency: Currency::parse(&self.currency).ok()?,
        })
    }
}

/// Applies what Stripe has reported.
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
    fn the_default_attempts_outlast_those_of_stripe() {
        let shortest: Duration =
            (1..crate::settings::STRIPE_ATTEMPTS_MAX.unsigned_abs()).map(|attempts| BACKOFF.bound(attempts) / 2).sum();
        assert!(shortest > Duration::from_hours(72), "{shortest:?}");
    }
}
