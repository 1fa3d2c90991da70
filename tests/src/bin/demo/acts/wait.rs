//! What happens in the background is waited for, a few seconds at most.

use std::time::{Duration, Instant};

use crate::journal::Failed;

const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to show.
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
            return Err(Failed::new(step, format!("nothing came within {} s", GIVE_UP_AFTER.as_secs())));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
