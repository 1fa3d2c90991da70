use secrecy::{ExposeSecret as _, SecretString};
use teppan_tests::{harness, otlp::Receiver};

/// Environment variables of a service that uses this database of the harness. The keys are those of the services that
/// this process has started over it.
pub fn with_keys(url: &SecretString) -> impl Iterator<Item = (String, String)> {
    [
        ("DATABASE_URL", url.expose_secret().to_owned()),
        ("ENCRYPTION_KEYS", harness::encryption_keys(url)),
        ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
        ("HTTP_ADDR", "127.0.0.1:0".to_owned()),
        // Relays would call conversation-service at its default address, where another process may listen.
        ("OUTBOX_RELAYS", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}

/// Environment variables of a service that sends its traces to this receiver within 50 ms.
pub fn traced(receiver: &Receiver) -> impl Iterator<Item = (String, String)> {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address)),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}
