use opentelemetry::{KeyValue, global, metrics::Counter};

/// What is counted about Stripe's events.
pub struct StripeMetrics {
    requests: Counter<u64>,
    attempts: Counter<u64>,
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
}
