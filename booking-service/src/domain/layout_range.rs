//! The days for which a venue's slots are laid out.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use super::{TimeZone, local_time::instant_or_next};

/// The days for which a venue's schedule is laid out at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutRange {
    /// The first day: today in the venue's time zone.
    pub first: NaiveDate,
    /// The last day: the venue's horizon.
    pub last: NaiveDate,
    /// When the range moves by a day: the start of tomorrow in the venue's time zone.
    pub next_at: DateTime<Utc>,
}

impl LayoutRange {
    pub fn of(zone: TimeZone, horizon_days: i32, now: DateTime<Utc>) -> Self {
        let first = now.with_timezone(&zone).date_naive();
        let last = first + Days::new(horizon_days.unsigned_abs().into());
        Self { first, last, next_at: instant_or_next(zone, (first + Days::new(1)).and_time(NaiveTime::MIN)) }
    }

    /// The first day that is not laid out yet; `None` when all are.
    pub fn first_missing(&self, laid_out_until: Option<NaiveDate>) -> Option<NaiveDate> {
        let missing = laid_out_until.map_or(self.first, |until| self.first.max(until + Days::new(1)));
        (missing <= self.last).then_some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_at(zone: &str, now: &str) -> String {
        let zone = TimeZone::parse(zone).expect("a zone");
        LayoutRange::of(zone, 90, now.parse().expect("a time")).next_at.to_rfc3339()
    }

    #[test]
    fn a_day_begins_at_midnight_in_the_venues_time_zone() {
        assert_eq!(next_at("Europe/Berlin", "2026-12-05T12:00:00Z"), "2026-12-05T23:00:00+00:00");
        assert_eq!(next_at("America/New_York", "2026-07-05T02:00:00Z"), "2026-07-05T04:00:00+00:00");
        assert_eq!(next_at("Australia/Lord_Howe", "2026-12-05T12:59:00Z"), "2026-12-05T13:00:00+00:00");
        assert_eq!(next_at("Australia/Lord_Howe", "2026-12-05T13:00:00Z"), "2026-12-06T13:00:00+00:00");
    }

    #[test]
    fn a_day_without_a_midnight_begins_at_its_first_existing_time() {
        // In Santiago the clock goes from 24:00 to 01:00; in Apia 2011-12-30 did not exist.
        assert_eq!(next_at("America/Santiago", "2026-09-05T12:00:00Z"), "2026-09-06T04:00:00+00:00");
        assert_eq!(next_at("Pacific/Apia", "2011-12-30T08:00:00Z"), "2011-12-30T10:00:00+00:00");
    }

    #[test]
    fn the_first_missing_day_follows_the_last_day_with_slots() {
        let zone = TimeZone::parse("UTC").expect("a zone");
        let range = LayoutRange::of(zone, 2, "2026-12-05T12:00:00Z".parse().expect("a time"));
        let date = |raw: &str| raw.parse::<NaiveDate>().expect("a date");
        assert_eq!(range.first_missing(None), Some(date("2026-12-05")));
        assert_eq!(range.first_missing(Some(date("2026-11-01"))), Some(date("2026-12-05")));
        assert_eq!(range.first_missing(Some(date("2026-12-06"))), Some(date("2026-12-07")));
        assert_eq!(range.first_missing(Some(date("2026-12-07"))), None);
    }
}
