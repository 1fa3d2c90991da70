use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::{core::Core, waitlist::close_entries::BATCH_MAX};

/// Ends waitlist entries whose slot can no longer be booked.
pub struct WaitlistClosing(pub Arc<Core>);

impl Job for WaitlistClosing {
    type Error = DatabaseError;
    const NAME: &'static str = "waitlist-closing";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let now = self.0.clock.now();
        let run = self.0.close_waitlist_entries(now).await?;
        let lag = run.first_due.and_then(|due| (now - due).to_std().ok()).unwrap_or_default();
        let done = u64::try_from(run.closed).unwrap_or(0);
        Ok(Batch { done, more: run.looked_at == BATCH_MAX, lag, ..Batch::default() })
    }
}
