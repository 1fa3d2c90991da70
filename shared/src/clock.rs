//! What time it is.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Where the service takes the time from.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    Machine { ahead: TimeDelta },
    Steered(&'static SteeredTime),
}

impl Default for Clock {
    fn default() -> Self {
        Self::ahead(TimeDelta::zero())
    }
}

impl Clock {
    /// A clock that is ahead of the machine's: what is due in so long is due now. For demos and tests.
    pub fn ahead(ahead: TimeDelta) -> Self {
        Self(Source::Machine { ahead })
    }

    /// A clock that stands still until it is moved, for all services that have it. For tests.
    pub fn steered(time: &'static SteeredTime) -> Self {
        Self(Source::Steered(time))
    }

    /// Now, to the microsecond: what PostgreSQL keeps, so that a time reads back as it was written.
    pub fn now(self) -> DateTime<Utc> {
        match self.0 {
            Source::Machine { ahead } => (Utc::now() + ahead).trunc_subsecs(6),
            Source::Steered(time) => time.now(),
        }
    }
}

/// A time that passes only when a test says so.
#[derive(Debug)]
pub struct SteeredTime {
    epoch_micros: AtomicI64,
}

impl SteeredTime {
    /// A time that stands at a moment. It lives as long as the process, as the clocks do that show it.
    pub fn at(moment: DateTime<Utc>) -> &'static Self {
        Box::leak(Box::new(Self { epoch_micros: AtomicI64::new(moment.timestamp_micros()) }))
    }

    pub fn set(&self, moment: DateTime<Utc>) {
        self.epoch_micros.store(moment.timestamp_micros(), Ordering::SeqCst);
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.epoch_micros.load(Ordering::SeqCst)).unwrap_or_default()
    }
}
