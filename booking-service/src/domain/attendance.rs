//! Which parties are at a venue, come next, or are late.

use chrono::{DateTime, TimeDelta, Utc};

/// How long before the start of its booking a party can be seated.
pub const SEATED_EARLY: TimeDelta = TimeDelta::minutes(120);
/// How long after the start of its booking a party that is not seated counts as late.
pub const LATE_AFTER: TimeDelta = TimeDelta::minutes(10);
/// How long after the end of its visit a seated party that nobody has completed still counts as seated.
pub const OVERSTAY: TimeDelta = TimeDelta::hours(4);

/// What a party does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attendance {
    Seated,
    Arriving,
    Late,
}

/// The visit of a live booking, and when its party was seated.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedParty {
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub seated_at: Option<DateTime<Utc>>,
}

impl ExpectedParty {
    /// `None`: neither there nor expected before `until`.
    pub fn attendance(self, at: DateTime<Utc>, until: DateTime<Utc>) -> Option<Attendance> {
        if self.seated_at.is_some_and(|since| since <= at) {
            return (at < self.ends_at + OVERSTAY).then_some(Attendance::Seated);
        }
        if self.starts_at + LATE_AFTER <= at {
            return (at < self.ends_at).then_some(Attendance::Late);
        }
        (self.starts_at < until).then_some(Attendance::Arriving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(60 * minute, 0).expect("an instant")
    }

    /// The attendance of a party for a visit of two hours from minute 600 on, within an hour.
    fn attendance(seated: Option<i64>, minute: i64) -> Option<Attendance> {
        let party = ExpectedParty { starts_at: at(600), ends_at: at(720), seated_at: seated.map(at) };
        party.attendance(at(minute), at(minute + 60))
    }

    #[test]
    fn a_party_arrives_and_is_late_until_it_is_seated() {
        assert_eq!(attendance(None, 540), None);
        assert_eq!(attendance(None, 541), Some(Attendance::Arriving));
        assert_eq!(attendance(None, 609), Some(Attendance::Arriving));
        assert_eq!(attendance(None, 610), Some(Attendance::Late));
        assert_eq!(attendance(None, 720), None, "nobody waits for it any more");
        assert_eq!(attendance(Some(630), 640), Some(Attendance::Seated));
        assert_eq!(attendance(Some(630), 620), Some(Attendance::Late), "it was not seated yet");
        assert_eq!(attendance(Some(550), 560), Some(Attendance::Seated), "it came early");
    }

    #[test]
    fn a_seated_party_that_overstays_is_seated_for_four_hours_more() {
        assert_eq!(attendance(Some(600), 959), Some(Attendance::Seated));
        assert_eq!(attendance(Some(600), 960), None);
    }
}
