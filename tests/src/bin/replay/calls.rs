//! Makes every call, measures its time, and repeats it while that is safe and can help.
//!
//! All calls here are safe to repeat: reads, and writes that send the same id or key again.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rand::Rng as _;
use teppan_tests::tool::{Trace, describe_status};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

/// The timeout of an attempt: a little more than the services' own timeout of a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(12);
/// The waits between attempts double from the first to the longest.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The histograms keep three digits up to ten minutes.
const HIGHEST_MICROS: u64 = 600_000_000;

/// The called methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    CreateVenue,
    SetWeeklySchedule,
    StoreMessage,
    CreateBooking,
    ListMessages,
    GetBooking,
    ListAvailability,
    GetConversation,
    ListFollowUps,
}

impl Method {
    pub const WRITES: [Self; 4] = [Self::CreateVenue, Self::SetWeeklySchedule, Self::StoreMessage, Self::CreateBooking];
    pub const READS: [Self; 5] =
        [Self::ListMessages, Self::GetBooking, Self::ListAvailability, Self::GetConversation, Self::ListFollowUps];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The measurements of one method. The time of a call is what its caller waits: all attempts, and the waits between
/// them.
#[derive(Debug, Clone)]
pub struct Measured {
    pub calls: u64,
    pub retries: u64,
    pub failed: u64,
    pub micros: Histogram<u64>,
    first_start: Option<Instant>,
    last_end: Option<Instant>,
}

impl Default for Measured {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, HIGHEST_MICROS, 3).expect("the bounds are valid");
        Self { calls: 0, retries: 0, failed: 0, micros, first_start: None, last_end: None }
    }
}

impl Measured {
    /// From the start of the first call to the end of the last.
    pub fn span(&self) -> Duration {
        match (self.first_start, self.last_end) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        }
    }

    fn record(&mut self, started: Instant, retries: u64, failed: bool) {
        let ended = Instant::now();
        self.calls += 1;
        self.retries += retries;
        self.failed += u64::from(failed);
        self.micros.saturating_record(u64::try_from((ended - started).as_micros()).unwrap_or(u64::MAX));
        self.first_start = Some(self.first_start.map_or(started, |first| first.min(started)));
        self.last_end = Some(ended);
    }
}

/// The measurements of every method.
#[derive(Default)]
pub struct Meter(Mutex<[Measured; Method::WRITES.len() + Method::READS.len()]>);

impl Meter {
    pub fn of(&self, method: Method) -> Measured {
        self.lock()[method as usize].clone()
    }

    /// Calls of these methods per second, from the first to the last of them.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    pub fn calls_per_second(&self, methods: &[Method]) -> f64 {
        let measured: Vec<_> = methods.iter().map(|method| self.of(*method)).collect();
        let calls: u64 = measured.iter().map(|measured| measured.calls).sum();
        let span = measured.iter().map(Measured::span).max().unwrap_or_default();
        calls as f64 / span.as_secs_f64().max(f64::EPSILON)
    }

    fn lock(&self) -> MutexGuard<'_, [Measured; Method::WRITES.len() + Method::READS.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call failed, and repeating it cannot help or took too long.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{method} after {attempts} attempts: {why}")]
pub struct Failure {
    pub method: Method,
    pub attempts: u64,
    pub code: Code,
    pub why: String,
}

/// Makes calls. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    meter: Arc<Meter>,
    give_up_after: Duration,
}

