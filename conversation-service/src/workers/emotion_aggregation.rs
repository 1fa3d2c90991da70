use std::{sync::Arc, time::Duration};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Keeps the statistics of every conversation up with its messages.
pub struct EmotionAggregation(pub Arc<Core>);

impl Job for EmotionAggregation {
    type Error = DatabaseError;
    const NAME: &'static str = "emotion-aggregation";
    // Under load some runs a second instead of one for each message, beside which storing would take longer.
    const GATHER: Duration = Duration::from_millis(25);

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.aggregate_emotions().await
    }
}
