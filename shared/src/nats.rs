//! Events on NATS JetStream, as CloudEvents.

mod settings;

use std::{error::Error as _, fmt, time::Duration};

use async_nats::{
    Client,
    connection::State,
    header::HeaderMap,
    jetstream::{
        self, ErrorCode,
        context::{self, Context, PublishErrorKind},
        stream::{Config, StorageType},
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use self::settings::{NatsArgs, NatsSettings};
use crate::telemetry;

/// What the stream takes in.
const SUBJECTS: &str = "teppan.>";
/// An event that is published again within this time is recognised by its id and not kept twice.
const DUPLICATE_WINDOW: Duration = Duration::from_hours(1);
/// How long a stream of our own making keeps an event: long enough for any reader to come back. What
/// happened to bookings can be read for good with StreamBookingEvents.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);
/// Callers that wait for an answer have shorter limits of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time to connect to one server.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time of the first check of NATS, also when some of its servers do not answer.
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// How soon the loss of the connection is noticed by those who wait for an answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// An event in its envelope.
#[derive(Debug, Clone)]
pub struct CloudEvent<'a> {
    pub id: String,
    pub source: &'a str,
    /// Such as `teppan.booking.created.v1`. The NATS subject is the same without the version.
    pub kind: &'a str,
    pub subject: String,
    pub time: DateTime<Utc>,
    /// The W3C trace context of what led to the event.
    pub traceparent: Option<&'a str>,
    pub data: Value,
}

/// An event was not published.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Nothing can be published at the moment.
    #[error("NATS is unavailable: {0}")]
    Unavailable(String),
    /// This event can never be published.
    #[error("the event is larger than NATS accepts")]
    TooLarge,
}

/// Publishes events to one stream. Connects when it is first used, and again by itself whenever the
/// connection is lost.
pub struct Publisher {
    settings: NatsSettings,
    /// Made with the first event; whether the stream is known to be there.
    connected: Mutex<Option<(Context, Client)>>,
}

impl Publisher {
    pub fn new(settings: NatsSettings) -> Self {
        Self { settings, connected: Mutex::default() }
    }

    /// Connects, if there is no connection yet, and makes sure that the stream is there. Publishing does so too.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`].
    pub async fn connect(&self) -> Result<(), PublishError> {
        self.connected().await.map(|_| ())
    }

    /// Publishes an event and waits until the stream has stored it. Publishing it again within an hour
    /// changes nothing.
    ///
    /// # Errors
    /// [`PublishError`]. When the future is dropped before it is done, the event may or may not be stored.
    pub async fn publish(&self, event: &CloudEvent<'_>) -> Result<(), PublishError> {
        let (context, client) = self.connected().await?;
        // Without this it would be kept until the connection is back and sent then, long after it was
        // given up here.
        if client.connection_state() != State::Connected {
            return Err(PublishError::Unavailable("not connected".to_owned()));
        }
        let publishing = async {
            context.publish_with_headers(subject(event.kind), headers(event), body(event).into()).await?.await
        };
        let stored = tokio::select! {
            stored = publishing => stored,
            () = lost(&client) => return Err(PublishError::Unavailable("the connection was lost".to_owned())),
        };
        match stored {
            Ok(_) => Ok(()),
            Err(error) if is_too_large(&error) => Err(PublishError::TooLarge),
            Err(error) => {
                if error.kind() == PublishErrorKind::StreamNotFound {
                    // Somebody removed the stream: the next event makes it again.
                    *self.connected.lock().await = None;
                }
                Err(unavailable(error))
            }
        }
    }

    /// The connection, and the certainty that the stream is there. Those who come first wait for one.
    async fn connected(&self) -> Result<(Context, Client), PublishError> {
        let mut connected = self.connected.lock().await;
        if let Some((context, client)) = &*connected {
            return Ok((context.clone(), client.clone()));
        }
        let (options, servers) = self.settings.connect_options().map_err(unavailable)?;
        let options = options.name("teppan").connection_timeout(CONNECTION_TIMEOUT);
        let client = options.connect(servers).await.map_err(unavailable)?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_TIMEOUT);
        context.get_or_create_stream(stream(&self.settings.stream)).await.map_err(unavailable)?;
        *connected = Some((context.clone(), client.clone()));
        Ok((context, client))
    }
}

/// Checks once whether events can be published, and logs a warning when they cannot. Otherwise the first event would
/// show it, perhaps long after the start.
pub async fn warn_if_unavailable(settings: NatsSettings) {
    let servers = settings.server_names();
    let publisher = Publisher::new(settings);
    let error = match tokio::time::timeout(FIRST_LOOK, publisher.connect()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => unavailable("no answer in time"),
    };
    tracing::warn!(
        servers,
        %error,
        "NATS cannot be used, and events wait until it can: check NATS_URL and the login, and that JetStream is on"
    );
}

/// Ends when the connection has: an answer that was on its way does not come any more.
async fn lost(client: &Client) {
    while client.connection_state() == State::Connected {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Whether the event exceeds the limit of the server, or that of a stream that an operator made.
fn is_too_large(error: &context::PublishError) -> bool {
    let refusal = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || refusal.is_some_and(|refusal| refusal.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

fn unavailable(error: impl fmt::Display) -> PublishError {
    PublishError::Unavailable(error.to_string())
}

fn stream(name: &str) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![SUBJECTS.to_owned()],
        duplicate_window: DUPLICATE_WINDOW,
        max_age: MAX_AGE,
        storage: StorageType::File,
        ..Default::default()
    }
}

/// The type without its version.
fn subject(kind: &str) -> String {
    match kind.rsplit_once(".v") {
        Some((subject, version)) if version.bytes().all(|digit| digit.is_ascii_digit()) => subject.to_owned(),
        _ => kind.to_owned(),
    }
}

fn headers(event: &CloudEvent<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", event.id.as_str());
    headers.insert("Content-Type", "application/cloudevents+json");
    for (name, value) in telemetry::outgoing() {
        headers.insert(name, value);
    }
    headers
}

fn body(event: &CloudEvent<'_>) -> String {
    let mut envelope = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.kind,
        "subject": event.subject,
        "time": event.time.to_rfc3339_opts(SecondsFormat::Micros, true),
        "datacontenttype": "application/json",
        "data": event.data,
    });
    if let Some(traceparent) = event.traceparent {
        envelope["traceparent"] = traceparent.into();
    }
    envelope.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_the_type_without_its_version() {
        assert_eq!(subject("teppan.booking.created.v1"), "teppan.booking.created");
        assert_eq!(subject("teppan.booking.created.v12"), "teppan.booking.created");
        assert_eq!(subject("teppan.booking.vip"), "teppan.booking.vip");
    }
}