impl Caller {
    pub fn new(meter: Arc<Meter>, give_up_after: Duration) -> Self {
        Self { meter, give_up_after }
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Makes a call, and repeats it while that can help and the time is not up.
    ///
    /// # Errors
    /// [`Failure`], with the error of the last attempt.
    pub async fn call<T, F>(&self, method: Method, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let started = Instant::now();
        let mut retries = 0;
        loop {
            let status = match attempt().await {
                Ok(answer) => {
                    self.meter.lock()[method as usize].record(started, retries, false);
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            let wait =
                wait_before_retry(&status, retries).filter(|wait| started.elapsed() + *wait < self.give_up_after);
            let Some(wait) = wait else {
                self.meter.lock()[method as usize].record(started, retries, true);
                let why = describe_status(&status);
                return Err(Failure { method, attempts: retries + 1, code: status.code(), why });
            };
            tokio::time::sleep(wait).await;
            retries += 1;
        }
    }
}

/// The request of one attempt: in the dialogue's trace, with a deadline.
pub fn request<T>(trace: Trace, message: T) -> Request<T> {
    let mut request = trace.carry(message);
    request.set_timeout(ATTEMPT_TIMEOUT);
    request
}

/// The wait before the next attempt, or `None` when repeating cannot help.
fn wait_before_retry(status: &Status, retries: u64) -> Option<Duration> {
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let may_help = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        Code::ResourceExhausted => asked.is_some(),
        // Every error of the services has an ErrorInfo. An error without one comes from the client's side: the
        // connection broke, or the client's timeout passed.
        Code::Unknown | Code::Internal | Code::Cancelled => status.get_details_error_info().is_none(),
        _ => false,
    };
    may_help.then(|| {
        let most = WAIT_FIRST.saturating_mul(1 << retries.min(16)).min(WAIT_MAX);
        // Full jitter: callers that were refused together should not retry together.
        asked.unwrap_or_default() + most.mul_f64(rand::rng().random_range(0.0..1.0))
    })
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, retry_after: Option<Duration>) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info("REASON", "teppan", std::collections::HashMap::new());
        if let Some(delay) = retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, "", details)
    }

    #[test]
    fn only_temporary_failures_are_repeated() {
        let delay = Duration::from_millis(500);
        for again in [status(Code::Unavailable, None), status(Code::ResourceExhausted, Some(delay))] {
            assert!(wait_before_retry(&again, 0).is_some(), "{again}");
        }
        for broken in [Status::unknown("transport error"), Status::cancelled("Timeout expired")] {
            assert!(wait_before_retry(&broken, 0).is_some(), "{broken}");
        }
        let refused = [Code::InvalidArgument, Code::FailedPrecondition, Code::ResourceExhausted, Code::Internal];
        for code in refused {
            assert!(wait_before_retry(&status(code, None), 0).is_none(), "{code}");
        }
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_never_shorter_than_the_retry_delay() {
        let delay = Duration::from_millis(500);
        for retries in [0, 1, 5, 63, u64::MAX] {
            let wait =
                wait_before_retry(&status(Code::Unavailable, Some(delay)), retries).expect("the failure is temporary");
            assert!(wait >= delay && wait <= delay + WAIT_MAX, "{wait:?}");
        }
        let first = wait_before_retry(&status(Code::Unavailable, None), 0).expect("the failure is temporary");
        assert!(first <= WAIT_FIRST, "{first:?}");
    }

    #[tokio::test]
    async fn a_call_is_repeated_until_it_succeeds_and_counted_once() {
        let caller = Caller::new(Arc::default(), Duration::from_mins(1));
        let mut attempts = 0;
        let answer = caller.call(Method::StoreMessage, || {
            attempts += 1;
            let answer = if attempts < 3 { Err(status(Code::Unavailable, None)) } else { Ok(Response::new(attempts)) };
            async { answer }
        });
        assert_eq!(answer.await.expect("the third succeeds"), 3);
        let measured = caller.meter().of(Method::StoreMessage);
        assert_eq!((measured.calls, measured.retries, measured.failed), (1, 2, 0));
    }

    #[tokio::test]
    async fn a_refusal_is_not_repeated() {
        let caller = Caller::new(Arc::default(), Duration::from_mins(1));
        let refused = || async { Err::<Response<()>, _>(status(Code::FailedPrecondition, None)) };
        let failure = caller.call(Method::CreateBooking, refused).await.expect_err("the call is refused");
        assert_eq!((failure.attempts, failure.code), (1, Code::FailedPrecondition));
    }
}
