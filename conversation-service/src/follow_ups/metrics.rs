use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};
use strum::VariantArray as _;
use teppan_shared::telemetry::buckets;

/// The metrics of follow-ups.
pub struct FollowUpMetrics {
    changes: Counter<u64>,
    claim_lag_seconds: Histogram<f64>,
}

/// A change of a follow-up.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FollowUpChange {
    Scheduled,
    /// It has its text and can be claimed.
    Ready,
    Claimed,
    Completed,
    /// An attempt failed, and there will be another one.
    PutBack,
    /// The last attempt failed.
    Failed,
    Missed,
    LeaseExpired,
    Cancelled,
    /// Cancelled because the customer's consents do not allow it.
    Withheld,
}

impl Default for FollowUpMetrics {
    fn default() -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            changes: meter
                .u64_counter("teppan.follow_up.changes")
                .with_description("Changes of follow-ups, by kind.")
                .build(),
            claim_lag_seconds: meter
                .f64_histogram("teppan.follow_up.claim.lag")
                .with_unit("s")
                .with_description("Time from when a follow-up could be claimed until it was claimed.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
        };
        // Prometheus sees no increase in a counter that first appears with the value 1.
        for change in FollowUpChange::VARIANTS {
            metrics.changed(*change, 0);
        }
        metrics
    }
}

impl FollowUpMetrics {
    pub fn changed(&self, change: FollowUpChange, count: u64) {
        self.changes.add(count, &[KeyValue::new("change", <&'static str>::from(change))]);
    }

    /// Counts a claim. `lag` is the time for which the follow-up could have been claimed.
    pub fn claimed(&self, lag: Duration) {
        self.changed(FollowUpChange::Claimed, 1);
        self.claim_lag_seconds.record(lag.as_secs_f64(), &[]);
    }
}
