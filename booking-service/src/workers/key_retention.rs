use std::{sync::Arc, time::Duration};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Keys that one run removes at most; the statement has the same number.
const BATCH_MAX: i64 = 64;

/// Removes idempotency keys that are older than they need to be kept.
pub struct KeyRetention {
    pub core: Arc<Core>,
    pub keep: Duration,
}

impl Job for KeyRetention {
    type Error = DatabaseError;
    const NAME: &'static str = "idempotency-key-retention";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let before = self.core.clock.now() - self.keep;
        let purge = || sqlx::query_file!("queries/purge_idempotency_keys.sql", before);
        let removed = self.core.database.fetch_one(purge).await?.removed;
        Ok(Batch { done: u64::try_from(removed).unwrap_or(0), more: removed == BATCH_MAX, ..Batch::default() })
    }
}
