use teppan_shared::postgres::DatabaseError;

use crate::{
    core::Core,
    domain::{StripeEvent, StripeNews},
};

impl Core {
    /// Keeps an event of Stripe's, in one round trip, and tells whether there is something to do: it is new, or
    /// came to nothing before. It is applied in the background; that Stripe sends it again changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer; then it is not known whether it was kept.
    pub async fn store_stripe_event(&self, event: &StripeEvent) -> Result<bool, DatabaseError> {
        let (state, reason) = match event.news {
            StripeNews::Payment(_) => ("WAITING", ""),
            StripeNews::Nothing => ("DONE", "IGNORED"),
            StripeNews::Unreadable => ("SET_ASIDE", "UNREADABLE"),
        };
        let payment = match &event.news {
            StripeNews::Payment(payment) => Some(payment),
            StripeNews::Nothing | StripeNews::Unreadable => None,
        };
        let store = || {
            sqlx::query_file!(
                "queries/store_stripe_event.sql",
                event.id,
                event.kind,
                event.created_at,
                self.clock.now(),
                payment.map(|it| it.effect.as_column()),
                payment.and_then(|it| it.booking_id),
                payment.and_then(|it| it.payment_intent.as_deref()),
                payment.and_then(|it| it.charge_id.as_deref()),
                payment.and_then(|it| it.amount_cents),
                payment.and_then(|it| it.refunded_cents),
                payment.and_then(|it| it.currency.as_deref()),
                state,
                reason,
            )
        };
        let stored = self.database.fetch_one(store).await?.stored;
        if stored && event.news == StripeNews::Unreadable {
            self.stripe_metrics.settled(state, reason);
            tracing::error!(event = event.id, kind = event.kind, "an event of Stripe's lacks what its type promises");
        }
        Ok(stored)
    }
}
