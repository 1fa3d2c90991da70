use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;

use crate::{bookings::metrics::WaitlistChange, core::Core};

/// Entries that one run looks at at most; the statement has the same number.
pub const BATCH_MAX: i64 = 64;

/// What one run did.
pub struct ClosedEntries {
    pub looked_at: i64,
    pub closed: i64,
    /// When the first of those that ended could no longer be offered anything.
    pub first_due: Option<DateTime<Utc>>,
}

impl Core {
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
