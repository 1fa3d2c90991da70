//! The metrics of the connections, with OpenTelemetry's names.

use std::time::{Duration, Instant};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};

use super::WeakConnections;
use crate::{postgres::DatabaseError, telemetry::buckets};

const POOL: &str = "db.client.connection.pool.name";
const CANCELLED: &str = "cancelled";

pub struct Metrics {
    pool: KeyValue,
    wait_seconds: Histogram<f64>,
    timeouts: Counter<u64>,
    create_seconds: Histogram<f64>,
    create_failures: Counter<u64>,
    operation_seconds: Histogram<f64>,
}

impl Metrics {
    /// `pool` is the name of the connections in the metrics.
    pub fn new(pool: &'static str) -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            pool: KeyValue::new(POOL, pool),
            wait_seconds: meter
                .f64_histogram("db.client.connection.wait_time")
                .with_unit("s")
                .with_description(
                    "How long statements waited for a connection; statements that found an idle one are left out.",
                )
                .with_boundaries(buckets::STATEMENTS.to_vec())
                .build(),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_description("Statements that did not get a connection in time.")
                .build(),
            create_seconds: meter
                .f64_histogram("db.client.connection.create_time")
                .with_unit("s")
                .with_description("How long it took to open a connection.")
                .with_boundaries(buckets::STATEMENTS.to_vec())
                .build(),
            create_failures: meter
                .u64_counter("teppan.database.connection_failures")
                .with_description("Attempts to open a connection that failed.")
                .build(),
            operation_seconds: meter
                .f64_histogram("db.client.operation.duration")
                .with_unit("s")
                .with_description("How long statements take, including the wait for a connection.")
                .with_boundaries(buckets::STATEMENTS.to_vec())
                .build(),
        };
        metrics.timeouts.add(0, std::slice::from_ref(&metrics.pool));
        metrics.create_failures.add(0, &[]);
        metrics
    }

    pub fn waited(&self, time: Duration) {
        self.wait_seconds.record(time.as_secs_f64(), std::slice::from_ref(&self.pool));
    }

    pub fn timed_out(&self) {
        self.timeouts.add(1, std::slice::from_ref(&self.pool));
    }

    pub fn opened(&self, took: Duration) {
        self.create_seconds.record(took.as_secs_f64(), std::slice::from_ref(&self.pool));
    }

    pub fn open_failed(&self) {
        self.create_failures.add(1, &[]);
    }

    /// Begins the measurement of a statement.
    pub fn begin(&self) -> Operation<'_> {
        Operation { metrics: self, began: Instant::now(), error: Some(CANCELLED) }
    }
}

/// The measurement of a statement. If it is dropped before its end, because the deadline of the call passed or its
/// client disconnected, the statement counts as cancelled.
pub struct Operation<'a> {
    metrics: &'a Metrics,
    began: Instant,
    error: Option<&'static str>,
}

impl Operation<'_> {
    pub fn end(mut self, error: Option<&DatabaseError>) {
        self.error = error.map(DatabaseError::kind);
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let system = KeyValue::new("db.system.name", "postgresql");
        let error = self.error.map(|kind| KeyValue::new("error.type", kind));
        let attributes: Vec<_> = [system].into_iter().chain(error).collect();
        self.metrics.operation_seconds.record(self.began.elapsed().as_secs_f64(), &attributes);
    }
}

/// Exports the number of connections as metrics.
pub fn observe(pool: &'static str, connections: &WeakConnections) {
    let meter = global::meter("teppan");
    let weak = connections.clone();
    meter
        .u64_observable_gauge("db.client.connection.count")
        .with_description("Open database connections, by state: idle or used.")
        .with_callback(move |gauge| {
            let Some(usage) = weak.usage() else { return };
            for (state, count) in [("idle", usage.idle), ("used", usage.used)] {
                let state = KeyValue::new("db.client.connection.state", state);
                gauge.observe(count.into(), &[KeyValue::new(POOL, pool), state]);
            }
        })
        .build();
    let weak = connections.clone();
    meter
        .u64_observable_gauge("db.client.connection.max")
        .with_description("The limit of database connections.")
        .with_callback(move |gauge| {
            if let Some(usage) = weak.usage() {
                gauge.observe(usage.max.into(), &[KeyValue::new(POOL, pool)]);
            }
        })
        .build();
    let weak = connections.clone();
    meter
        .u64_observable_gauge("db.client.connection.pending_requests")
        .with_description("Statements that wait for a connection.")
        .with_callback(move |gauge| {
            if let Some(usage) = weak.usage() {
                gauge.observe(usage.waiting.into(), &[KeyValue::new(POOL, pool)]);
            }
        })
        .build();
    let weak = connections.clone();
    meter
        .u64_observable_gauge("teppan.database.connections_awaiting_standby")
        .with_description("Connections whose statement was abandoned and waits for a synchronous standby.")
        .with_callback(move |gauge| {
            if let Some(usage) = weak.usage() {
                gauge.observe(usage.awaiting_standby.into(), &[KeyValue::new(POOL, pool)]);
            }
        })
        .build();
}
