use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::{FollowUpTrigger, FollowUps, metrics::FollowUpChange};

/// The time until the next check of a user with a coming booking or an escalated conversation.
const WAITS: TimeDelta = TimeDelta::hours(6);
/// The most users of one run. The statement has the same number.
const BATCH_MAX: i64 = 64;

impl FollowUps {
    /// Schedules a re-engagement for each user who has not written for this time and whose consents allow it, in one bounded run. Any number of
    /// replicas may do so at once.
    ///
    /// # Errors
    /// When the database does not answer. A later run finds the users again.
    async fn reengage(&self, after: TimeDelta) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let time_zone = self.dispatch.reengagement_time_zone;
        let due_at = self.scheduling.sending_hours.at_or_after(now, time_zone);
        let purpose = FollowUpTrigger::Reengagement.purpose();
        let statement = || {
            sqlx::query_file_as!(
                Run,
                "src/follow_ups/reengage.sql",
                now,
                after.as_seconds_f64(),
                due_at,
                time_zone.name(),
                self.scheduling.attempts_max,
                now + WAITS,
                self.events.published,
                purpose.as_ref(),
            )
        };
        let run = self.database.fetch_one(statement).await?;
        if run.scheduled > 0 {
            self.events.pending.nudge();
        }
        let done = u64::try_from(run.scheduled).unwrap_or(0);
        self.metrics.changed(FollowUpChange::Scheduled, done);
        Ok(Batch { done, more: run.checked == BATCH_MAX, ..Batch::default() })
    }
}

/// The row of `reengage.sql`.
struct Run {
    scheduled: i64,
    checked: i64,
}

/// The job that schedules follow-ups for users who have not written for this time.
pub struct Reengagement(pub Arc<FollowUps>, pub TimeDelta);

impl Job for Reengagement {
    type Error = DatabaseError;
    const NAME: &'static str = "reengagement";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.reengage(self.1).await
    }
}
