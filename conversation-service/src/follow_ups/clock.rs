//! The follow-up clock: it makes due follow-ups ready, ends missed ones, and expires leases.

use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::{FollowUps, metrics::FollowUpChange};

/// The most follow-ups of one run. The statements have the same number.
pub const BATCH_MAX: i64 = 128;

impl FollowUps {
    /// Advances due follow-ups in one bounded run. Any number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database does not answer. A later run does the rest.
    async fn advance(&self) -> Result<Batch, DatabaseError> {
        // First, because a follow-up that is overdue for too long must not become ready.
        let (missed, overdue) = self.miss_follow_ups().await?;
        let expired = self.expire_leases().await?;
        let due = self.ready_follow_ups().await?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        self.metrics.changed(FollowUpChange::Missed, count(missed));
        self.metrics.changed(FollowUpChange::LeaseExpired, count(expired));
        self.metrics.changed(FollowUpChange::Ready, count(due.ready));
        self.metrics.changed(FollowUpChange::Cancelled, count(due.cancelled - due.withheld));
        self.metrics.changed(FollowUpChange::Withheld, count(due.withheld));
        if missed + expired + due.ready > 0 {
            self.events.pending.nudge();
        }
        Ok(Batch {
            done: count(missed + expired + due.ready),
            failed: due.unreadable,
            more: due.more || [overdue, expired].contains(&BATCH_MAX),
            lag: due.lag,
        })
    }

    /// How many were missed, of how many that are overdue for too long. The others wait for a person.
    async fn miss_follow_ups(&self) -> Result<(i64, i64), DatabaseError> {
        let now = self.clock.now();
        let due_before = now - self.dispatch.missed_after;
        let statement = || sqlx::query_file!("src/follow_ups/miss.sql", now, due_before, self.events.published);
        let run = self.database.fetch_one(statement).await?;
        Ok((run.missed, run.checked))
    }

    async fn expire_leases(&self) -> Result<i64, DatabaseError> {
        let (now, backoff) = (self.clock.now(), self.dispatch.backoff);
        let (first, max) = (backoff.first.as_secs_f64(), backoff.max.as_secs_f64());
        let statement =
            || sqlx::query_file!("src/follow_ups/expire_leases.sql", now, first, max, self.events.published);
        Ok(self.database.fetch_one(statement).await?.expired)
    }
}

/// The job of the follow-up clock.
pub struct FollowUpClock(pub Arc<FollowUps>);

impl Job for FollowUpClock {
    type Error = DatabaseError;
    const NAME: &'static str = "follow-up-clock";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.advance().await
    }
}
