//! The service's own audit of a case's database.

use std::process::Stdio;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;

use crate::{harness, launch};

/// # Errors
/// The findings of `booking-service verify-events`.
pub async fn audit(url: &SecretString) -> Result<(), String> {
    // Nothing is decrypted, but checkpoints are signed with a key of the services.
    let keys = harness::encryption_keys(url);
    let output = Command::new(launch::binary("booking-service"))
        .args(["verify-events", "--json"])
        .env("DATABASE_URL", url.expose_secret())
        .env("ENCRYPTION_KEYS", keys)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("verify-events cannot be run; cargo build --workspace --bins: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(format!("verify-events: {}\n{}", output.status, String::from_utf8_lossy(&printed)))
}
