//! Gauges for the work that waits in a service's database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use opentelemetry::{
    KeyValue, global,
    metrics::{Gauge, Meter},
};

/// A gauge of a number.
pub fn count(name: &'static str, description: &'static str) -> Gauge<u64> {
    meter().u64_gauge(name).with_description(description).build()
}

/// A gauge of an age in seconds.
pub fn age(name: &'static str, description: &'static str) -> Gauge<f64> {
    meter().f64_gauge(name).with_unit("s").with_description(description).build()
}

fn meter() -> Meter {
    global::meter("teppan")
}

/// Sets a gauge to a counted number.
pub fn show_count(gauge: &Gauge<u64>, count: i64, attributes: &[KeyValue]) {
    gauge.record(u64::try_from(count).unwrap_or(0), attributes);
}

/// Sets a gauge to the age of `since`; 0 when it is in the future or `None`.
pub fn show_age(gauge: &Gauge<f64>, now: DateTime<Utc>, since: Option<DateTime<Utc>>, attributes: &[KeyValue]) {
    let age: Option<Duration> = since.and_then(|since| (now - since).to_std().ok());
    gauge.record(age.unwrap_or_default().as_secs_f64(), attributes);
}
