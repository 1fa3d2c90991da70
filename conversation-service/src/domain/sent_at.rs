use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// Tolerance for clocks that differ.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// The client's time of a message: at most 5 minutes ahead of the service's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAt(DateTime<Utc>);

impl SentAt {
    pub fn parse(raw: DateTime<Utc>, now: DateTime<Utc>) -> Result<Self, &'static str> {
        if raw > now + AHEAD_MAX {
            return Err("must not be more than 5 minutes ahead of the service's clock");
        }
        // To the microsecond, like the stored times: a retry has the same fingerprint.
        Ok(Self(raw.trunc_subsecs(6)))
    }

    pub fn time(self) -> DateTime<Utc> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_at_may_be_at_most_5_minutes_ahead() {
        let now = Utc::now();
        assert!(SentAt::parse(now - TimeDelta::days(3650), now).is_ok());
        assert!(SentAt::parse(now + TimeDelta::minutes(5), now).is_ok());
        assert!(SentAt::parse(now + TimeDelta::minutes(5) + TimeDelta::nanoseconds(1), now).is_err());
    }

    #[test]
    fn sent_at_is_truncated_to_microseconds() {
        let raw = DateTime::from_timestamp(1_700_000_000, 123_456_789).expect("a time");
        let kept = SentAt::parse(raw, Utc::now()).expect("past").time();
        assert_eq!(kept.timestamp_subsec_nanos(), 123_456_000);
    }
}
