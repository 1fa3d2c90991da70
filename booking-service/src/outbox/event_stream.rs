use teppan_shared::nats::{CloudEvent, NatsSettings, PublishError, Publisher};

use super::{Delivery, Receiver};
use crate::{
    bookings::event_data::EVENT_SOURCE,
    domain::{OutboxDestination, OutboxMessage, Undelivered},
};

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

    async fn deliver(&self, message: &OutboxMessage) -> Delivery {
        let Ok(data) = serde_json::from_str(&message.data) else {
            return Delivery::Decided(Err(Undelivered::Refused("EVENT_UNREADABLE".to_owned())));
        };
        let event = CloudEvent {
            id: message.event_id.to_string(),
            source: EVENT_SOURCE,
            kind: &message.event_type,
            subject: message.booking_id.to_string(),
            time: message.occurred_at,
            traceparent: message.traceparent.as_deref(),
            data,
        };
        match self.0.publish(&event).await {
            Ok(()) => Delivery::Tried(Ok(())),
            // Usually decided on this side, by the limit that the server named when it was connected.
            Err(PublishError::TooLarge) => Delivery::Decided(Err(Undelivered::Refused("MESSAGE_TOO_LARGE".to_owned()))),
            Err(PublishError::Away(why)) => {
                tracing::debug!(why, "an event was not published");
                Delivery::Tried(Err(Undelivered::Away("UNAVAILABLE".to_owned())))
            }
        }
    }
}
