//! Waits for background work, for at most a few seconds.

use std::time::{Duration, Instant};

use crate::journal::Failed;

const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until there is a result.
pub async fn until_shown<T>(
    step: &'static str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Failed>,
) -> Result<T, Failed> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > GIVE_UP_AFTER {
            return Err(Failed::new(step, format!("there was no result within {} s", GIVE_UP_AFTER.as_secs())));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
