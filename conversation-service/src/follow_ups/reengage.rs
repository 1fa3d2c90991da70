use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::{FollowUps, metrics::FollowUpChange};

/// When a user who has to wait, for a booking that is ahead or a person who leads the conversation,
/// is looked after again.
const WAITS: TimeDelta = TimeDelta::hours(6);
/// What the statement takes at most in one run; it has it written out.
const BATCH_MAX: i64 = 64;

impl FollowUps {
    /// Schedules a re-engagement for each user whose silence has become long, in one bounded run.
    /// Any number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. Nobody was passed over: the users are found again.
    async fn reengage(&self, after: TimeDelta) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let time_zone = self.dispatch.reengagement_time_zone;
        let due_at = self.scheduling.sending_hours.at_or_after(now, time_zone);
        let statement = || {
            sqlx::query_file_as!(
                Looked,
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
        Ok(Batch { done, more: run.looked == BATCH_MAX, ..Batch::default() })
    }
}

/// The one row the statement answers.
struct Looked {
    scheduled: i64,
    looked: i64,
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
