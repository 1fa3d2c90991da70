use teppan_shared::postgres::DatabaseError;

use crate::{
    domain::{StripeEvent, StripeNames, StripeNews},
    stripe::Stripe,
};

impl Stripe {
    /// Keeps an event of Stripe's, in one round trip, and tells whether there is something to do: it is new, or
    /// came to nothing before. It is applied in the background; that Stripe sends it again changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer; then it is not known whether it was kept.
    pub async fn store_stripe_event(&self, event: &StripeEvent) -> Result<bool, DatabaseError> {
        let nameless = StripeNames::default();
        let (state, reason, names, payment) = match &event.news {
            StripeNews::Payment(payment) => ("WAITING", "", &payment.names, Some(payment)),
            StripeNews::Nothing(reason) => ("DONE", *reason, &nameless, None),
            StripeNews::SetAside(reason, names) => ("SET_ASIDE", *reason, names, None),
        };
        let store = || {
            sqlx::query_file!(
                "src/stripe/store_event.sql",
                event.id,
                event.kind,
                event.created_at,
                self.clock.now(),
                payment.map(|it| it.effect.as_column()),
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

    /// What is settled as soon as it is kept.
    fn report(&self, event: &StripeEvent, state: &'static str, reason: &'static str) {
        match event.news {
            StripeNews::Nothing("LIVEMODE_MISMATCH") => {
                self.metrics.settled(state, reason);
                tracing::warn!(
                    event = event.id,
                    kind = event.kind,
                    "an event of Stripe's other mode was ignored: STRIPE_LIVEMODE says whether this service takes live \
                     events or test events"
                );
            }
            StripeNews::Payment(_) | StripeNews::Nothing(_) => {}
            StripeNews::SetAside(..) => {
                self.metrics.settled(state, reason);
                tracing::error!(
                    event = event.id,
                    kind = event.kind,
                    reason,
                    "an event of Stripe's became a dead letter: resolve the cause, then let Stripe send it again"
                );
            }
        }
    }
}
