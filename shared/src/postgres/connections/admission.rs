//! Admission to the queue for a connection. A caller that would not get a connection in time is refused at once.
//!
//! Under overload, a queue without admission is useless: a caller that reaches its head has no time left. So a caller
//! waits for at most half of its remaining time, and the other half is for the statement. A caller is refused when the
//! expected wait is longer than that.

use std::time::Duration;

use tokio::time::Instant;

use super::{Connections, state::State};
use crate::postgres::DatabaseError;

tokio::task_local! {
    /// The deadline of the call that the current task works for.
    static ENDS_AT: Instant;
}

/// Runs the work of a call. Its statements wait for a connection only as long as there is time left to run them.
pub async fn in_time<T>(ends_at: Instant, work: impl Future<Output = T>) -> T {
    ENDS_AT.scope(ends_at, work).await
}

/// The remaining time of the current call; unlimited outside of a call.
pub fn time_left() -> Duration {
    ENDS_AT.try_with(|ends_at| ends_at.saturating_duration_since(Instant::now())).unwrap_or(Duration::MAX)
}

impl Connections {
    /// How long the current call may wait for a connection.
    ///
    /// # Errors
    /// `Overloaded` when the wait would be longer.
    pub(super) fn current_wait_max(&self) -> Result<Duration, DatabaseError> {
        self.admit_for(time_left())
    }

    /// Checks that a new call with this much time would get a connection in half of it.
    ///
    /// # Errors
    /// `Overloaded` when it would not.
    pub fn admit(&self, left: Duration) -> Result<(), DatabaseError> {
        self.admit_for(left).map(|_| ())
    }

    fn admit_for(&self, left: Duration) -> Result<Duration, DatabaseError> {
        let wait_max = self.0.limits.acquire_timeout.min(left / 2);
        let wait = self.lock().expected_wait(self.0.limits.max);
        if wait > wait_max { Err(DatabaseError::Overloaded) } else { Ok(wait_max) }
    }
}

impl State {
    /// How long another caller would wait for a connection if there are at most `max`. While opening fails, only the
    /// open connections count. Without any open connection the result is zero, and the caller gets the error
    /// `Unavailable` later.
    fn expected_wait(&self, max: u32) -> Duration {
        if !self.idle.is_empty() || self.live == 0 {
            return Duration::ZERO;
        }
        let connections = if self.failures == 0 { max } else { self.live };
        self.use_time.mean().unwrap_or_default().mul_f64(f64::from(self.waiting) / f64::from(connections))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mean_time::MeanTime;

    fn used_for(millis: u64, waiting: u32) -> State {
        State { waiting, live: 4, use_time: MeanTime::known(Duration::from_millis(millis)), ..State::default() }
    }

    fn millis(wait: Duration) -> u128 {
        (wait + Duration::from_micros(500)).as_millis()
    }

    #[test]
    fn the_wait_grows_with_the_queue_and_the_time_of_a_statement() {
        assert_eq!(millis(used_for(10, 0).expected_wait(10)), 0);
        assert_eq!(millis(used_for(10, 1).expected_wait(10)), 1);
        assert_eq!(millis(used_for(10, 100).expected_wait(10)), 100);
        assert_eq!(millis(used_for(30, 100).expected_wait(10)), 300);
    }

    #[test]
    fn no_caller_is_refused_before_the_mean_time_is_known() {
        let mut state = State { waiting: 100, live: 4, ..State::default() };
        state.use_time.add(Duration::from_secs(10));
        assert_eq!(millis(state.expected_wait(10)), 0);
    }

    #[test]
    fn connections_that_cannot_be_opened_do_not_count() {
        let failing = State { failures: 1, ..used_for(10, 100) };
        assert_eq!(millis(failing.expected_wait(10)), 250);
        let none = State { live: 0, ..failing };
        assert_eq!(millis(none.expected_wait(10)), 0, "the caller gets the error Unavailable instead");
    }
}
