use super::{Delivery, Destination, EVENT_STREAM, Message, Undelivered};
use crate::nats::{CloudEvent, NatsSettings, PublishError, Publisher};

/// Publishes events to NATS JetStream.
pub struct EventStream {
    publisher: Publisher,
    source: &'static str,
}

impl EventStream {
    /// `source` is the attribute of the CloudEvents, such as `/teppan/booking-service`.
    pub fn new(settings: NatsSettings, source: &'static str) -> Self {
        Self { publisher: Publisher::new(settings), source }
    }
}

impl Destination for EventStream {
    const NAME: &'static str = EVENT_STREAM;
    const WORKER: &'static str = "relay-to-event-stream";

    async fn deliver(&self, message: &Message) -> Delivery {
        let Ok(data) = serde_json::from_str(&message.data) else {
            return Delivery::Decided(Err(Undelivered::Refused("EVENT_UNREADABLE".to_owned())));
        };
        let event = CloudEvent {
            id: message.event_id.to_string(),
            source: self.source,
            kind: &message.event_type,
            subject: message.aggregate_id.clone(),
            time: message.occurred_at,
            traceparent: message.traceparent.as_deref(),
            data,
        };
        match self.publisher.publish(&event).await {
            Ok(()) => Delivery::Tried(Ok(())),
            // The client usually detects this itself, by the limit that the server states when they connect.
            Err(PublishError::TooLarge) => Delivery::Decided(Err(Undelivered::Refused("MESSAGE_TOO_LARGE".to_owned()))),
            Err(PublishError::Unavailable(why)) => {
                tracing::debug!(why, "event not published");
                Delivery::Tried(Err(Undelivered::Unavailable("UNAVAILABLE".to_owned())))
            }
        }
    }
}
