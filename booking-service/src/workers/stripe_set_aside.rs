use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Tells the metrics of events of Stripe's that wait for somebody to look at them.
pub struct StripeSetAside(pub Arc<Core>);

impl Job for StripeSetAside {
    type Error = DatabaseError;
    const NAME: &'static str = "stripe-event-set-aside";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.count_set_aside_stripe_events().await?;
        Ok(Batch::default())
    }
}
