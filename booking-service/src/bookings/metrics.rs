use opentelemetry::{KeyValue, global, metrics::Counter};
use strum::VariantArray as _;

/// Counters of expired holds and of changes of waitlist entries.
pub struct BookingMetrics {
    holds_expired: Counter<u64>,
    waitlist_changes: Counter<u64>,
}

/// A change of a waitlist entry.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum WaitlistChange {
    Joined,
    Offered,
    Accepted,
    Lapsed,
    Left,
    Closed,
}

impl Default for BookingMetrics {
    fn default() -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            holds_expired: meter
                .u64_counter("teppan.holds.expired")
                .with_description("Holds that ran out and freed their seats.")
                .build(),
            waitlist_changes: meter
                .u64_counter("teppan.waitlist.changes")
                .with_description("Changes of waitlist entries.")
                .build(),
        };
        // A counter whose first value is 1 shows no increase, so each counter starts at 0.
        metrics.holds_expired(0);
        for &change in WaitlistChange::VARIANTS {
            metrics.waitlist(change, 0);
        }
        metrics
    }
}

impl BookingMetrics {
    pub fn holds_expired(&self, count: u64) {
        self.holds_expired.add(count, &[]);
    }

    pub fn waitlist(&self, change: WaitlistChange, count: u64) {
        self.waitlist_changes.add(count, &[KeyValue::new("change", change.into_str())]);
    }
}
