use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Writes to users who have been silent for so long.
pub struct Reengagement(pub Arc<Core>, pub TimeDelta);

impl Job for Reengagement {
    type Error = DatabaseError;
    const NAME: &'static str = "reengagement";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.schedule_reengagements(self.1).await
    }
}
