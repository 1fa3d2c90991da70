use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{postgres::DatabaseError, worker::Batch};

use crate::{core::Core, domain::TimeZone};

/// When a user who has to wait, for a booking that is ahead or a person who leads the conversation,
/// is looked after again.
const WAITS: TimeDelta = TimeDelta::hours(6);
/// Claims before a re-engagement is FAILED.
const ATTEMPTS_MAX: i32 = 5;
/// What the statement takes at most in one run; it has it written out.
const BATCH_MAX: i64 = 64;

impl Core {
    /// Schedules a re-engagement for each user whose silence has become long, in one bounded run.
    /// Any number of replicas may do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. Nobody was passed over: the users are found again.
    pub async fn schedule_reengagements(&self, after: TimeDelta) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        let statement = || {
            sqlx::query_file_as!(
                Looked,
                "queries/schedule_reengagements.sql",
                now,
                after.as_seconds_f64(),
                due_at(now),
                TimeZone::UTC.name(),
                ATTEMPTS_MAX,
                now + WAITS,
                self.publishes,
            )
        };
        let run = self.database.fetch_one(statement).await?;
        let done = u64::try_from(run.scheduled).unwrap_or(0);
        Ok(Batch { done, more: run.looked == BATCH_MAX, ..Batch::default() })
    }

    /// When a user who is named for the first time is to be looked after.
    pub(crate) fn look_after_user_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.dispatch.reengagement_after.unwrap_or_default()
    }
}

/// When a re-engagement is to be sent that is scheduled now.
// WIRE: move into sending hours here (domain/sending_hours.rs), in the time zone above; ATTEMPTS_MAX
// becomes the setting that ScheduleFollowUp uses.
fn due_at(now: DateTime<Utc>) -> DateTime<Utc> {
    now
}

/// The one row the statement answers.
struct Looked {
    scheduled: i64,
    looked: i64,
}
