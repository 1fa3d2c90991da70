use chrono::TimeDelta;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

use super::{NO_ANSWER, Undelivered};
use crate::telemetry::buckets;

/// The metrics of the deliveries to one destination.
pub(super) struct DeliveryMetrics {
    destination: KeyValue,
    deliveries: Counter<u64>,
    given_up: Counter<u64>,
    lag_seconds: Histogram<f64>,
}

impl DeliveryMetrics {
    pub fn new(destination: &'static str) -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            destination: KeyValue::new("destination", destination),
            deliveries: meter
                .u64_counter("teppan.outbox.deliveries")
                .with_description("Deliveries, by outcome.")
                .build(),
            given_up: meter
                .u64_counter("teppan.outbox.given_up")
                .with_description("Messages that became dead letters.")
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.outbox.delivery.lag")
                .with_unit("s")
                .with_description("Time from the commit of a message until its delivery.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
        };
        // Prometheus sees no increase in a counter that first appears with the value 1.
        metrics.deliveries.add(0, &[metrics.destination.clone(), KeyValue::new("outcome", "delivered")]);
        metrics.given_up.add(0, std::slice::from_ref(&metrics.destination));
        metrics
    }

    /// Counts a delivery; `lag` is the age of the message.
    pub fn attempted(&self, result: &Result<(), Undelivered>, lag: TimeDelta) {
        let outcome = outcome(result);
        self.deliveries.add(1, &[self.destination.clone(), KeyValue::new("outcome", outcome)]);
        if outcome == "delivered" {
            let lag = lag.to_std().unwrap_or_default().as_secs_f64();
            self.lag_seconds.record(lag, std::slice::from_ref(&self.destination));
        }
    }

    /// Counts messages that became dead letters.
    pub fn died(&self, messages: i64) {
        let messages = u64::try_from(messages).unwrap_or(0);
        if messages > 0 {
            self.given_up.add(messages, std::slice::from_ref(&self.destination));
        }
    }
}

/// The value of the label `outcome`.
fn outcome(result: &Result<(), Undelivered>) -> &'static str {
    match result {
        Ok(()) => "delivered",
        Err(undelivered) if undelivered.reason() == NO_ANSWER => "timeout",
        Err(Undelivered::Failed(_)) => "failed",
        Err(Undelivered::Refused(_)) => "refused",
        Err(Undelivered::Unavailable(_)) => "away",
        Err(Undelivered::Postponed(..)) => "later",
        Err(Undelivered::TimedOut) => "timeout",
    }
}
