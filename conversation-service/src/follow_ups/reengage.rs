use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::{FollowUps, metrics::FollowUpChange};

/// The next check of a user who has to wait: a booking is ahead, or a person leads the conversation.
const WAITS: TimeDelta = TimeDelta::hours(6);
/// Users of one run. The statement repeats it as a literal.
const BATCH_MAX: i64 = 64;

impl FollowUps {
    /// Schedules a re-engagement for each user whose silence has become long, in one bounded run.
    /// Any number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. A later run finds the users again.
    async fn reengage(&self, after: TimeDelta) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let time_zone = self.dispatch.reengagement_time_zone;
        let due_at = self.scheduling.sending_hours.at_or_after(now, time_zone);
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

/// The one row of the statement.
struct Run {
    scheduled: i64,
    checked: i64,
}

/// Schedules follow-ups for users who have been silent for this long.
pub struct Reengagement(pub Arc<FollowUps>, pub TimeDelta);

impl Job for Reengagement {
    type Error = DatabaseError;
    const NAME: &'static str = "reengagement";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.reengage(self.1).await
    }
}
