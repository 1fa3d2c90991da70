//! The clock of the services.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// The source of a service's time.
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
    /// A clock that is ahead of the machine's clock by this much. For demos and tests.
    pub fn ahead(ahead: TimeDelta) -> Self {
        Self(Source::Machine { ahead })
    }

    /// A clock that stands still until a test sets it, for all services that share it. For tests.
    pub fn steered(time: &'static SteeredTime) -> Self {
        Self(Source::Steered(time))
    }

    /// The current time, truncated to microseconds like PostgreSQL's times, so that a stored time equals the original.
    pub fn now(self) -> DateTime<Utc> {
        match self.0 {
            Source::Machine { ahead } => (Utc::now() + ahead).trunc_subsecs(6),
            Source::Steered(time) => time.now(),
        }
    }
}

/// A time that changes only when a test sets it.
#[derive(Debug)]
pub struct SteeredTime {
    epoch_micros: AtomicI64,
}

impl SteeredTime {
    /// A time that stands at this moment. It is never freed, because clocks refer to it.
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
