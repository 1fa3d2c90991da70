use chrono::TimeDelta;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

use crate::domain::{NO_ANSWER, OutboxDestination, Undelivered};

/// What is counted about the deliveries to one destination.
pub struct Metrics {
    destination: KeyValue,
    deliveries: Counter<u64>,
    lag_seconds: Histogram<f64>,
}

impl Metrics {
    pub fn new(destination: OutboxDestination) -> Self {
        let meter = global::meter("teppan");
        Self {
            destination: KeyValue::new("destination", destination.as_str()),
            deliveries: meter
                .u64_counter("teppan.outbox.deliveries")
                .with_description("Deliveries, by how they ended.")
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.outbox.delivery.lag")
                .with_unit("s")
                .with_description("From the commit of what a message tells until it was delivered.")
                .with_boundaries(vec![
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
                ])
                .build(),
        }
    }

    /// `lag` is the message's age.
    pub fn attempted(&self, result: &Result<(), Undelivered>, lag: TimeDelta) {
        let outcome = match result {
            Ok(()) => "delivered",
            Err(undelivered) if undelivered.reason() == NO_ANSWER => "timeout",
            Err(Undelivered::Failed(_)) => "failed",
            Err(Undelivered::Refused(_)) => "refused",
            Err(Undelivered::Away(_)) => "away",
            Err(Undelivered::Later(..)) => "later",
            Err(Undelivered::Silent) => "timeout",
        };
        self.deliveries.add(1, &[self.destination.clone(), KeyValue::new("outcome", outcome)]);
        if outcome == "delivered" {
            let lag = lag.to_std().unwrap_or_default().as_secs_f64();
            self.lag_seconds.record(lag, std::slice::from_ref(&self.destination));
        }
    }
}
