use std::{
    ops::Range,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{
    DateTime, Days, DurationRound as _, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Timelike as _,
    Utc,
};
use teppan_shared::time_zone::Rules;

use crate::domain::TimeZone;

const DAY_MINUTES: u32 = 24 * 60;
/// The number of days to search for sending hours. A zone that crossed the date line lacks one date, never two.
const DAYS_TRIED: u64 = 3;

/// The local times of day when follow-ups may be sent, such as 09:00 (included) to 21:00 (excluded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingHours {
    /// Minutes of the day.
    minutes: Range<u32>,
}

impl SendingHours {
    /// The requested time if it is in sending hours, otherwise their next beginning. The result is never earlier than
    /// requested.
    ///
    /// If a clock change skips the beginning, the hours begin with the next minute that exists. If a clock change
    /// repeats the beginning, they begin with the first of the two times, or with the second one if the first is over.
    pub fn at_or_after(&self, requested: DateTime<Utc>, zone: TimeZone) -> DateTime<Utc> {
        let local = requested.with_timezone(&zone);
        let minute = local.hour() * 60 + local.minute();
        if self.minutes.contains(&minute) {
            return requested;
        }
        // Before the hours the result is on this date, after them on the next one.
        let first_day = u64::from(minute >= self.minutes.start);
        (first_day..first_day + DAYS_TRIED)
            .filter_map(|days| local.date_naive().checked_add_days(Days::new(days)))
            .find_map(|date| self.beginning(date, zone, requested))
            .unwrap_or(requested)
    }

    /// The zones that are outside sending hours, and the beginning of their hours.
    pub fn closed_zones(&self, now: DateTime<Utc>) -> ClosedZones {
        let mut closed = ClosedZones::default();
        for zone in Rules::in_force().zones() {
            let opens_at = self.at_or_after(now, zone);
            if opens_at > now {
                closed.names.push(zone.name());
                closed.open_at.push(opens_at);
            }
        }
        closed
    }

    /// The first minute of a date's sending hours that exists and is not before `requested`.
    fn beginning(&self, date: NaiveDate, zone: TimeZone, requested: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.minutes.clone().find_map(|minute| {
            let local = date.and_time(NaiveTime::MIN) + TimeDelta::minutes(minute.into());
            match zone.from_local_datetime(&local) {
                MappedLocalTime::Single(at) => [Some(at), None],
                MappedLocalTime::Ambiguous(first, second) => [Some(first), Some(second)],
                MappedLocalTime::None => [None, None],
            }
            .into_iter()
            .flatten()
            .map(|at| at.to_utc())
            .find(|at| *at >= requested)
        })
    }
}

/// Time zones outside sending hours, as columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClosedZones {
    pub names: Vec<&'static str>,
    pub open_at: Vec<DateTime<Utc>>,
}

/// The closed zones of the present minute. There are hundreds of zones, and claims come many times a second; sending hours
/// begin and end on whole minutes.
#[derive(Debug, Default)]
pub struct ClosedZonesCache(Mutex<Option<(DateTime<Utc>, Arc<ClosedZones>)>>);

impl ClosedZonesCache {
    pub fn at(&self, now: DateTime<Utc>, hours: &SendingHours) -> Arc<ClosedZones> {
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((of, closed)) if *of == minute => Arc::clone(closed),
            _ => {
                let closed = Arc::new(hours.closed_zones(minute));
                *cached = Some((minute, Arc::clone(&closed)));
                closed
            }
        }
    }
}

impl Default for SendingHours {
    fn default() -> Self {
        Self { minutes: 9 * 60..21 * 60 }
    }
}

/// Parses a text such as `09:00-21:00`. The end of the day is `24:00`.
impl FromStr for SendingHours {
    type Err = ();

    fn from_str(raw: &str) -> Result<Self, ()> {
        let (from, until) = raw.split_once('-').ok_or(())?;
        let minutes = parse_minute(from).ok_or(())?..parse_minute(until).ok_or(())?;
        if minutes.is_empty() { Err(()) } else { Ok(Self { minutes }) }
    }
}

