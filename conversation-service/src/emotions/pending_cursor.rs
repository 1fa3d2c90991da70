//! Where a run of the aggregation begins to read the pending messages.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// How often a run reads from the start.
const FROM_START_EVERY: Duration = Duration::from_secs(2);
/// Messages may be committed this much later than others that came after them, and are found without a run from the
/// start.
const LATE: TimeDelta = TimeDelta::milliseconds(250);

/// Begins where the last run ended; see docs/decisions/0082.
///
/// The index keeps the rows of counted messages until vacuum removes them. A run from the start reads past all of them,
/// which under load costs more than the counting itself. Now and then a run begins at the start all the same: it finds
/// what another process left, and what was committed late.
#[derive(Debug, Default)]
pub struct PendingCursor {
    counted_through: DateTime<Utc>,
    from_start_at: Option<Instant>,
}

impl PendingCursor {
    /// From when on the next run reads messages by the time since which they are pending.
    pub fn begin(&mut self) -> DateTime<Utc> {
        if self.from_start_at.is_none_or(|at| at.elapsed() >= FROM_START_EVERY) {
            self.from_start_at = Some(Instant::now());
            return DateTime::UNIX_EPOCH;
        }
        self.counted_through - LATE
    }

    /// A run has counted every message that it read, up to those that are pending since this time.
    pub fn end(&mut self, counted_through: DateTime<Utc>) {
        self.counted_through = self.counted_through.max(counted_through);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_begin_a_little_before_the_end_of_the_last_one_and_now_and_then_at_the_start() {
        let at = |millis: i64| DateTime::from_timestamp_millis(1_700_000_000_000 + millis).expect("a time");
        let mut cursor = PendingCursor::default();
        assert_eq!(cursor.begin(), DateTime::UNIX_EPOCH);
        cursor.end(at(1000));
        assert_eq!(cursor.begin(), at(750));
        cursor.end(at(900));
        assert_eq!(cursor.begin(), at(750), "it never goes back");
        tokio::time::advance(FROM_START_EVERY).await;
        assert_eq!(cursor.begin(), DateTime::UNIX_EPOCH);
        assert_eq!(cursor.begin(), at(750));
    }
}
