//! How fast calls are begun.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Interval, MissedTickBehavior},
};

/// As fast as answers come, or so many calls a second over all dialogues.
pub struct Pace(Option<Mutex<Interval>>);

impl Pace {
    pub fn free() -> Self {
        Self(None)
    }

    pub fn calls_per_second(rate: f64) -> Self {
        let mut interval = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
        // What was late is made up for, so that the rate is kept on average.
        interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self(Some(Mutex::new(interval)))
    }

    /// Waits for the next call's turn.
    pub async fn turn(&self) {
        if let Some(interval) = &self.0 {
            interval.lock().await.tick().await;
        }
    }
}
