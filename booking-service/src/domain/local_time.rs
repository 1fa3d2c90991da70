//! When a local time of a venue is.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

use super::TimeZone;

/// Islands that changed sides of the date line have skipped a whole day, never two.
const LEFT_OUT_QUARTERS_MAX: i32 = 2 * 24 * 4;

/// The instant of a local time. A time that occurs twice, because the clock is set back, means the first; one that
/// the clock skips, because it is set forward, has no instant.
pub fn instant(zone: TimeZone, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(local) | MappedLocalTime::Ambiguous(local, _) => Some(local.to_utc()),
        MappedLocalTime::None => None,
    }
}

/// [`instant`], or for a time that the clock skips the next quarter of an hour that it shows: for days whose midnight
/// is skipped, and for slots that were promised before the rules changed.
pub fn instant_or_next(zone: TimeZone, local: NaiveDateTime) -> DateTime<Utc> {
    (0..LEFT_OUT_QUARTERS_MAX)
        .find_map(|quarters| instant(zone, local + TimeDelta::minutes(15) * quarters))
        .unwrap_or_else(|| local.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promised_time_that_the_clock_leaves_out_is_the_next_that_it_shows() {
        let berlin = TimeZone::parse("Europe/Berlin").expect("a zone");
        let at = |raw: &str| instant_or_next(berlin, raw.parse().expect("a time")).to_rfc3339();
        assert_eq!(at("2026-12-05T18:00:00"), "2026-12-05T17:00:00+00:00");
        assert_eq!(at("2026-10-25T02:30:00"), "2026-10-25T00:30:00+00:00");
        assert_eq!(at("2027-03-28T02:30:00"), "2027-03-28T01:00:00+00:00");
    }
}
