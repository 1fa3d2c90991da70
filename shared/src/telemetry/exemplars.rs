//! Exemplars: for each bucket of the histogram of calls, the newest call with a recorded trace.
//!
//! The metrics library has no exemplars, so they are kept here and written by [`super::exposition`].

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use super::buckets;

/// The exemplars of `rpc.server.call.duration` for the whole process.
pub static OF_CALLS: LazyLock<Exemplars> = LazyLock::new(Exemplars::default);

/// A measured value and its trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub trace_id: String,
    pub seconds: f64,
    pub at: SystemTime,
}

/// The newest exemplar of each bucket. The last bucket has no bound.
type Buckets = [Option<Exemplar>; buckets::CALLS.len() + 1];

/// Exemplars by method and status code. Their number is bounded by the numbers of methods, codes and buckets.
#[derive(Default)]
pub struct Exemplars {
    enabled: AtomicBool,
    kept: Mutex<HashMap<(&'static str, &'static str), Buckets>>,
}

impl Exemplars {
    pub fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }

    /// Whether exemplars are recorded.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Keeps a call as the newest of its bucket.
    pub fn record(&self, method: &'static str, code: &'static str, exemplar: Exemplar) {
        // A call never waits for a scrape or another call; the next call is an equally good exemplar.
        let Ok(mut kept) = self.kept.try_lock() else { return };
        let bucket = buckets::CALLS.partition_point(|bound| *bound < exemplar.seconds);
        kept.entry((method, code)).or_default()[bucket] = Some(exemplar);
    }

    /// The exemplar of a bucket, by its position.
    pub fn get(&self, method: &str, code: &str, bucket: usize) -> Option<Exemplar> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, buckets) = kept.iter().find(|((m, c), _)| (*m, *c) == (method, code))?;
        buckets.get(bucket)?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_call_of_each_bucket_is_kept() {
        let exemplars = Exemplars::default();
        let call = |trace_id: &str, seconds| Exemplar { trace_id: trace_id.to_owned(), seconds, at: SystemTime::now() };
        for (trace_id, seconds) in [("a", 0.5), ("b", 0.3), ("c", 0.6), ("d", 20.0)] {
            exemplars.record("S/M", "OK", call(trace_id, seconds));
        }
        let kept = |bucket| exemplars.get("S/M", "OK", bucket).map(|it| it.trace_id);
        // A bound belongs to the bucket below it.
        assert_eq!([kept(10), kept(11), kept(17), kept(0)].map(Option::unwrap_or_default), ["b", "c", "d", ""]);
        assert_eq!(exemplars.get("S/M", "UNKNOWN", 10), None);
    }
}
