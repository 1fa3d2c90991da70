//! Where a run of the aggregation begins to read the pending messages.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// The longest pause between two runs, in milliseconds.
pub const INTERVAL_MAX_MS: u64 = 2_000;
/// How often a run begins at the start. The worker runs at least as often.
const FROM_START_EVERY: Duration = Duration::from_millis(INTERVAL_MAX_MS);
/// Messages may be committed this much later than others that came after them, and are found without a run from the
/// start.
const LATE: TimeDelta = TimeDelta::milliseconds(250);

/// Begins where the last run ended; see docs/decisions/0082.
///
/// The index keeps the rows of counted messages until vacuum removes them. A run from the start reads past all of them,
/// which under load costs more than the counting itself. Now and then a run begins at the start all the same: it finds
/// what another process left, and what was committed late. The runs after it go on from there, so that a backlog is
/// worked off at full speed wherever it is.
#[derive(Debug, Default)]
pub struct PendingCursor {
    position: DateTime<Utc>,
    from_start_at: Option<Instant>,
}

impl PendingCursor {
    /// From when on the next run reads messages by the time since which they are pending.
    pub fn begin(&mut self) -> DateTime<Utc> {
        if self.from_start_at.is_none_or(|at| at.elapsed() >= FROM_START_EVERY) {
            self.from_start_at = Some(Instant::now());
            self.position = DateTime::UNIX_EPOCH;
        }
        self.position
    }

    /// The run has counted every message that it read, up to those that are pending since this time. A time in the
    /// future, of a replica whose clock is ahead, counts as now.
    pub fn end(&mut self, counted_through: DateTime<Utc>, now: DateTime<Utc>) {
        self.position = counted_through.min(now) - LATE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + millis).expect("a time")
    }

    #[tokio::test(start_paused = true)]
    async fn runs_begin_a_little_before_the_end_of_the_last_one_and_now_and_then_at_the_start() {
        let mut cursor = PendingCursor::default();
        assert_eq!(cursor.begin(), DateTime::UNIX_EPOCH);
        assert_eq!(
            cursor.begin(),
            DateTime::UNIX_EPOCH,
            "the run from the start did not count everything that it read"
        );
        cursor.end(at(1000), at(2000));
        assert_eq!(cursor.begin(), at(750));
        tokio::time::advance(FROM_START_EVERY).await;
        assert_eq!(cursor.begin(), DateTime::UNIX_EPOCH);
        cursor.end(at(500), at(4000));
        assert_eq!(cursor.begin(), at(250), "the next run goes on behind a backlog that was found at the start");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_from_a_clock_that_is_ahead_hides_no_others() {
        let mut cursor = PendingCursor::default();
        cursor.begin();
        cursor.end(at(1_000_000), at(2000));
        assert_eq!(cursor.begin(), at(1750));
    }
}
