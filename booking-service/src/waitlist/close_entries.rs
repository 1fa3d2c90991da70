use std::sync::Arc;

use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::{bookings::metrics::WaitlistChange, waitlist::Waitlist};

/// Entries that one run looks at at most; the statement has the same number.
pub const BATCH_MAX: i64 = 64;

/// What one run did.
pub struct ClosedEntries {
    pub looked_at: i64,
    pub closed: i64,
    /// When the first of those that ended could no longer be offered anything.
    pub first_due: Option<DateTime<Utc>>,
}

impl Waitlist {
    /// Ends entries whose slot can no longer be booked, a bounded number of them.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says. What was left undone is found again.
    pub async fn close_waitlist_entries(&self, now: DateTime<Utc>) -> Result<ClosedEntries, DatabaseError> {
        let close = || sqlx::query_file_as!(ClosedEntries, "src/waitlist/close_entries.sql", now);
        let run = self.database.fetch_one(close).await?;
        self.metrics.waitlist(WaitlistChange::Closed, u64::try_from(run.closed).unwrap_or(0));
        Ok(run)
    }
}

/// Ends waitlist entries whose slot can no longer be booked.
pub struct WaitlistClosing(pub Arc<Waitlist>);

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
