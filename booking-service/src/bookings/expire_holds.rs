use std::iter;

use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    bookings::change::{ATTEMPTS_MAX, came_in_between},
    bookings::metrics::WaitlistChange,
    core::Core,
    domain::{EventId, OutboxDestination},
};

/// Bookings that one run expires at most; the statement has the same number.
pub const BATCH_MAX: usize = 64;

/// What one run did.
pub struct ExpiredHolds {
    pub expired: usize,
    /// When the first of them had run out.
    pub first_due: Option<DateTime<Utc>>,
}

impl Core {
    /// Frees the seats of bookings whose hold has run out, a bounded number of them.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says. What was left undone is found again.
    pub async fn expire_holds(&self, now: DateTime<Utc>) -> Result<ExpiredHolds, DatabaseError> {
        let destinations = self.destinations(false);
        // Each run has ids of its own: when the answer of one is lost, the next expires others.
        let expire = || {
            let event_ids: Vec<Uuid> = iter::repeat_with(|| EventId::generate().0).take(BATCH_MAX).collect();
            sqlx::query_file!("src/bookings/expire_holds.sql", now, &event_ids, &destinations)
        };
        let mut attempt = 1;
        let row = loop {
            match self.database.fetch_one(expire).await {
                Err(error) if attempt < ATTEMPTS_MAX && came_in_between(&error) => attempt += 1,
                answer => break answer?,
            }
        };
        let expired = usize::try_from(row.expired).unwrap_or(0);
        if expired > 0 {
            self.live.nudge();
            self.waitlist.seats_came_free();
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        self.metrics.holds_expired(u64::try_from(row.expired).unwrap_or(0));
        self.metrics.waitlist(WaitlistChange::Lapsed, u64::try_from(row.lapsed).unwrap_or(0));
        if row.miscounted > 0 {
            tracing::error!(
                slots = row.miscounted,
                "slots counted fewer seats than the bookings that expired held: run verify-events"
            );
        }
        Ok(ExpiredHolds { expired, first_due: row.first_due })
    }
}
