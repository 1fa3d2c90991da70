//! An exponentially weighted mean of durations.

use std::time::Duration;

/// The weight of the newest sample.
const LAST_WEIGHT: f64 = 0.05;
/// The number of samples before the mean is used. The first samples may be slow, because they prepare statements in
/// several round trips.
const TIMES_LEAST: u32 = 20;

/// An exponentially weighted mean.
#[derive(Debug, Default)]
pub struct MeanTime {
    mean_seconds: f64,
    times: u32,
}

impl MeanTime {
    #[cfg(test)]
    pub fn known(mean: Duration) -> Self {
        Self { mean_seconds: mean.as_secs_f64(), times: TIMES_LEAST }
    }

    pub fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let weight = if self.times == 0 { 1.0 } else { LAST_WEIGHT };
        self.mean_seconds += (took - self.mean_seconds) * weight;
        self.times = self.times.saturating_add(1);
    }

    /// `None` while there are too few samples.
    pub fn mean(&self) -> Option<Duration> {
        (self.times >= TIMES_LEAST).then(|| Duration::from_secs_f64(self.mean_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(times: &MeanTime) -> u128 {
        (times.mean().expect("there are enough samples") + Duration::from_micros(500)).as_millis()
    }

    #[test]
    fn the_mean_follows_the_newest_samples() {
        let mut times = MeanTime::default();
        (1..TIMES_LEAST).for_each(|_| times.add(Duration::from_millis(10)));
        assert_eq!(times.mean(), None);
        times.add(Duration::from_millis(10));
        assert_eq!(millis(&times), 10);
        times.add(Duration::from_millis(30));
        assert_eq!(millis(&times), 11);
        (0..200).for_each(|_| times.add(Duration::from_millis(30)));
        assert_eq!(millis(&times), 30);
    }
}
