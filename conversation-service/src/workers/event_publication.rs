use std::time::Duration;

use teppan_shared::worker::{Batch, Job};

use crate::publish_events::{Publication, PublicationError};

/// Publishes what happened to whoever listens on NATS.
pub struct EventPublication(pub Publication);

impl Job for EventPublication {
    type Error = PublicationError;
    const NAME: &'static str = "event-publication";
    // Under load a run every few milliseconds instead of one for each event.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, PublicationError> {
        self.0.publish_events().await
    }
}
