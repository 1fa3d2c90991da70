use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};

/// What is counted about Stripe's events.
pub struct StripeMetrics {
    requests: Counter<u64>,
    attempts: Counter<u64>,
    set_aside: Gauge<u64>,
    set_aside_age_seconds: Gauge<f64>,
}

impl Default for StripeMetrics {
    fn default() -> Self {
        let meter = global::meter("teppan");
        Self {
            requests: meter
                .u64_counter("teppan.stripe.webhook.requests")
                .with_description("Requests to the Stripe webhook, by how they ended.")
                .build(),
            attempts: meter
                .u64_counter("teppan.stripe.event.attempts")
                .with_description("Attempts to apply an event of Stripe's, by the state it came to and why.")
                .build(),
            set_aside: meter
                .u64_gauge("teppan.stripe.event.set_aside")
                .with_description("Events of Stripe's that are set aside, of at most 10,000.")
                .build(),
            set_aside_age_seconds: meter
                .f64_gauge("teppan.stripe.event.set_aside.age")
                .with_unit("s")
                .with_description("For how long the oldest event has been set aside, 0 when none is.")
                .build(),
        }
    }
}

impl StripeMetrics {
    pub fn answered(&self, outcome: &'static str) {
        self.requests.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub fn settled(&self, state: &'static str, reason: &'static str) {
        self.attempts.add(1, &[KeyValue::new("state", state), KeyValue::new("reason", reason)]);
    }

    pub fn set_aside(&self, count: u64, oldest: Duration) {
        self.set_aside.record(count, &[]);
        self.set_aside_age_seconds.record(oldest.as_secs_f64(), &[]);
    }
}
