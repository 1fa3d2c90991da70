use opentelemetry::{KeyValue, global, metrics::Counter};

/// Metrics of the Stripe webhook and its events.
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
                .with_description("Requests to the Stripe webhook, by outcome.")
                .build(),
            attempts: meter
                .u64_counter("teppan.stripe.event.attempts")
                .with_description("Attempts to apply a Stripe event, by the resulting state and its reason.")
                .build(),
        }
    }
}

impl StripeMetrics {
    pub fn record_request(&self, outcome: &'static str) {
        self.requests.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub fn record_attempt(&self, state: &'static str, reason: &'static str) {
        self.attempts.add(1, &[KeyValue::new("state", state), KeyValue::new("reason", reason)]);
    }
}
