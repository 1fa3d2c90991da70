//! How fast one process delivers: a bucket of tokens that fills evenly.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Claims a second when the pace is at its limit: each takes this part of the rate.
const CLAIMS_PER_SECOND: u32 = 8;

/// Shared by the relays of one destination.
pub struct Pace {
    per_second: f64,
    batch: u32,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Pace {
    /// At most `per_second` deliveries, claimed at most `batch_max` at a time.
    pub fn new(per_second: u32, batch_max: u32) -> Self {
        let batch = (per_second / CLAIMS_PER_SECOND).clamp(1, batch_max);
        let bucket = Bucket { tokens: batch.into(), filled: Instant::now() };
        Self { per_second: per_second.into(), batch, bucket: Mutex::new(bucket) }
    }

    /// How many one claim may take.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Waits until so many may be delivered, at most a batch. They are taken before the claim, so that no
    /// claimed message waits while its lease runs.
    pub async fn take(&self, count: u32) {
        while let Some(wait) = self.missing(count) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns what was not needed.
    pub fn give_back(&self, count: u32) {
        let mut bucket = self.lock();
        bucket.tokens = (bucket.tokens + f64::from(count)).min(self.batch.into());
    }

    /// Takes so many, or tells how long it takes until they are there.
    fn missing(&self, count: u32) -> Option<Duration> {
        let (mut bucket, now) = (self.lock(), Instant::now());
        let grown = bucket.tokens + (now - bucket.filled).as_secs_f64() * self.per_second;
        *bucket = Bucket { tokens: grown.min(self.batch.into()), filled: now };
        let missing = f64::from(count.min(self.batch)) - bucket.tokens;
        if missing > 0.0 {
            // Timers are not finer than a millisecond.
            return Some(Duration::from_secs_f64(missing / self.per_second).max(Duration::from_millis(1)));
        }
        bucket.tokens -= f64::from(count);
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_is_taken_and_nearly_as_much() {
        let (pace, started) = (Pace::new(500, 64), Instant::now());
        assert_eq!(pace.batch(), 62);
        let mut taken = 0;
        while started.elapsed() < Duration::from_secs(10) {
            pace.take(pace.batch()).await;
            taken += pace.batch();
        }
        assert!((4800..=5200).contains(&taken), "{taken} in ten seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_needed_makes_nobody_wait() {
        let (pace, started) = (Pace::new(8, 64), Instant::now());
        for _ in 0..1000 {
            pace.take(1).await;
            pace.give_back(1);
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        pace.take(1).await;
        pace.take(1).await;
        assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
    }
}
