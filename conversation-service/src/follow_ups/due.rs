use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::{CustomerId, FollowUpPurpose, FollowUpTrigger, Reminders, SendingHours, Subject};
use crate::domain::{Channel, Content, ConversationId, IdempotencyKey, Metadata, TimeZone, UserId};

/// The first second of the year 9998. Sending hours could move a later time beyond the year 9999, which is the end of
/// protobuf's times.
const TOO_LATE_SECONDS: i64 = 253_339_228_800;

/// A request to schedule a follow-up.
#[derive(Debug, Clone)]
pub struct NewFollowUp {
    pub idempotency_key: IdempotencyKey,
    pub key: FollowUpKey,
    pub due: Due,
    pub time_zone: TimeZone,
    /// `None` means the conversation's channel.
    pub channel: Option<Channel>,
    /// `None` means that the text is chosen when the follow-up is due.
    pub content: Option<Content>,
    pub metadata: Option<Metadata>,
    pub user_id: Option<UserId>,
    /// The customer of booking-service; `None`: none was named.
    pub customer_id: Option<CustomerId>,
    pub purpose: FollowUpPurpose,
    /// Whether an existing follow-up is moved. Otherwise it is not changed.
    pub move_existing: bool,
    /// The reminders of the subject; `None`: those that exist stay, unless the follow-up is moved.
    pub reminders: Option<Reminders>,
}

/// The natural key of a follow-up: at most one that is not finished exists for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpKey {
    pub conversation_id: ConversationId,
    pub trigger: FollowUpTrigger,
    pub subject: Subject,
}

/// The requested time of a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    time: DateTime<Utc>,
    after_event: bool,
}

impl Due {
    /// At this time.
    pub fn at(raw: DateTime<Utc>) -> Result<Self, &'static str> {
        Self::parse(raw, false)
    }

    /// A configured time after an event that ends at this time.
    pub fn after_event(raw: DateTime<Utc>) -> Result<Self, &'static str> {
        Self::parse(raw, true)
    }

    fn parse(raw: DateTime<Utc>, after_event: bool) -> Result<Self, &'static str> {
        if raw.timestamp() >= TOO_LATE_SECONDS {
            return Err("must be before the year 9998");
        }
        // To the microsecond, like the stored times: a retry has the same fingerprint.
        Ok(Self { time: raw.trunc_subsecs(6), after_event })
    }

    /// The due time, moved into sending hours.
    ///
    /// `after_event` is elapsed time. When the clock changes, 24 hours after 20:00 is 21:00 or 19:00.
    pub fn time(self, after_event: TimeDelta, hours: &SendingHours, zone: TimeZone) -> DateTime<Utc> {
        let delay = if self.after_event { after_event } else { TimeDelta::zero() };
        hours.at_or_after(self.time + delay, zone)
    }

    /// The encoding for the fingerprint of a request.
    pub fn to_bytes(self) -> Vec<u8> {
        [&[u8::from(self.after_event)], self.time.timestamp_micros().to_be_bytes().as_slice()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(ends_at: &str, zone: &str) -> String {
        let due = Due::after_event(ends_at.parse().expect("a time")).expect("not too late");
        let zone = TimeZone::parse(zone).expect("a zone");
        due.time(TimeDelta::hours(24), &SendingHours::default(), zone).with_timezone(&zone).to_rfc3339()
    }

    #[test]
    fn a_follow_up_a_day_after_an_event_is_due_after_24_hours_even_when_the_clock_changes() {
        assert_eq!(due("2026-12-05T17:00:00Z", "Europe/Berlin"), "2026-12-06T18:00:00+01:00");
        assert_eq!(due("2027-03-27T13:00:00Z", "Europe/Berlin"), "2027-03-28T15:00:00+02:00");
        assert_eq!(due("2026-10-24T12:00:00Z", "Europe/Berlin"), "2026-10-25T13:00:00+01:00");
        assert_eq!(due("2026-10-31T16:00:00Z", "America/New_York"), "2026-11-01T11:00:00-05:00");
        assert_eq!(due("2026-10-03T03:30:00Z", "Australia/Lord_Howe"), "2026-10-04T14:30:00+11:00");
        // 24 hours after 20:30 is 21:30 here, which is outside the sending hours.
        assert_eq!(due("2027-03-27T19:30:00Z", "Europe/Berlin"), "2027-03-29T09:00:00+02:00");
    }

    #[test]
    fn a_time_after_the_year_9997_is_refused() {
        let year = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        assert!(Due::at(year("9997-12-31T23:59:59Z")).is_ok());
        assert!(Due::at(year("9998-01-01T00:00:00Z")).is_err());
    }
}
