use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use teppan_shared::{
    nats::{CloudEvent, PublishError, Publisher},
    outbox::{DeliveryMetrics, LEASE_EXPIRED, NO_ANSWER},
    postgres::DatabaseError,
    read_error::Corrupted,
    telemetry::{self, TRACE_TARGET},
    worker::{Batch, Job},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::events::Outbox;

/// CloudEvents `source`.
const SOURCE: &str = "/teppan/conversation-service";
/// Conversations whose events are published at once.
const CONCURRENCY: usize = 16;
/// Longest time one event may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// After this no further event of a batch is begun.
const BATCH_TIME: Duration = Duration::from_secs(10);
/// Longer than that, an event and what recording takes.
const LEASE: Duration = Duration::from_secs(30);
/// Attempts during which the process died, before an event becomes a dead letter.
const ATTEMPTS_MAX: i32 = 12;
/// The one destination of this service's outbox.
pub const EVENT_STREAM: &str = "event-stream";

/// Publishes the events of this service to NATS.
pub struct Publication {
    outbox: Arc<Outbox>,
    publisher: Publisher,
    metrics: DeliveryMetrics,
    /// Cancelled when the service stops: what has not begun is given back.
    stopping: CancellationToken,
}

/// Why a run ended early. What it had claimed is given back, or comes back at the end of the lease.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    #[error(transparent)]
    Away(#[from] PublishError),
    #[error("NATS did not answer in time")]
    TimedOut,
    #[error("the outbox cannot be read")]
    Corrupted(#[from] Corrupted),
    #[error("the outbox gave no answer")]
    Database(#[from] DatabaseError),
}

impl Publication {
    pub fn new(outbox: Arc<Outbox>, publisher: Publisher, stopping: CancellationToken) -> Self {
        Self { outbox, publisher, metrics: DeliveryMetrics::new(EVENT_STREAM), stopping }
    }

    /// Publishes the events that have waited longest: those of one conversation in their order, those of
    /// several at once. Any number of replicas may do so at the same time.
    ///
    /// # Errors
    /// [`PublicationError`]. Nothing is lost: an event leaves the outbox after the broker has stored it.
    pub async fn publish_events(&self) -> Result<Batch, PublicationError> {
        // Before anything is claimed, and with a limit of its own: a first connection takes longer than an event.
        self.publisher.connect().await?;
        let now = self.outbox.clock.now();
        let claim = || sqlx::query_file_as!(Row, "queries/claim_events.sql", now, now + LEASE);
        let rows = self.outbox.database.fetch_all(claim).await?;
        let more = rows.iter().any(|row| row.more);
        let events = rows.into_iter().filter(|row| row.message_id.is_some()).map(Row::event);
        let events: Vec<Event> = events.collect::<Option<_>>().ok_or(Corrupted::Column("outbox_messages"))?;
        let oldest = events.iter().map(|event| event.occurred_at).min();

        let mut conversations: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in events {
            conversations.entry(event.conversation_id.clone()).or_default().push(event);
        }
        let begun = Instant::now();
        let outcomes = stream::iter(conversations.into_values()).map(|events| self.publish_in_order(events, begun));
        let outcomes: Vec<Outcome> = outcomes.buffer_unordered(CONCURRENCY).concat().await;
        let settled = self.settle(&outcomes).await?;
        if let Some(error) = outcomes.into_iter().find_map(|outcome| outcome.error) {
            return Err(error);
        }
        Ok(Batch {
            done: u64::try_from(settled.published).unwrap_or(0),
            failed: u64::try_from(settled.dead).unwrap_or(0),
            more,
            lag: oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default(),
        })
    }

    /// The events of one conversation, one after the other. After one that is not published the rest is
    /// given back.
    async fn publish_in_order(&self, events: Vec<Event>, begun: Instant) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(events.len());
        for event in events {
            let goes_on = outcomes.last().is_none_or(|last| matches!(last.result, Published::Done));
            let may_begin = goes_on && begun.elapsed() < BATCH_TIME && !self.stopping.is_cancelled();
            let (result, error) = if may_begin { self.attempt(&event).await } else { (Published::Returned(""), None) };
            outcomes.push(Outcome { message_id: event.message_id, claim: event.claim, result, error });
        }
        outcomes
    }

    /// Publishes one event. Returns what becomes of it, and the error when NATS takes no events at all.
    async fn attempt(&self, event: &Event) -> (Published, Option<PublicationError>) {
        // The process died during every earlier attempt.
        if event.attempts > ATTEMPTS_MAX {
            return (Published::Dead(LEASE_EXPIRED), None);
        }
        let (outcome, result, error) = match self.publish(event).await {
            Ok(()) => ("delivered", Published::Done, None),
            Err(PublicationError::Away(PublishError::TooLarge)) => {
                ("refused", Published::Dead("MESSAGE_TOO_LARGE"), None)
            }
            Err(error @ PublicationError::TimedOut) => ("timeout", Published::Returned(NO_ANSWER), Some(error)),
            Err(error) => ("away", Published::Returned("UNAVAILABLE"), Some(error)),
        };
        self.metrics.attempted(outcome, self.outbox.clock.now() - event.occurred_at);
        (result, error)
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
            Err(_) => Err(PublicationError::TimedOut),
        }
    }

    /// Records what became of a batch, and counts each outcome.
    async fn settle(&self, outcomes: &[Outcome]) -> Result<Settled, DatabaseError> {
        if outcomes.is_empty() {
            return Ok(Settled::default());
        }
        let now = self.outbox.clock.now();
        let ids: Vec<_> = outcomes.iter().map(|outcome| outcome.message_id).collect();
        let claims: Vec<_> = outcomes.iter().map(|outcome| outcome.claim).collect();
        let results: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_str().to_owned()).collect();
        let reasons: Vec<_> = outcomes.iter().map(|outcome| outcome.result.reason().to_owned()).collect();
        let settle =
            || sqlx::query_file_as!(Settled, "queries/settle_events.sql", now, &ids, &claims, &results, &reasons);
        let settled = self.outbox.database.fetch_one(settle).await?;
        tracing::debug!(settled.published, settled.returned, "events were published");
        self.metrics.died(settled.dead);
        if settled.dead > 0 {
            tracing::error!(destination = EVENT_STREAM, messages = settled.dead, "messages became dead letters");
        }
        Ok(settled)
    }
}

