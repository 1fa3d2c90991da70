use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Makes follow-ups ready when they fall due, and takes them back from senders that have gone.
pub struct FollowUpClock(pub Arc<Core>);

impl Job for FollowUpClock {
    type Error = DatabaseError;
    const NAME: &'static str = "follow-up-clock";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.advance_follow_ups().await
    }
}
