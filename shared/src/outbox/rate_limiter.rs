//! The rate limiter of the deliveries of one process.

use std::num::NonZeroU32;

use governor::{
    DefaultDirectRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};

/// Claims a second at the full rate.
const CLAIMS_PER_SECOND: u32 = 8;

/// Shared by the relays of one destination.
pub(super) struct RateLimiter {
    limiter: DefaultDirectRateLimiter,
    batch: NonZeroU32,
}

impl RateLimiter {
    /// At most `per_second` deliveries, in batches of at most `batch_max`.
    pub fn new(per_second: u32, batch_max: u32) -> Self {
        let nonzero = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let batch = batch_of(per_second, batch_max);
        let quota = Quota::per_second(nonzero(per_second)).allow_burst(nonzero(batch));
        Self { limiter: DefaultDirectRateLimiter::direct(quota), batch: nonzero(batch) }
    }

    /// How many messages one claim may take.
    pub fn batch(&self) -> u32 {
        self.batch.get()
    }

    /// Waits until this many messages, at most a batch, may be delivered.
    pub async fn admit(&self, messages: u32) {
        let Some(messages) = NonZeroU32::new(messages.min(self.batch())) else { return };
        while let Ok(Err(until)) = self.limiter.check_n(messages) {
            tokio::time::sleep(until.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}

/// How many messages one claim may take at this rate.
pub(super) fn batch_of(per_second: u32, batch_max: u32) -> u32 {
    (per_second / CLAIMS_PER_SECOND).clamp(1, batch_max)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn messages_are_admitted_at_about_the_configured_rate() {
        let (limiter, started) = (RateLimiter::new(500, 64), Instant::now());
        assert_eq!(limiter.batch(), 62);
        let mut admitted = 0;
        while started.elapsed() < Duration::from_secs(2) {
            limiter.admit(limiter.batch()).await;
            admitted += limiter.batch();
        }
        // More than 1000 because the first batch is a burst; fewer because timers fire late on a busy machine.
        assert!((800..=1100).contains(&admitted), "{admitted} messages were admitted in two seconds");
    }
}
