use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};
use teppan_shared::telemetry::buckets;

/// What is counted of follow-ups.
pub struct FollowUpMetrics {
    changes: Counter<u64>,
    claim_lag_seconds: Histogram<f64>,
}

/// What became of a follow-up.
#[derive(Debug, Clone, Copy)]
pub enum FollowUpChange {
    Scheduled,
    /// It has its text, and can be claimed.
    Ready,
    Claimed,
    Completed,
    /// An attempt failed, and another will follow.
    PutBack,
    /// The last attempt failed.
    Failed,
    Missed,
    LeaseExpired,
    Cancelled,
}

impl FollowUpChange {
    const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Ready,
        Self::Claimed,
        Self::Completed,
        Self::PutBack,
        Self::Failed,
        Self::Missed,
        Self::LeaseExpired,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::PutBack => "put_back",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::LeaseExpired => "lease_expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Default for FollowUpMetrics {
    fn default() -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            changes: meter
                .u64_counter("teppan.follow_up.changes")
                .with_description("What became of follow-ups.")
                .build(),
            claim_lag_seconds: meter
                .f64_histogram("teppan.follow_up.claim.lag")
                .with_unit("s")
                .with_description("From when a follow-up could be claimed until it was.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
        };
        // A counter that is first seen at 1 has no increase.
        for change in FollowUpChange::ALL {
            metrics.changed(change, 0);
        }
        metrics
    }
}

impl FollowUpMetrics {
    pub fn changed(&self, change: FollowUpChange, count: u64) {
        self.changes.add(count, &[KeyValue::new("change", change.name())]);
    }

    /// Counts a claim. `lag` is for how long the follow-up could have been claimed.
    pub fn claimed(&self, lag: Duration) {
        self.changed(FollowUpChange::Claimed, 1);
        self.claim_lag_seconds.record(lag.as_secs_f64(), &[]);
    }
}
