//! What time it is.

use chrono::{DateTime, SubsecRound, Utc};

/// Where the service takes the time from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Now, to the microsecond: what PostgreSQL keeps, so that a time reads back as it was written.
    pub fn now(self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}
