use teppan_shared::postgres::DatabaseError;

use crate::{
    domain::{StripeEvent, StripeNames, StripeNews},
    stripe::Stripe,
};

impl Stripe {
    /// Stores a Stripe event in one round trip; the worker applies it later. Returns false when the event was already
    /// stored and needs no new attempt, for example when Stripe repeats it.
    ///
    /// # Errors
    /// [`DatabaseError`]; the event may have been stored.
    pub async fn store_stripe_event(&self, event: &StripeEvent) -> Result<bool, DatabaseError> {
        let no_names = StripeNames::default();
        let (state, reason, names, payment) = match &event.news {
            StripeNews::Payment(payment) => ("WAITING", "", &payment.names, Some(payment)),
            StripeNews::Nothing(reason) => ("DONE", *reason, &no_names, None),
            StripeNews::SetAside(reason, names) => ("SET_ASIDE", *reason, names, None),
        };
        let store = || {
            sqlx::query_file!(
                "src/stripe/store_event.sql",
                event.id,
                event.kind,
                event.created_at,
                self.clock.now(),
                payment.map(|it| it.effect.into_str()),
                names.booking_id,
                names.payment_intent.as_deref(),
                names.charge_id.as_deref(),
                payment.and_then(|it| it.object_id.as_deref()),
                payment.and_then(|it| it.amount_cents),
                payment.and_then(|it| it.refunded_cents),
                payment.map(|it| it.currency.code()),
                state,
                reason,
            )
        };
        let stored = self.database.fetch_one(store).await?.stored;
        if stored {
            self.report(event, state, reason);
        }
        Ok(stored)
    }

    /// Logs and counts an event that is settled as soon as it is stored.
    fn report(&self, event: &StripeEvent, state: &'static str, reason: &'static str) {
        match event.news {
            StripeNews::Nothing("LIVEMODE_MISMATCH") => {
                self.metrics.record_attempt(state, reason);
                tracing::warn!(
                    event = event.id,
                    kind = event.kind,
                    "a Stripe event of the other mode was ignored: STRIPE_LIVEMODE selects whether this service \
                     accepts live events or test events"
                );
            }
            StripeNews::Payment(_) | StripeNews::Nothing(_) => {}
            StripeNews::SetAside(..) => {
                self.metrics.record_attempt(state, reason);
                tracing::error!(
                    event = event.id,
                    kind = event.kind,
                    reason,
                    "a Stripe event became a dead letter: resolve the cause, then let Stripe send the event again"
                );
            }
        }
    }
}
