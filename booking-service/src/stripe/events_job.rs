use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Applies what Stripe has told.
pub struct StripeEvents {
    pub core: Arc<Core>,
    /// Attempts before an event becomes a dead letter.
    pub attempts_max: i32,
}

impl Job for StripeEvents {
    type Error = DatabaseError;
    const NAME: &'static str = "stripe-events";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.core.apply_stripe_events(self.attempts_max).await
    }
}
