use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use teppan_shared::{
    nats::{CloudEvent, PublishError, Publisher},
    postgres::DatabaseError,
    telemetry::{self, TRACE_TARGET},
    worker::Batch,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::core::Core;

/// CloudEvents `source`.
const SOURCE: &str = "/teppan/conversation-service";
/// What the statement claims at most; it has it written out.
const BATCH_MAX: usize = 64;
/// Longest time one event may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than the slowest batch takes: after a first event that times out no other is tried.
const LEASE: Duration = Duration::from_secs(30);
/// When an event that NATS refuses for itself is tried again.
const REFUSED_RETRY: Duration = Duration::from_hours(1);

/// Publishes the events of this service to NATS.
pub struct Publication {
    core: Arc<Core>,
    publisher: Publisher,
}

/// Why a run ended early. What it had claimed is given back, or comes back at the end of the lease.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    #[error(transparent)]
    Away(#[from] PublishError),
    #[error("NATS did not answer in time")]
    Silent,
    #[error("the outbox gave no answer: {0}")]
    Database(#[from] DatabaseError),
}

impl Publication {
    pub fn new(core: Arc<Core>, publisher: Publisher) -> Self {
        Self { core, publisher }
    }

    /// Publishes the events that have waited longest, one after the other in their order. Any number of
    /// replicas may do so at once.
    ///
    /// # Errors
    /// [`PublicationError`]. Nothing is lost: an event leaves the outbox after the broker has stored it.
    pub async fn publish_events(&self) -> Result<Batch, PublicationError> {
        let now = self.core.clock.now();
        let claim = || sqlx::query_file_as!(Event, "queries/claim_events.sql", now, now + LEASE);
        let events = self.core.database.fetch_all(claim).await?;
        let mut outcome = Outcome::default();
        for event in &events {
            if outcome.stopped.is_some() {
                outcome.returned.push(event.message_id);
                continue;
            }
            match self.publish(event).await {
                Ok(()) => outcome.published.push(event.message_id),
                Err(PublicationError::Away(PublishError::TooLarge)) => {
                    tracing::error!(event = %event.event_id, "an event is larger than NATS takes");
                    self.settle(&[], &[event.message_id], REFUSED_RETRY).await?;
                    outcome.refused += 1;
                }
                Err(error) => {
                    outcome.returned.push(event.message_id);
                    outcome.stopped = Some(error);
                }
            }
        }
        self.settle(&outcome.published, &outcome.returned, Duration::ZERO).await?;
        if let Some(error) = outcome.stopped {
            return Err(error);
        }
        let oldest = events.iter().map(|event| event.occurred_at).min();
        Ok(Batch {
            done: u64::try_from(outcome.published.len()).unwrap_or(0),
            failed: outcome.refused,
            more: events.len() == BATCH_MAX,
            lag: oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default(),
        })
    }

    async fn publish(&self, event: &Event) -> Result<(), PublicationError> {
        let span = tracing::info_span!(
            target: TRACE_TARGET,
            parent: None,
            "publish",
            otel.kind = "producer",
            event.id = %event.event_id,
            event.type = event.kind,
        );
        if let Some(traceparent) = &event.traceparent {
            telemetry::continue_from(&span, traceparent);
        }
        let envelope = CloudEvent {
            id: event.event_id.to_string(),
            source: SOURCE,
            kind: &event.kind,
            subject: event.conversation_id.clone(),
            time: event.occurred_at,
            traceparent: event.traceparent.as_deref(),
            // What the service's own statements wrote is JSON, by the column's type.
            data: serde_json::from_str(&event.data).unwrap_or_default(),
        };
        let publishing = self.publisher.publish(&envelope).instrument(span);
        match tokio::time::timeout(PUBLISH_TIMEOUT, publishing).await {
            Ok(published) => Ok(published?),
            Err(_) => Err(PublicationError::Silent),
        }
    }

    async fn settle(&self, published: &[i64], returned: &[i64], after: Duration) -> Result<(), DatabaseError> {
        if published.is_empty() && returned.is_empty() {
            return Ok(());
        }
        let due = self.core.clock.now() + after;
        let settle = || sqlx::query_file_as!(Settled, "queries/settle_events.sql", published, returned, due);
        let settled = self.core.database.fetch_one(settle).await?;
        tracing::debug!(settled.published, settled.returned, "events were published");
        Ok(())
    }
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    published: Vec<i64>,
    returned: Vec<i64>,
    refused: u64,
    /// Why the rest was not tried.
    stopped: Option<PublicationError>,
}

struct Event {
    message_id: i64,
    event_id: Uuid,
    conversation_id: String,
    kind: String,
    occurred_at: DateTime<Utc>,
    data: String,
    traceparent: Option<String>,
}

struct Settled {
    published: i64,
    returned: i64,
}
