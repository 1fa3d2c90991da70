use chrono::{DateTime, TimeDelta, Utc};

use super::SendingHours;
use crate::domain::TimeZone;

/// The reminders of an event, as the caller wants them: unfinished ones with other times are cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminders {
    pub event_starts_at: DateTime<Utc>,
    pub minutes_before: MinutesBefore,
    pub revision: Revision,
}

/// How long before an event its reminders are sent: at most 5 different times of 1 to 20,160 minutes, the longest
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinutesBefore(Vec<i32>);

impl MinutesBefore {
    const COUNT_MAX: usize = 5;
    /// Two weeks.
    const MINUTES_MAX: i32 = 20_160;

    pub fn parse(mut raw: Vec<i32>) -> Result<Self, &'static str> {
        let given = raw.len();
        raw.sort_unstable_by(|a, b| b.cmp(a));
        raw.dedup();
        let fit = raw.iter().all(|minutes| (1..=Self::MINUTES_MAX).contains(minutes));
        if fit && raw.len() == given && given <= Self::COUNT_MAX {
            Ok(Self(raw))
        } else {
            Err("must be at most 5 different numbers from 1 to 20160")
        }
    }
}

/// The version of the event by which reminders are scheduled: 1 or more. An older one changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(i64);

impl Revision {
    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if raw >= 1 { Ok(Self(raw)) } else { Err("must be at least 1") }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}

/// One reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder {
    pub minutes_before: i32,
    /// Within sending hours.
    pub due_at: DateTime<Utc>,
    /// Its time is over: a new one is not scheduled, and an existing one stays only if it has this time.
    pub is_late: bool,
}

impl Reminders {
    /// The reminders that can be sent before the event begins. One whose time sending hours move to the event's start
    /// or later is none.
    pub fn list(&self, now: DateTime<Utc>, hours: &SendingHours, zone: TimeZone) -> Vec<Reminder> {
        let reminder = |minutes_before: &i32| {
            let at = self.event_starts_at - TimeDelta::minutes((*minutes_before).into());
            let due_at = hours.at_or_after(at, zone);
            let is_in_time = due_at < self.event_starts_at;
            is_in_time.then_some(Reminder { minutes_before: *minutes_before, due_at, is_late: at <= now })
        };
        self.minutes_before.0.iter().filter_map(reminder).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn list(starts_at: &str, minutes_before: &[i32], now: &str) -> Vec<(i32, String, bool)> {
        let reminders = Reminders {
            event_starts_at: time(starts_at),
            minutes_before: MinutesBefore::parse(minutes_before.to_vec()).expect("minutes"),
            revision: Revision::parse(1).expect("a revision"),
        };
        let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
        let list = reminders.list(time(now), &SendingHours::default(), zone).into_iter();
        list.map(|it| (it.minutes_before, it.due_at.format("%d %H:%M").to_string(), it.is_late)).collect()
    }

    #[test]
    fn a_reminder_is_late_when_its_time_before_the_event_is_over() {
        let day_and_hours = [(1440, "04 17:00".to_owned(), false), (180, "05 14:00".to_owned(), false)];
        assert_eq!(list("2026-12-05T17:00:00Z", &[180, 1440], "2026-12-01T09:00:00Z"), day_and_hours);
        let late = |now: &str| -> Vec<bool> {
            list("2026-12-05T17:00:00Z", &[1440, 180], now).into_iter().map(|(_, _, is_late)| is_late).collect()
        };
        assert_eq!(late("2026-12-04T16:59:59Z"), [false, false]);
        assert_eq!(late("2026-12-04T17:00:00Z"), [true, false]);
        assert_eq!(late("2026-12-05T14:00:00Z"), [true, true]);
    }

    #[test]
    fn a_reminder_waits_for_sending_hours_and_is_none_if_they_begin_after_the_event() {
        // Local times: three hours before 10:00 are 07:00, so 09:00; three before 09:00 are 06:00, which would be
        // 09:00.
        let now = "2026-12-01T09:00:00Z";
        assert_eq!(list("2026-12-05T09:00:00Z", &[180], now), [(180, "05 08:00".to_owned(), false)]);
        assert_eq!(list("2026-12-05T08:00:00Z", &[180], now), []);
    }

    #[test]
    fn minutes_are_different_positive_and_few() {
        assert!(MinutesBefore::parse(vec![]).is_ok() && MinutesBefore::parse(vec![1, 20_160]).is_ok());
        for wrong in [vec![0], vec![20_161], vec![5, 5], vec![1, 2, 3, 4, 5, 6]] {
            assert!(MinutesBefore::parse(wrong.clone()).is_err(), "{wrong:?}");
        }
        assert!(Revision::parse(0).is_err());
    }
}
