use std::sync::Arc;

use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::{bookings::metrics::WaitlistChange, waitlist::Waitlist};

/// The most entries that one run checks; `close_entries.sql` has the same number.
pub const BATCH_MAX: i64 = 48;

/// The result of one run.
pub struct ClosedEntries {
    pub looked_at: i64,
    pub closed: i64,
    /// The earliest `bookable_until` of the closed entries.
    pub first_due: Option<DateTime<Utc>>,
}

impl Waitlist {
    /// Closes a bounded number of entries whose slot can no longer be booked.
    ///
    /// # Errors
    /// [`DatabaseError`]. The next run closes the entries that remain.
    pub async fn close_waitlist_entries(&self, now: DateTime<Utc>) -> Result<ClosedEntries, DatabaseError> {
        let close = || sqlx::query_file_as!(ClosedEntries, "src/waitlist/close_entries.sql", now);
        let run = self.database.fetch_one(close).await?;
        self.metrics.waitlist(WaitlistChange::Closed, u64::try_from(run.closed).unwrap_or(0));
        Ok(run)
    }
}

/// Closes waitlist entries whose slot can no longer be booked.
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
