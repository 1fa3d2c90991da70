use std::{sync::Arc, time::Duration};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::Memories;

/// The most memories of one run. The statement has the same number.
const BATCH_MAX: i64 = 1000;

/// The job that removes expired memories. Any number of replicas may do so at once.
pub struct ExpiredMemories(pub Arc<Memories>);

impl Job for ExpiredMemories {
    type Error = DatabaseError;
    const NAME: &'static str = "expired-memories";
    const WAITS_AT_START: bool = true;

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let now = self.0.clock.now();
        let purge = || sqlx::query_file!("src/memories/purge.sql", now);
        let run = match self.0.database.fetch_one(purge).await {
            // A memory was set at the same moment.
            Err(error) if error.violates("user_memories_user_fkey") => {
                return Ok(Batch { more: true, ..Batch::default() });
            }
            run => run?,
        };
        Ok(Batch {
            done: u64::try_from(run.removed).unwrap_or(0),
            failed: 0,
            more: run.removed >= BATCH_MAX,
            lag: Duration::try_from_secs_f64(run.overdue_seconds).unwrap_or(Duration::ZERO),
        })
    }
}
