use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::{bookings::expire_holds::BATCH_MAX, core::Core};

/// Frees the seats of bookings whose hold has run out.
pub struct HoldExpiry(pub Arc<Core>);

impl Job for HoldExpiry {
    type Error = DatabaseError;
    const NAME: &'static str = "hold-expiry";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let now = self.0.clock.now();
        let run = self.0.expire_holds(now).await?;
        let lag = run.first_due.and_then(|due| (now - due).to_std().ok()).unwrap_or_default();
        let done = u64::try_from(run.expired).unwrap_or(0);
        Ok(Batch { done, failed: 0, more: run.expired == BATCH_MAX, lag })
    }
}