/// The minute of the day of a text such as `09:00`.
fn parse_minute(raw: &str) -> Option<u32> {
    let number = |digits: &str| {
        let strict = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        strict.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (hour, minute) = raw.split_once(':')?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= DAY_MINUTES).then_some(of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(hours: &str, zone: &str, requested: &str) -> String {
        let hours: SendingHours = hours.parse().expect("hours");
        let requested: DateTime<Utc> = requested.parse().expect("a time");
        let at = hours.at_or_after(requested, TimeZone::parse(zone).expect("a zone"));
        assert!(at >= requested, "{requested} may only be moved to a later time");
        at.to_rfc3339()
    }

    #[test]
    fn sending_hours_must_have_the_exact_format() {
        assert_eq!("09:00-21:00".parse(), Ok(SendingHours::default()));
        assert_eq!("00:00-24:00".parse(), Ok(SendingHours { minutes: 0..DAY_MINUTES }));
        for bad in
            ["", "09:00", "9:00-21:00", "21:00-09:00", "09:00-09:00", "09:00-24:01", "09:60-21:00", "+9:00-21:00"]
        {
            assert_eq!(bad.parse::<SendingHours>(), Err(()), "{bad:?}");
        }
    }

    #[test]
    fn a_time_outside_sending_hours_is_moved_to_their_next_beginning() {
        let in_tokyo = |requested| moved("09:00-21:00", "Asia/Tokyo", requested);
        for (requested, expected) in [
            ("2026-12-04T23:59:59Z", "2026-12-05T00:00:00+00:00"),
            ("2026-12-05T00:00:00Z", "2026-12-05T00:00:00+00:00"),
            ("2026-12-05T11:59:59Z", "2026-12-05T11:59:59+00:00"),
            ("2026-12-05T12:00:00Z", "2026-12-06T00:00:00+00:00"),
            ("2026-12-05T14:59:59Z", "2026-12-06T00:00:00+00:00"),
            ("2026-12-05T15:00:00Z", "2026-12-06T00:00:00+00:00"),
        ] {
            assert_eq!(in_tokyo(requested), expected, "{requested}");
        }
    }

    #[test]
    fn the_beginning_is_a_local_time_before_and_after_a_clock_change() {
        for (zone, requested, expected) in [
            // the evening before, the night itself
            ("Europe/Berlin", "2027-03-27T21:00:00Z", "2027-03-28T07:00:00+00:00"),
            ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-25T08:00:00+00:00"),
            ("America/New_York", "2027-03-14T02:00:00Z", "2027-03-14T13:00:00+00:00"),
            ("America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T14:00:00+00:00"),
            // half an hour only
            ("Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T22:00:00+00:00"),
            ("Australia/Lord_Howe", "2027-04-03T14:00:00Z", "2027-04-03T22:30:00+00:00"),
        ] {
            assert_eq!(moved("09:00-21:00", zone, requested), expected, "{zone} {requested}");
        }
    }

    #[test]
    fn sending_hours_begin_with_the_first_existing_minute_when_the_clock_skips_their_beginning() {
        for (zone, hours, requested, expected) in [
            ("Europe/Berlin", "02:30-21:00", "2027-03-28T00:15:00Z", "2027-03-28T01:00:00+00:00"),
            ("America/New_York", "02:30-21:00", "2027-03-14T06:15:00Z", "2027-03-14T07:00:00+00:00"),
            ("Australia/Lord_Howe", "02:15-21:00", "2026-10-03T15:00:00Z", "2026-10-03T15:30:00+00:00"),
            // that night the clock skips the whole sending hours
            ("Europe/Berlin", "02:00-03:00", "2027-03-28T00:15:00Z", "2027-03-29T00:00:00+00:00"),
            // the zone skipped this date
            ("Pacific/Apia", "09:00-21:00", "2011-12-30T08:00:00Z", "2011-12-30T19:00:00+00:00"),
        ] {
            assert_eq!(moved(hours, zone, requested), expected, "{zone} {hours} {requested}");
        }
    }

    #[test]
    fn when_the_beginning_exists_twice_the_first_one_that_is_not_over_counts() {
        for (zone, hours, requested, expected) in [
            ("Europe/Berlin", "02:30-21:00", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00+00:00"),
            // this is the second 02:10, so the first 02:30 is over
            ("Europe/Berlin", "02:30-21:00", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00+00:00"),
            ("America/New_York", "01:30-21:00", "2026-11-01T05:00:00Z", "2026-11-01T05:30:00+00:00"),
            ("America/New_York", "01:30-21:00", "2026-11-01T06:10:00Z", "2026-11-01T06:30:00+00:00"),
            ("Australia/Lord_Howe", "01:45-21:00", "2027-04-03T14:00:00Z", "2027-04-03T14:45:00+00:00"),
            ("Australia/Lord_Howe", "01:45-21:00", "2027-04-03T15:05:00Z", "2027-04-03T15:15:00+00:00"),
        ] {
            assert_eq!(moved(hours, zone, requested), expected, "{zone} {hours} {requested}");
        }
    }

    #[test]
    fn a_zone_is_closed_outside_its_local_sending_hours() {
        let now: DateTime<Utc> = "2026-12-05T03:00:00Z".parse().expect("a time");
        let closed = SendingHours::default().closed_zones(now);
        let opens = |name: &str| {
            closed.names.iter().position(|closed| *closed == name).map(|index| closed.open_at[index].to_rfc3339())
        };
        assert_eq!(opens("Asia/Tokyo"), None, "noon");
        assert_eq!(opens("Europe/Berlin").as_deref(), Some("2026-12-05T08:00:00+00:00"));
        assert_eq!(opens("America/New_York").as_deref(), Some("2026-12-05T14:00:00+00:00"));
        let always: SendingHours = "00:00-24:00".parse().expect("hours");
        assert_eq!(always.closed_zones(now), ClosedZones::default());
    }

    #[test]
    fn the_closed_zones_of_any_second_are_those_of_its_minute() {
        let (hours, cache) = (SendingHours::default(), ClosedZonesCache::default());
        let start: DateTime<Utc> = "2026-12-05T07:58:59Z".parse().expect("a time");
        for second in (0..7200).step_by(29) {
            let now = start + TimeDelta::seconds(second);
            assert_eq!(*cache.at(now, &hours), hours.closed_zones(now), "{now}");
        }
    }

    #[test]
    fn every_time_in_every_zone_is_moved_into_sending_hours_within_14_hours() {
        let hours = SendingHours::default();
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu"] {
            let zone = TimeZone::parse(zone).expect("a zone");
            let start: DateTime<Utc> = "2026-09-01T00:00:00Z".parse().expect("a time");
            for step in 0..9000 {
                let requested = start + TimeDelta::minutes(step * 37);
                let at = hours.at_or_after(requested, zone);
                let local = at.with_timezone(&zone);
                assert!(at >= requested && at - requested < TimeDelta::hours(14), "{zone:?} {requested}");
                assert!((9..21).contains(&local.hour()), "{zone:?} {requested}");
            }
        }
    }
}
