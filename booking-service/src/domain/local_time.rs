//! Converts a local time of a venue to an instant.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

use super::TimeZone;

/// Two days in quarters of an hour. No clock skips more: islands that crossed the date line skipped one day.
const SKIPPED_QUARTERS_MAX: i32 = 2 * 24 * 4;

/// The instant of a local time. A time that occurs twice, because the clock is set back, means the first occurrence. A
/// time that the clock skips, because it is set forward, has no instant.
pub fn instant(zone: TimeZone, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(local) | MappedLocalTime::Ambiguous(local, _) => Some(local.to_utc()),
        MappedLocalTime::None => None,
    }
}

/// The instant of a local time. For a time that the clock skips: the next existing quarter of an hour. This is for days
/// whose midnight is skipped, and for slots that existed before the time zone rules changed.
pub fn instant_or_next(zone: TimeZone, local: NaiveDateTime) -> DateTime<Utc> {
    (0..SKIPPED_QUARTERS_MAX)
        .find_map(|quarters| instant(zone, local + TimeDelta::minutes(15) * quarters))
        .unwrap_or_else(|| local.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_the_clock_skips_becomes_the_next_existing_quarter_of_an_hour() {
        let berlin = TimeZone::parse("Europe/Berlin").expect("a zone");
        let at = |raw: &str| instant_or_next(berlin, raw.parse().expect("a time")).to_rfc3339();
        assert_eq!(at("2026-12-05T18:00:00"), "2026-12-05T17:00:00+00:00");
        assert_eq!(at("2026-10-25T02:30:00"), "2026-10-25T00:30:00+00:00");
        assert_eq!(at("2027-03-28T02:30:00"), "2027-03-28T01:00:00+00:00");
    }
}
