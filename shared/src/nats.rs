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

/// The subjects of the stream.
const SUBJECTS: &str = "teppan.>";
/// An event that is published again within this time is recognised by its id and not stored twice.
const DUPLICATE_WINDOW: Duration = Duration::from_hours(1);
/// How long a stream that this service creates keeps an event, so that a reader can be down for some time. Booking
/// events can be read without a time limit with StreamBookingEvents.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);
/// The timeout for an answer of NATS. Callers have shorter timeouts of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time to connect to one server.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time of the first check of NATS, even if some of its servers do not answer.
const FIRST_CHECK: Duration = Duration::from_secs(15);

/// How often a call that waits for an answer checks the connection.
const CONNECTION_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// An event with its CloudEvents attributes.
#[derive(Debug, Clone)]
pub struct CloudEvent<'a> {
    pub id: String,
    pub source: &'a str,
    /// Such as `teppan.booking.created.v1`. The NATS subject is the same without the version.
    pub kind: &'a str,
    pub subject: String,
    pub time: DateTime<Utc>,
    /// The W3C trace context of the cause of the event.
    pub traceparent: Option<&'a str>,
    pub data: Value,
}

/// Why an event was not published.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Nothing can be published at the moment.
    #[error("NATS is unavailable: {0}")]
    Unavailable(String),
    /// This event can never be published.
    #[error("the event is larger than NATS accepts")]
    TooLarge,
}

/// Publishes events to one stream. It connects at the first use, and reconnects when the connection is lost.
pub struct Publisher {
    settings: NatsSettings,
    /// `Some` after the connection was made and the stream was found or created.
    connected: Mutex<Option<(Context, Client)>>,
}

impl Publisher {
    pub fn new(settings: NatsSettings) -> Self {
        Self { settings, connected: Mutex::default() }
    }

    /// Connects if there is no connection yet, and creates the stream if it does not exist. Publishing does so too.
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
        // Without this check, the client would buffer the event and send it after it has reconnected, long after this
        // call has failed.
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
                    // The stream was removed. The next event creates it again.
                    *self.connected.lock().await = None;
                }
                Err(unavailable(error))
            }
        }
    }

    /// The connection, after the stream was found or created. Concurrent first calls wait for one connection.
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

/// Checks once whether events can be published, and logs a warning if not. Otherwise a problem would appear only with
/// the first event, perhaps long after the start.
pub async fn warn_if_unavailable(settings: NatsSettings) {
    let servers = settings.server_names();
    let publisher = Publisher::new(settings);
    let error = match tokio::time::timeout(FIRST_CHECK, publisher.connect()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => unavailable("no answer in time"),
    };
    tracing::warn!(
        servers,
        %error,
        "NATS cannot be used, so events wait: check NATS_URL, the login, and that JetStream is enabled"
    );
}

/// Returns when the connection is lost. An outstanding answer does not arrive any more.
async fn lost(client: &Client) {
    while client.connection_state() == State::Connected {
        tokio::time::sleep(CONNECTION_CHECK_INTERVAL).await;
    }
}

/// Whether the event exceeds the limit of the server, or the limit of a stream that an operator created.
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

/// The NATS subject: the event type without its version.
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
