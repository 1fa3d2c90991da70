use chrono::TimeDelta;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

/// What is counted about the deliveries to one destination.
pub struct DeliveryMetrics {
    destination: KeyValue,
    deliveries: Counter<u64>,
    dead_letters: Counter<u64>,
    lag_seconds: Histogram<f64>,
}

impl DeliveryMetrics {
    pub fn new(destination: &'static str) -> Self {
        let meter = global::meter("teppan");
        Self {
            destination: KeyValue::new("destination", destination),
            deliveries: meter
                .u64_counter("teppan.outbox.deliveries")
                .with_description("Deliveries, by how they ended.")
                .build(),
            dead_letters: meter
                .u64_counter("teppan.outbox.dead_letters")
                .with_description("Messages that became dead letters.")
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

    /// A delivery ended. `outcome` is `delivered` or why not; `lag` is the message's age.
    pub fn attempted(&self, outcome: &'static str, lag: TimeDelta) {
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
            self.dead_letters.add(messages, std::slice::from_ref(&self.destination));
        }
    }
}
