//! What one measurement counted, and what several of them say together.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// How long a measurement warms up, and how long it then counts.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub warm_up: Duration,
    pub counted: Duration,
}

/// What took longer than a minute counts as a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// The calls of one measurement.
pub struct Sample {
    /// Latencies of the calls that ended while it counted.
    latencies_us: Histogram<u64>,
    /// All calls, those of the warm-up included.
    pub calls: u64,
    counted: Duration,
}

impl Sample {
    pub fn new(timing: Timing) -> Self {
        let latencies_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order");
        Self { latencies_us, calls: 0, counted: timing.counted }
    }

    /// Counts a call that ended this long after the start.
    pub fn add(&mut self, ended: Duration, latency: Duration, timing: Timing) {
        self.calls += 1;
        if ended >= timing.warm_up && ended < timing.warm_up + timing.counted {
            self.latencies_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.latencies_us.add(&other.latencies_us).expect("both have the same bounds");
    }

    pub fn figures(&self) -> Figures {
        Figures {
            p50_ms: self.quantile_ms(0.5),
            p95_ms: self.quantile_ms(0.95),
            p99_ms: self.quantile_ms(0.99),
            per_second: to_f64(self.latencies_us.len()) / self.counted.as_secs_f64(),
        }
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        to_f64(self.latencies_us.value_at_quantile(quantile)) / 1000.0
    }
}

/// The figures of one measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub per_second: f64,
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }
}

/// Counts and microseconds stay far below 2^52, where this begins to round.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_not_counted() {
        let timing = Timing { warm_up: Duration::from_secs(1), counted: Duration::from_secs(2) };
        let mut sample = Sample::new(timing);
        for (ended_ms, latency_ms) in [(500, 90), (1000, 10), (2999, 10), (3000, 90)] {
            sample.add(Duration::from_millis(ended_ms), Duration::from_millis(latency_ms), timing);
        }
        let figures = sample.figures();
        assert_eq!(sample.calls, 4);
        assert!((figures.per_second - 1.0).abs() < 1e-9);
        assert!((figures.p99_ms - 10.0).abs() < 0.1);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]).expect("there are values");
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
        assert!(Spread::of([]).is_none());
    }
}
