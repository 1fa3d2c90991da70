use secrecy::{ExposeSecret as _, SecretString};

/// The variables of a service over a database of the harness.
pub fn with_keys(url: &SecretString) -> impl Iterator<Item = (String, String)> {
    let key = format!("{}=", "A".repeat(43)); // base64 of 32 bytes
    [
        ("DATABASE_URL", url.expose_secret().to_owned()),
        ("ENCRYPTION_KEYS", format!("1:{key}")),
        ("HASH_KEY", key),
        ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
        ("HTTP_ADDR", "127.0.0.1:0".to_owned()),
        // Whatever listens where conversation-service does by default is not the test's.
        ("OUTBOX_RELAYS", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}
