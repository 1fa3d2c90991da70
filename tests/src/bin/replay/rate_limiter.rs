//! The rate limiter of the calls.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Interval, MissedTickBehavior},
};

/// No limit, or this many calls per second over all dialogues.
pub struct RateLimiter(Option<Mutex<Interval>>);

impl RateLimiter {
    pub fn unlimited() -> Self {
        Self(None)
    }

    pub fn calls_per_second(rate: f64) -> Self {
        let mut interval = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
        // Late calls are made up for, so that the average rate is kept.
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self(Some(Mutex::new(interval)))
    }

    /// Waits until the next call may begin.
    pub async fn wait(&self) {
        if let Some(interval) = &self.0 {
            interval.lock().await.tick().await;
        }
    }
}
