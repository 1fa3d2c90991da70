use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    worker::{Batch, jittered},
};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{Currency, StripeEffect, StripeNames, StripePayment},
    payments::move_money::MoneyRefusal,
    stripe::apply_payment::ApplyPaymentError,
};

/// Events that one run takes at most; the statement has the same number.
pub const BATCH_MAX: usize = 32;
/// Longer than a batch takes as a rule: a follow-up is waited for a second at most, and after one that nobody took
/// the next are not waited for at all. Should a batch take longer still, because they are taken slowly or somebody
/// keeps bookings locked, somebody else applies its rest too, which changes nothing. Not longer than this,
/// because a deposit that was claimed by a process that died waits so long, and its booking's hold runs meanwhile.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// The first pause before another attempt, and the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// What became of one attempt to apply an event.
enum Attempt {
    Applied,
    /// What it is about may still be told by another event, or the fault may pass.
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

impl Core {
    /// Applies the events of Stripe's that are due, a bounded number of them. Each is settled by itself, so
    /// that none stands in the way of another; one that is applied twice changes nothing the second time.
    ///
    /// # Errors
    /// When the database is away. What was claimed is put back; where the database is still away then, the
    /// claims stay, and what they hold is found again only after its lease.
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
        // Whoever claimed it the last time did not live to tell.
        let attempt = if event.attempts > attempts_max {
            Attempt::Refused("ATTEMPTS_EXHAUSTED")
        } else {
            self.apply_stripe_event(event).await?
        };
        let is_applied = matches!(attempt, Attempt::Applied);
        self.settle_stripe_event(event, attempt, attempts_max).await?;
        Ok(is_applied)
    }

    /// Best effort: the database may still be away.
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
        let (is_last, again) = (event.attempts >= attempts_max, Some(now + jittered(pause_after(event.attempts))));
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
        // Somebody else, who had claimed it since, told what became of it.
        if self.database.fetch_optional(settle).await?.is_none() {
            return Ok(());
        }
        self.stripe_metrics.settled(state, reason);
        if state == "SET_ASIDE" {
            tracing::error!(
                event = event.event_id,
                kind = event.kind,
                reason,
                "an event of Stripe's was set aside: look into it, then let Stripe send it again"
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

/// The pause after so many attempts, to be jittered: doubling, up to a bound.
fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_the_default_attempts_outlast_stripes_own() {
        let seconds = |attempts| pause_after(attempts).as_secs();
        assert_eq!([0, 1, 2, 3, 12, 13, i32::MAX].map(seconds), [1, 1, 2, 4, 2048, 3600, 3600]);
        let shortest: u64 = (1..crate::settings::STRIPE_ATTEMPTS_MAX).map(|attempts| seconds(attempts) / 2).sum();
        assert!(shortest > 72 * 60 * 60, "{shortest}");
    }
}
