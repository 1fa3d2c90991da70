use teppan_shared::nats::{CloudEvent, NatsSettings, PublishError, Publisher};

use super::Receiver;
use crate::domain::{EVENT_SOURCE, OutboxDestination, OutboxMessage, Undelivered};

/// Publishes events to NATS JetStream.
pub struct EventStream(Publisher);

impl EventStream {
    pub fn new(settings: NatsSettings) -> Self {
        Self(Publisher::new(settings))
    }
}

impl Receiver for EventStream {
    const DESTINATION: OutboxDestination = OutboxDestination::EventStream;
    const WORKER: &'static str = "relay-to-event-stream";

    async fn deliver(&self, message: &OutboxMessage) -> Result<(), Undelivered> {
        let data = serde_json::from_str(&message.data);
        let data = data.map_err(|_| Undelivered::Refused("EVENT_UNREADABLE".to_owned()))?;
        let event = CloudEvent {
            id: message.event_id.to_string(),
            source: EVENT_SOURCE,
            kind: &message.event_type,
            subject: message.booking_id.to_string(),
            time: message.occurred_at,
            traceparent: message.traceparent.as_deref(),
            data,
        };
        self.0.publish(&event).await.map_err(|error| match error {
            PublishError::TooLarge => Undelivered::Refused("MESSAGE_TOO_LARGE".to_owned()),
            PublishError::Away(why) => {
                tracing::debug!(why, "an event was not published");
                Undelivered::Away("UNAVAILABLE".to_owned())
            }
        })
    }
}
