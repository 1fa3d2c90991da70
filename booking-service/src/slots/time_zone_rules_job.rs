use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::core::Core;

/// Applies the time zone rules in force to venues, slots and bookings, after a start with newer rules.
pub struct TimeZoneRules {
    core: Arc<Core>,
    /// Cursor: the last venue of the previous run, so that venues that fail do not hold up those after them.
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
