use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::follow_ups::FollowUps;

impl FollowUps {
    /// Removes idempotency keys and finished follow-ups after their retention time, in one bounded run. Any number of
    /// replicas may do so at once.
    ///
    /// # Errors
    /// When the database does not answer. The next run removes the rest.
    async fn purge(&self) -> Result<Batch, DatabaseError> {
        let (now, retention) = (self.clock.now(), self.scheduling.retention);
        let (keys_before, follow_ups_before) = (before(now, retention.keys), before(now, retention.follow_ups));
        let purge = || sqlx::query_file_as!(Run, "src/purge.sql", keys_before, follow_ups_before);
        let run = self.database.fetch_one(purge).await?;
        Ok(Batch {
            done: u64::try_from(run.keys + run.follow_ups).unwrap_or(0),
            failed: 0,
            more: run.more,
            lag: Duration::try_from_secs_f64(run.overdue_seconds).unwrap_or(Duration::ZERO),
        })
    }
}

/// The time before which the retention time is over.
fn before(now: DateTime<Utc>, kept: Duration) -> DateTime<Utc> {
    now - TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX)
}

/// The row of `purge.sql`.
struct Run {
    keys: i64,
    follow_ups: i64,
    more: bool,
    overdue_seconds: f64,
}

/// The job that removes rows after their retention time.
pub struct Retention(pub Arc<FollowUps>);

impl Job for Retention {
    type Error = DatabaseError;
    const NAME: &'static str = "retention";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.purge().await
    }
}
