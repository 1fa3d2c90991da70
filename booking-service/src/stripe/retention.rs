use std::{sync::Arc, time::Duration};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::stripe::Stripe;

/// The worker that deletes Stripe events that are done and older than `keep`. If Stripe sends a deleted event again, it
/// changes nothing, because the payments contain its facts. Dead letters stay.
pub struct StripeRetention {
    pub stripe: Arc<Stripe>,
    pub keep: Duration,
}

impl Job for StripeRetention {
    type Error = DatabaseError;
    const NAME: &'static str = "stripe-event-retention";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let before = self.stripe.clock.now() - self.keep;
        let purge = || sqlx::query_file!("src/stripe/purge_events.sql", before);
        let run = self.stripe.database.fetch_one(purge).await?;
        Ok(Batch {
            done: u64::try_from(run.removed).unwrap_or(0),
            failed: 0,
            more: run.more,
            lag: Duration::try_from_secs_f64(run.overdue_seconds).unwrap_or(Duration::ZERO),
        })
    }
}
