//! Events on NATS JetStream, as CloudEvents.

use std::{fmt, path::PathBuf, time::Duration};

use async_nats::{
    Client, ConnectOptions, ServerAddr,
    connection::State,
    header::HeaderMap,
    jetstream::{
        self,
        context::{Context, PublishErrorKind},
        stream::{Config, StorageType},
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{config::Problems, telemetry};

/// What the stream takes in.
const SUBJECTS: &str = "teppan.>";
/// An event that is published again within this time is recognised by its id and not kept twice.
const DUPLICATE_WINDOW: Duration = Duration::from_hours(1);
/// How long a stream of our own making keeps an event: long enough for any reader to come back. What
/// happened to bookings can be read for good with StreamBookingEvents.
const MAX_AGE: Duration = Duration::from_hours(24 * 30);
/// Who waits for an answer has a shorter limit of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the first look at NATS may take, also where some of its servers do not answer.
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// How soon the loss of the connection is noticed by those who wait for an answer.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Where events are published.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// May name several servers of one cluster, separated by commas, and credentials.
    pub url: SecretString,
    /// The stream, which is made when it is not there.
    pub stream: String,
}

/// The settings of NATS as they are given.
#[derive(Args)]
pub struct NatsArgs {
    /// NATS servers with JetStream, as nats://user:password@host:port with commas in between. With it
    /// every event is published there, from then on
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL", global = true)]
    nats_url: Option<String>,
    /// File that holds NATS_URL
    #[arg(long, env = "NATS_URL_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_url_file: Option<PathBuf>,
    /// Stream on NATS that takes the events in; it is made when it is not there
    #[arg(long, env = "NATS_STREAM", hide_env_values = true, default_value = "TEPPAN_EVENTS", global = true)]
    nats_stream: String,
}

impl NatsArgs {
    /// `None` when something was wrong, which `problems` then names; `Some(None)` when there is no NATS.
    pub fn parse(&self, problems: &mut Problems) -> Option<Option<NatsSettings>> {
        let url = problems.secret("NATS_URL", self.nats_url.as_deref(), self.nats_url_file.as_deref());
        let stream = self.nats_stream.trim().to_owned();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let named = (1..=100).contains(&stream.len()) && stream.bytes().all(allowed);
        if !named {
            problems.add("NATS_STREAM", "must be 1 to 100 ASCII letters, digits, underscores and hyphens");
        }
        let Some(url) = url else { return named.then_some(None) };
        if !is_nats_url(&url) {
            problems.add("NATS_URL", "must be nats://user:password@host:port, or several with commas in between");
            return None;
        }
        named.then_some(Some(NatsSettings { url, stream }))
    }
}

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
    #[error("NATS takes nothing now: {0}")]
    Away(String),
    /// This event can never be published.
    #[error("the event is larger than NATS takes")]
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

    /// Connects, if there is no connection yet, and makes sure that the stream is there. Publishing does so
    /// too; who gives an event less time than a first connection may take does it before.
    ///
    /// # Errors
    /// [`PublishError::Away`].
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
            return Err(PublishError::Away("not connected".to_owned()));
        }
        let publishing = async {
            context.publish_with_headers(subject(event.kind), headers(event), body(event).into()).await?.await
        };
        let stored = tokio::select! {
            stored = publishing => stored,
            () = lost(&client) => return Err(PublishError::Away("the connection was lost".to_owned())),
        };
        match stored.map_err(|error| (error.kind(), error)) {
            Ok(_) => Ok(()),
            Err((PublishErrorKind::MaxPayloadExceeded, _)) => Err(PublishError::TooLarge),
            Err((kind, error)) => {
                if kind == PublishErrorKind::StreamNotFound {
                    // Somebody removed it: the next event makes sure that it is there.
                    *self.connected.lock().await = None;
                }
                Err(away(error))
            }
        }
    }

    /// The connection, and the certainty that the stream is there. Those who come first wait for one.
    async fn connected(&self) -> Result<(Context, Client), PublishError> {
        let mut connected = self.connected.lock().await;
        if let Some((context, client)) = &*connected {
            return Ok((context.clone(), client.clone()));
        }
        let options = ConnectOptions::new().name("teppan").connection_timeout(Duration::from_secs(2));
        let servers: Vec<_> = self.settings.url.expose_secret().split(',').map(str::trim).collect();
        let client = options.connect(servers).await.map_err(away)?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_TIMEOUT);
        context.get_or_create_stream(stream(&self.settings.stream)).await.map_err(away)?;
        *connected = Some((context.clone(), client.clone()));
        Ok((context, client))
    }
}

/// Says in the log, once, when nothing can be published. Publishing itself finds out with the first event only, which
/// may come long after the start.
pub async fn warn_if_away(settings: NatsSettings) {
    let servers = names_of(&settings.url);
    let publisher = Publisher::new(settings);
    let error = match tokio::time::timeout(FIRST_LOOK, publisher.connect()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => away("no answer in time"),
    };
    tracing::warn!(servers, %error, "NATS cannot be used, and events wait until it can: check NATS_URL, and that JetStream is on");
}

/// The servers of a URL, without their credentials.
fn names_of(url: &SecretString) -> String {
    let servers = url.expose_secret().split(',').filter_map(|server| server.trim().parse::<ServerAddr>().ok());
    servers.map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>().join(", ")
}

/// Ends when the connection has: an answer that was on its way does not come any more.
async fn lost(client: &Client) {
    while client.connection_state() == State::Connected {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Whether a URL, or several with commas between them, can be one of a NATS server.
fn is_nats_url(url: &SecretString) -> bool {
    let names_server = |server: &str| server.parse::<ServerAddr>().is_ok_and(|server| !server.host().is_empty());
    url.expose_secret().split(',').map(str::trim).all(names_server)
}

fn away(error: impl fmt::Display) -> PublishError {
    PublishError::Away(error.to_string())
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
    if let Some(traceparent) = telemetry::current_traceparent() {
        headers.insert("traceparent", traceparent);
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

    #[test]
    fn a_url_is_one_of_nats() {
        let is_nats_url = |url: &str| is_nats_url(&SecretString::from(url));
        assert!(is_nats_url("nats://user:secret@127.0.0.1:4222, tls://nats.example.org"));
        assert!(!is_nats_url("nats://127.0.0.1:hunter2") && !is_nats_url(""));
    }

    #[test]
    fn servers_are_named_without_their_credentials() {
        let url = SecretString::from("nats://user:hunter2@127.0.0.1:4223, nats://hunter2@nats.example.org");
        assert_eq!(names_of(&url), "127.0.0.1:4223, nats.example.org:4222");
    }
}
