//! Background work: every job is a `run_once` under this one loop.
//!
//! The work itself is in the database, so that it survives any process. A nudge from the request
//! that made work only wakes the loop up; the timer finds what a dead process left behind.

use std::{
    error::Error,
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::FutureExt as _;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::{Backoff, jittered},
    error_chain::error_chain,
    telemetry::buckets,
};

/// The pauses after failed runs.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

/// A job that runs again and again. Any number of replicas run it at once.
pub trait Job: Send + Sync + 'static {
    /// Why a run failed as a whole.
    type Error: Error + Send;

    /// For the log and the metrics, such as `emotion-aggregation`.
    const NAME: &'static str;

    /// How long a nudge waits for others, so that one run does what many requests made.
    const GATHER: Duration = Duration::ZERO;

    /// Claims a bounded batch of work, does it, and records it. What it leaves undone, by an error,
    /// a panic or the end of the process, must be found again by a later run.
    fn run_once(&self) -> impl Future<Output = Result<Batch, Self::Error>> + Send;

    /// How long the oldest item had waited that a failed run had before it, where the error knows.
    fn lag_of(_error: &Self::Error) -> Option<Duration> {
        None
    }
}

/// What one run did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch {
    /// Items that were done.
    pub done: u64,
    /// Items that failed and will be tried again.
    pub failed: u64,
    /// Whether there may be more to do at once.
    pub more: bool,
    /// How long the oldest item of the batch had waited.
    pub lag: Duration,
}

/// Wakes a worker up. Cheap to clone; nudges while it runs count as one.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Returns at the next nudge, or at once when there was one that nobody took.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}

/// Runs a job until `stopping` is cancelled; a run that has begun is finished first.
///
/// `interval` is how long the job rests when nobody nudges it.
pub async fn run<J: Job>(job: J, nudge: Nudge, interval: Duration, stopping: CancellationToken) {
    let metrics = Metrics::new(J::NAME);
    let mut failures = 0;
    while !stopping.is_cancelled() {
        let started = Instant::now();
        let outcome = AssertUnwindSafe(job.run_once()).catch_unwind().await;
        match outcome {
            Ok(Ok(batch)) => {
                metrics.ran(&batch, started.elapsed());
                failures = 0;
                if batch.more {
                    continue;
                }
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = nudge.nudged() => tokio::time::sleep(J::GATHER).await,
                    () = tokio::time::sleep(jittered(interval)) => {}
                }
                continue;
            }
            Ok(Err(error)) => {
                metrics.failed("error", started.elapsed(), J::lag_of(&error));
                tracing::warn!(worker = J::NAME, error = error_chain(&error), "a run failed and will be repeated");
            }
            Err(_) => {
                metrics.failed("panic", started.elapsed(), None);
                tracing::error!(worker = J::NAME, "a run panicked and will be repeated");
            }
        }
        failures += 1;
        // A nudge does not shorten this pause: a run that failed a moment ago would fail again.
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(BACKOFF.after(failures)) => {}
        }
    }
}

struct Metrics {
    worker: KeyValue,
    runs: Counter<u64>,
    items: Counter<u64>,
    duration_seconds: Histogram<f64>,
    lag_seconds: Histogram<f64>,
    last_success: Gauge<f64>,
}

impl Metrics {
    fn new(worker: &'static str) -> Self {
        let meter = global::meter("teppan");
        let metrics = Self {
            worker: KeyValue::new("worker", worker),
            runs: meter.u64_counter("teppan.worker.runs").with_description("Runs, by how they ended.").build(),
            items: meter.u64_counter("teppan.worker.items").with_description("Items, by how they ended.").build(),
            duration_seconds: meter
                .f64_histogram("teppan.worker.run.duration")
                .with_unit("s")
                .with_description("How long runs take.")
                .with_boundaries(buckets::RUNS.to_vec())
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.worker.lag")
                .with_unit("s")
                .with_description("How long the oldest item of a run had waited, of runs that had any.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
            last_success: meter
                .f64_gauge("teppan.worker.last_success_timestamp")
                .with_unit("s")
                .with_description("When the last run ended that did not fail, as a Unix time.")
                .build(),
        };
        // A counter that is first seen at 1 has no increase.
        for outcome in ["done", "error", "panic"] {
            metrics.runs.add(0, &metrics.with(outcome));
        }
        for outcome in ["done", "failed"] {
            metrics.items.add(0, &metrics.with(outcome));
        }
        metrics
    }

    fn with(&self, outcome: &'static str) -> [KeyValue; 2] {
        [self.worker.clone(), KeyValue::new("outcome", outcome)]
    }

    fn ran(&self, batch: &Batch, took: Duration) {
        let worker = std::slice::from_ref(&self.worker);
        self.runs.add(1, &self.with("done"));
        self.items.add(batch.done, &self.with("done"));
        self.items.add(batch.failed, &self.with("failed"));
        self.duration_seconds.record(took.as_secs_f64(), worker);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.record(now.as_secs_f64(), worker);
        // A run that had nothing to do says nothing about what waits.
        if batch.done + batch.failed > 0 {
            self.lag_seconds.record(batch.lag.as_secs_f64(), worker);
        }
    }

    fn failed(&self, outcome: &'static str, took: Duration, lag: Option<Duration>) {
        if let Some(lag) = lag {
            self.lag_seconds.record(lag.as_secs_f64(), std::slice::from_ref(&self.worker));
        }
        self.runs.add(1, &self.with(outcome));
        self.duration_seconds.record(took.as_secs_f64(), std::slice::from_ref(&self.worker));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        io,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;

    type Step = fn() -> io::Result<Batch>;

    /// Does what the script says, one entry a run, and stops the loop at its end.
    struct Scripted {
        script: Mutex<VecDeque<Step>>,
        runs: Arc<AtomicUsize>,
        stop: CancellationToken,
    }

    impl Job for Scripted {
        type Error = io::Error;
        const NAME: &'static str = "scripted";

        async fn run_once(&self) -> io::Result<Batch> {
            self.runs.fetch_add(1, Ordering::SeqCst);
            let step = self.script.lock().unwrap().pop_front();
            let Some(step) = step else {
                self.stop.cancel();
                return Ok(Batch::default());
            };
            step()
        }
    }

    async fn runs_of(script: Vec<Step>, nudge: Nudge) -> usize {
        let (runs, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let job = Scripted { script: Mutex::new(script.into()), runs: Arc::clone(&runs), stop: stop.clone() };
        run(job, nudge, Duration::from_hours(1), stop).await;
        runs.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_fails_or_panics_is_repeated() {
        let more = || Ok(Batch { more: true, ..Batch::default() });
        let script: Vec<Step> = vec![|| Err(io::Error::other("away")), || panic!("made to panic"), more];
        assert_eq!(runs_of(script, Nudge::default()).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_during_a_run_leads_to_another_run_at_once() {
        let nudge = Nudge::default();
        nudge.nudge();
        nudge.nudge();
        let before = tokio::time::Instant::now();
        assert_eq!(runs_of(vec![|| Ok(Batch::default())], nudge).await, 2);
        assert!(before.elapsed() < Duration::from_secs(1), "the timer was not needed");
    }
}
