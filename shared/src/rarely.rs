//! Log lines about events that may be frequent.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_mins(1);

/// Limits a log line to one a minute.
#[derive(Debug, Default)]
pub struct Rarely {
    last: Option<Instant>,
    /// How often it has happened since then.
    times: u64,
}

impl Rarely {
    /// Counts the event. When a line is due, returns how often it has happened since the last line.
    pub fn now(&mut self) -> Option<u64> {
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
    fn the_first_time_is_logged_and_the_next_ones_are_counted() {
        let mut rarely = Rarely::default();
        assert_eq!(rarely.now(), Some(1));
        assert_eq!((rarely.now(), rarely.now()), (None, None));
        rarely.last = None; // a minute later
        assert_eq!(rarely.now(), Some(3));
    }
}
