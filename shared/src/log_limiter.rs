//! Limits log lines about events that may be frequent.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_mins(1);

/// Limits a log line to one a minute.
#[derive(Debug, Default)]
pub struct LogLimiter {
    last: Option<Instant>,
    /// Events since the last line.
    times: u64,
}

impl LogLimiter {
    /// Counts an event. When a line is due, returns the number of events since the last line.
    pub fn record(&mut self) -> Option<u64> {
        self.times += 1;
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_and_the_next_ones_are_only_counted() {
        let mut log_limiter = LogLimiter::default();
        assert_eq!(log_limiter.record(), Some(1));
        assert_eq!((log_limiter.record(), log_limiter.record()), (None, None));
        log_limiter.last = None; // a minute later
        assert_eq!(log_limiter.record(), Some(3));
    }
}
