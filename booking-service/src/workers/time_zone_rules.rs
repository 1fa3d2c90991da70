use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::core::Core;

/// Makes venues, slots and bookings stand by the rules of time zones in force, after a start with newer ones.
pub struct TimeZoneRules {
    core: Arc<Core>,
    /// The last venue that was looked at: one that cannot be read keeps none behind it from its turn.
    after: Mutex<Option<Uuid>>,
}

impl TimeZoneRules {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, after: Mutex::default() }
    }
}

impl Job for TimeZoneRules {
    type Error = DatabaseError;
    const NAME: &'static str = "time-zone-rules";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.core.adopt_time_zone_rules(&mut *self.after.lock().await).await
    }
}
