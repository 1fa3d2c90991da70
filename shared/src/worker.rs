//! The loop of all background jobs: it calls `run_once` again and again.
//!
//! The queue of work is in the database, so that it survives any process. A nudge from the request that added work only
//! wakes the loop up. The timer finds work that another process left undone.

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

    /// How long the loop waits after a nudge, so that one run does the work of many requests.
    const GATHER: Duration = Duration::ZERO;

    /// Whether the first run waits for the interval or a nudge, so that the work takes no connection from the first calls.
    const WAITS_AT_START: bool = false;

    /// Claims a bounded batch of work, does it, and records the result. A later run must find everything that an error,
    /// a panic or the end of the process leaves undone.
    fn run_once(&self) -> impl Future<Output = Result<Batch, Self::Error>> + Send;

    /// How long the oldest item of a failed run had waited, if the error has this information.
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

/// Wakes a worker up. Cheap to clone; several nudges during a run count as one.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Returns at the next nudge, or at once if there was a nudge since the last return.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}

/// Runs a job until `stopping` is cancelled; a started run is finished first.
///
/// `interval` is the pause between runs without a nudge.
pub async fn run<J: Job>(job: J, nudge: Nudge, interval: Duration, stopping: CancellationToken) {
    let metrics = Metrics::new(J::NAME);
    let mut failures = 0;
    if J::WAITS_AT_START {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = nudge.nudged() => {}
            () = tokio::time::sleep(jittered(interval)) => {}
        }
    }
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
                tracing::warn!(worker = J::NAME, error = error_chain(&error), "worker run failed; it will be repeated");
            }
            Err(_) => {
                metrics.failed("panic", started.elapsed(), None);
                tracing::error!(worker = J::NAME, "worker run panicked; it will be repeated");
            }
        }
        failures += 1;
        // A nudge does not shorten this pause: the next run would probably fail for the same reason.
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
            runs: meter.u64_counter("teppan.worker.runs").with_description("Runs, by outcome.").build(),
            items: meter.u64_counter("teppan.worker.items").with_description("Items, by outcome.").build(),
            duration_seconds: meter
                .f64_histogram("teppan.worker.run.duration")
                .with_unit("s")
                .with_description("How long runs take.")
                .with_boundaries(buckets::RUNS.to_vec())
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.worker.lag")
                .with_unit("s")
                .with_description("How long the oldest item of a run had waited; runs without items are left out.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
            last_success: meter
                .f64_gauge("teppan.worker.last_success_timestamp")
                .with_unit("s")
                .with_description("End of the last successful run, as a Unix time.")
                .build(),
        };
        // Prometheus sees no increase in a counter that first appears with the value 1.
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
        // A run without items has no lag to record.
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

    /// Runs one step of the script a run, and stops the loop after the last one.
    struct ScriptedJob {
        script: Mutex<VecDeque<Step>>,
        runs: Arc<AtomicUsize>,
        stop: CancellationToken,
    }

    impl Job for ScriptedJob {
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
        let job = ScriptedJob { script: Mutex::new(script.into()), runs: Arc::clone(&runs), stop: stop.clone() };
        run(job, nudge, Duration::from_hours(1), stop).await;
        runs.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_fails_or_panics_is_repeated() {
        let more = || Ok(Batch { more: true, ..Batch::default() });
        let script: Vec<Step> = vec![|| Err(io::Error::other("injected error")), || panic!("injected panic"), more];
        assert_eq!(runs_of(script, Nudge::default()).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_during_a_run_leads_to_another_run_at_once() {
        let nudge = Nudge::default();
        nudge.nudge();
        nudge.nudge();
        let before = tokio::time::Instant::now();
        assert_eq!(runs_of(vec![|| Ok(Batch::default())], nudge).await, 2);
        assert!(before.elapsed() < Duration::from_secs(1), "the second run waited for the timer");
    }
}