/// What became of an event.
struct Outcome {
    message_id: i64,
    claim: i64,
    result: Published,
    /// Set when NATS takes no events at all.
    error: Option<PublicationError>,
}

enum Published {
    Done,
    /// It was not tried, or NATS takes no events at all, for this reason.
    Returned(&'static str),
    /// It is never published, for this reason.
    Dead(&'static str),
}

impl Published {
    /// As the statement names it.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "PUBLISHED",
            Self::Returned(_) => "RETURNED",
            Self::Dead(_) => "DEAD",
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Done => "",
            Self::Returned(reason) | Self::Dead(reason) => reason,
        }
    }
}

struct Event {
    message_id: i64,
    event_id: Uuid,
    conversation_id: String,
    kind: String,
    occurred_at: DateTime<Utc>,
    data: String,
    traceparent: Option<String>,
    claim: i64,
    attempts: i32,
}

/// A row of the claim.
struct Row {
    more: bool,
    message_id: Option<i64>,
    event_id: Option<Uuid>,
    conversation_id: Option<String>,
    kind: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    data: Option<String>,
    traceparent: Option<String>,
    claim: Option<i64>,
    attempts: Option<i32>,
}

impl Row {
    /// `None` for what the statement cannot answer.
    fn event(self) -> Option<Event> {
        Some(Event {
            message_id: self.message_id?,
            event_id: self.event_id?,
            conversation_id: self.conversation_id?,
            kind: self.kind?,
            occurred_at: self.occurred_at?,
            data: self.data?,
            traceparent: self.traceparent,
            claim: self.claim?,
            attempts: self.attempts?,
        })
    }
}

#[derive(Default)]
struct Settled {
    published: i64,
    returned: i64,
    dead: i64,
}

impl Job for Publication {
    type Error = PublicationError;
    const NAME: &'static str = "event-publication";
    // Under load a run every few milliseconds instead of one for each event.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, PublicationError> {
        self.publish_events().await
    }
}
