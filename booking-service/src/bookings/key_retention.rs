use std::{sync::Arc, time::Duration};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::bookings::Bookings;

/// Removes idempotency keys after their retention time.
pub struct KeyRetention {
    pub bookings: Arc<Bookings>,
    pub keep: Duration,
}

impl Job for KeyRetention {
    type Error = DatabaseError;
    const NAME: &'static str = "idempotency-key-retention";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let before = self.bookings.clock.now() - self.keep;
        let purge = || sqlx::query_file!("src/bookings/purge_idempotency_keys.sql", before);
        let run = self.bookings.database.fetch_one(purge).await?;
        Ok(Batch {
            done: u64::try_from(run.removed).unwrap_or(0),
            failed: 0,
            more: run.more,
            lag: Duration::try_from_secs_f64(run.overdue_seconds).unwrap_or(Duration::ZERO),
        })
    }
}
