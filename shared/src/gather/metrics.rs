use std::time::Instant;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, UpDownCounter},
};

use crate::telemetry::buckets;

/// The metrics of one gatherer.
pub(super) struct Metrics {
    kind: [KeyValue; 1],
    calls: Histogram<u64>,
    waiting: UpDownCounter<i64>,
    wait_seconds: Histogram<f64>,
    unsettled: Counter<u64>,
}

/// A call that waits for its statement and its answer.
pub(super) struct Wait<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.metrics.waiting.add(-1, &self.metrics.kind);
        self.metrics.wait_seconds.record(self.began.elapsed().as_secs_f64(), &self.metrics.kind);
    }
}

impl Metrics {
    pub fn new(kind: &'static str) -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            kind: [KeyValue::new("teppan.gather.kind", kind)],
            calls: meter
                .u64_histogram("teppan.gather.calls")
                .with_unit("{call}")
                .with_description("Calls that went together in one statement.")
                .with_boundaries(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0])
                .build(),
            waiting: meter
                .i64_up_down_counter("teppan.gather.waiting")
                .with_description("Calls that wait for a statement for many calls, or for its end.")
                .build(),
            wait_seconds: meter
                .f64_histogram("teppan.gather.wait")
                .with_unit("s")
                .with_description(
                    "How long gathered calls waited for their answer; calls that ran at once are not counted.",
                )
                .with_boundaries(buckets::CALLS.to_vec())
                .build(),
            unsettled: meter
                .u64_counter("teppan.gather.unsettled")
                .with_description("Gathered calls that ran again alone.")
                .build(),
        };
        metrics.waiting.add(0, &metrics.kind);
        metrics.unsettled.add(0, &metrics.kind);
        metrics
    }

    /// A statement for this many calls starts.
    pub fn run(&self, calls: usize) {
        self.calls.record(calls as u64, &self.kind);
    }

    pub fn wait(&self) -> Wait<'_> {
        self.waiting.add(1, &self.kind);
        Wait { metrics: self, began: Instant::now() }
    }

    pub fn unsettled(&self, calls: u64) {
        if calls > 0 {
            self.unsettled.add(calls, &self.kind);
        }
    }
}
