//! Whether a customer already has a booking at a time.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::BookingId;

/// The visit of a live booking, from its start until before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Visit {
    pub booking_id: BookingId,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

/// The booking that another one would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    pub booking_id: BookingId,
    pub starts_at: DateTime<Utc>,
}

/// The first of a customer's visits that overlaps another one. The SQL function `duplicate_of` has the same rule.
pub fn duplicate(visits: &[Visit], (since, until): (DateTime<Utc>, DateTime<Utc>)) -> Option<Duplicate> {
    let other = visits.iter().find(|visit| visit.starts_at < until && visit.ends_at > since)?;
    Some(Duplicate { booking_id: other.booking_id, starts_at: other.starts_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(60 * minute, 0).expect("an instant")
    }

    #[test]
    fn visits_overlap_unless_one_ends_when_the_other_begins_or_before() {
        let visit = Visit { booking_id: BookingId::generate(), starts_at: at(60), ends_at: at(120) };
        let overlaps = |since, until| duplicate(&[visit], (at(since), at(until))).is_some();
        assert!(overlaps(60, 120) && overlaps(0, 61) && overlaps(119, 200) && overlaps(0, 200) && overlaps(70, 80));
        assert!(!overlaps(0, 60) && !overlaps(120, 180));
        let found = duplicate(&[visit], (at(60), at(61))).expect("an overlap");
        assert_eq!((found.booking_id, found.starts_at), (visit.booking_id, at(60)));
    }
}
