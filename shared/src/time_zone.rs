//! Time zones, by the set of rules that is in force in this process.
//!
//! Governments change time zone rules several times a year, often at a few weeks' notice. A process uses one set of
//! rules, which it chooses when it starts: see [`rules`]. No other code may convert local times, in particular not
//! PostgreSQL, which has rules of its own.

mod rules;

use std::{fmt, hash};

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, Utc};
use jiff::{Timestamp, tz};

pub use self::rules::{Rules, RulesSource, RulesVersion};

/// An IANA time zone, such as `Europe/Berlin`, under the rules in force. It is a `chrono` time zone too.
#[derive(Clone, Copy)]
pub struct TimeZone(&'static Zone);

/// A zone under one set of rules.
struct Zone {
    name: String,
    rules: tz::TimeZone,
}

/// The offset of a zone from a moment on, and the next change. With it, a client can compute local times until the
/// second change without knowing the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalClock {
    /// Seconds ahead of UTC.
    pub offset_seconds: i32,
    /// The next change of the offset; `None` for never.
    pub changes_at: Option<DateTime<Utc>>,
    /// Seconds ahead of UTC after the change; the same as before if there is no change.
    pub next_offset_seconds: i32,
}

impl TimeZone {
    pub const MUST: &str = "must be an IANA time zone such as Europe/Berlin";

    /// The zone of this name, spelt as IANA spells it.
    ///
    /// # Errors
    /// [`Self::MUST`] for a name that the rules in force do not contain.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        Rules::in_force().zone(name).ok_or(Self::MUST)
    }

    pub fn utc() -> Self {
        Self::parse("UTC").expect("every set of rules has it")
    }

    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// The offset from this moment on, and its next change.
    pub fn clock_from(self, moment: DateTime<Utc>) -> LocalClock {
        let offset_seconds = self.offset_at(moment);
        // Some transitions change only the abbreviation or the summer-time flag. They do not count.
        let mut current = offset_seconds;
        let mut changes = self.0.rules.following(timestamp(moment)).filter_map(|change| {
            let before = std::mem::replace(&mut current, seconds(change.offset()));
            let at = DateTime::from_timestamp(change.timestamp().as_second(), 0)?;
            (before != current).then_some((at, current))
        });
        let next = changes.next();
        LocalClock {
            offset_seconds,
            changes_at: next.map(|(at, _)| at),
            next_offset_seconds: next.map_or(offset_seconds, |(_, offset)| offset),
        }
    }

    /// The abbreviation of the zone at this moment, such as `CEST`; its offset if it has none.
    pub fn abbreviation_at(self, moment: DateTime<Utc>) -> String {
        self.0.rules.to_offset_info(timestamp(moment)).abbreviation().to_owned()
    }

    fn offset_at(self, moment: DateTime<Utc>) -> i32 {
        seconds(self.0.rules.to_offset(timestamp(moment)))
    }

    fn local(self, offset: tz::Offset) -> LocalOffset {
        LocalOffset { zone: self, fixed: FixedOffset::east_opt(seconds(offset)).expect("less than a day") }
    }
}

/// Clamped to less than a day. Only a broken file could exceed that.
fn seconds(offset: tz::Offset) -> i32 {
    const DAY: i32 = 24 * 60 * 60;
    offset.seconds().clamp(1 - DAY, DAY - 1)
}

/// Times outside the range of the rules become the first or last moment of that range.
fn timestamp(moment: DateTime<Utc>) -> Timestamp {
    let limit = if moment > DateTime::UNIX_EPOCH { Timestamp::MAX } else { Timestamp::MIN };
    Timestamp::from_second(moment.timestamp()).unwrap_or(limit)
}

impl PartialEq for TimeZone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for TimeZone {}

impl hash::Hash for TimeZone {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The offset of a zone from UTC at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalOffset {
    zone: TimeZone,
    fixed: FixedOffset,
}

impl Offset for LocalOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Display for LocalOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fixed.fmt(f)
    }
}

impl chrono::TimeZone for TimeZone {
    type Offset = LocalOffset;

    fn from_offset(offset: &LocalOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<LocalOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<LocalOffset> {
        // Converted through seconds since the epoch in the local calendar, which both libraries count alike.
        let seconds = timestamp(local.and_utc());
        let local = tz::Offset::UTC.to_datetime(seconds);
        match self.0.rules.to_ambiguous_timestamp(local).offset() {
            tz::AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(self.local(offset)),
            tz::AmbiguousOffset::Fold { before, after } => {
                MappedLocalTime::Ambiguous(self.local(before), self.local(after))
            }
            tz::AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> LocalOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> LocalOffset {
        self.local(self.0.rules.to_offset(timestamp(utc.and_utc())))
    }
}

#[cfg(test)]
mod tests;
