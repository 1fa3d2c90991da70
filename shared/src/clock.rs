//! What time it is.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Where the service takes the time from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    ahead: TimeDelta,
}

impl Clock {
    /// A clock that is ahead of the machine's: what is due in so long is due now. For demos and tests.
    pub fn ahead(ahead: TimeDelta) -> Self {
        Self { ahead }
    }

    /// Now, to the microsecond: what PostgreSQL keeps, so that a time reads back as it was written.
    pub fn now(self) -> DateTime<Utc> {
        (Utc::now() + self.ahead).trunc_subsecs(6)
    }
}
