//! Settings of scheduling and of retention.

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use teppan_shared::config::Problems;

use crate::follow_ups::SendingHours;

const HOUR: Duration = Duration::from_hours(1);
const YEAR_MINUTES: u64 = 366 * 24 * 60;

/// The settings, not yet validated.
#[derive(Args)]
pub struct SchedulingArgs {
    /// When follow-ups may be sent, in the time zone of each: from the first local time until before the second one.
    /// 00:00-24:00 means always
    #[arg(long, env = "FOLLOW_UP_SENDING_HOURS", hide_env_values = true, default_value = "09:00-21:00", global = true)]
    follow_up_sending_hours: String,
    /// How long after the end of an event its follow-up is due, in minutes
    #[arg(long, env = "FOLLOW_UP_AFTER_EVENT_MINUTES", hide_env_values = true, default_value = "1440", global = true)]
    follow_up_after_event_minutes: String,
    /// How often a follow-up is claimed before it is FAILED. A change applies to new follow-ups only
    #[arg(long, env = "FOLLOW_UP_ATTEMPTS_MAX", hide_env_values = true, default_value = "5", global = true)]
    follow_up_attempts_max: String,
    /// How long finished follow-ups are kept, in days; not less than idempotency keys
    #[arg(long, env = "FOLLOW_UP_KEEP_DAYS", hide_env_values = true, default_value = "90", global = true)]
    follow_up_keep_days: String,
    /// How long idempotency keys of follow-ups are kept, in hours; a call repeated later is a new call
    #[arg(long, env = "IDEMPOTENCY_KEEP_HOURS", hide_env_values = true, default_value = "72", global = true)]
    idempotency_keep_hours: String,
    /// Days after its last change after which a conversation is deleted, with all that belongs to it; 0: never. One
    /// that is escalated, or has an unfinished follow-up, stays
    #[arg(long, env = "CONVERSATION_KEEP_DAYS", hide_env_values = true, default_value = "0", global = true)]
    conversation_keep_days: String,
    /// How often the service removes older follow-ups, keys and conversations
    #[arg(long, env = "RETENTION_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    retention_interval_ms: String,
}

/// The parsed settings.
#[derive(Debug, Clone)]
pub struct SchedulingSettings {
    pub sending_hours: SendingHours,
    /// The time from the end of an event to its follow-up.
    pub after_event: TimeDelta,
    /// Claims before a follow-up is FAILED.
    pub attempts_max: i32,
    pub retention: RetentionSettings,
}

/// How long finished follow-ups, keys and conversations are kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// For finished follow-ups. Not shorter than `keys`, because a repeated call must find its follow-up.
    pub follow_ups: Duration,
    /// For idempotency keys.
    pub keys: Duration,
    /// For conversations, since the last change; `None`: always.
    pub conversations: Option<Duration>,
    /// How often older ones are removed.
    pub interval: Duration,
}

impl Default for SchedulingSettings {
    fn default() -> Self {
        Self {
            sending_hours: SendingHours::default(),
            after_event: TimeDelta::hours(24),
            attempts_max: 5,
            retention: RetentionSettings {
                follow_ups: HOUR * 24 * 90,
                keys: HOUR * 72,
                conversations: None,
                interval: HOUR / 60,
            },
        }
    }
}

impl SchedulingSettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub fn parse(args: &SchedulingArgs, problems: &mut Problems) -> Option<Self> {
        let must = "must be two times of a day, such as 09:00-21:00, the first before the second";
        let sending_hours = problems.parse("FOLLOW_UP_SENDING_HOURS", &args.follow_up_sending_hours, must);
        let minutes = &args.follow_up_after_event_minutes;
        let after_event = problems.number("FOLLOW_UP_AFTER_EVENT_MINUTES", minutes, "minutes", 0, YEAR_MINUTES);
        let attempts_max = problems.number("FOLLOW_UP_ATTEMPTS_MAX", &args.follow_up_attempts_max, "attempts", 1, 100);
        let retention = RetentionSettings::parse(args, problems);
        Some(Self {
            sending_hours: sending_hours?,
            after_event: TimeDelta::minutes(after_event?.cast_signed()),
            attempts_max: i32::try_from(attempts_max?).ok()?,
            retention: retention?,
        })
    }
}

impl RetentionSettings {
    fn parse(args: &SchedulingArgs, problems: &mut Problems) -> Option<Self> {
        let days = problems.number("FOLLOW_UP_KEEP_DAYS", &args.follow_up_keep_days, "days", 3, 3650);
        let hours = problems.number("IDEMPOTENCY_KEEP_HOURS", &args.idempotency_keep_hours, "hours", 72, 8760);
        let conversations = problems.number("CONVERSATION_KEEP_DAYS", &args.conversation_keep_days, "days", 0, 36_500);
        let interval = problems.millis("RETENTION_INTERVAL_MS", &args.retention_interval_ms, 10, 86_400_000);
        let (follow_ups, keys) = (Duration::from_hours(days? * 24), Duration::from_hours(hours?));
        if follow_ups < keys {
            problems.add("FOLLOW_UP_KEEP_DAYS", "must not be less than IDEMPOTENCY_KEEP_HOURS");
            return None;
        }
        let conversations = Some(conversations?).filter(|days| *days > 0).map(|days| Duration::from_hours(24 * days));
        Some(Self { follow_ups, keys, conversations, interval: interval? })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn parse(given: &[&str]) -> Result<SchedulingSettings, String> {
        let command = SchedulingArgs::augment_args(clap::Command::new("test").no_binary_name(true));
        let args = SchedulingArgs::from_arg_matches(&command.get_matches_from(given)).expect("known flags");
        let mut problems = Problems::default();
        let settings = SchedulingSettings::parse(&args, &mut problems);
        problems.finish().map_err(|problems| problems.to_string())?;
        Ok(settings.expect("without problems there are settings"))
    }

    #[test]
    fn the_defaults_of_the_arguments_equal_the_defaults_of_the_struct() {
        assert_eq!(format!("{:?}", parse(&[]).expect("good")), format!("{:?}", SchedulingSettings::default()));
    }

    #[test]
    fn every_bad_setting_is_reported_by_name() {
        let problems = parse(&[
            "--follow-up-sending-hours=9-21",
            "--follow-up-after-event-minutes=-1",
            "--follow-up-attempts-max=0",
            "--follow-up-keep-days=2",
            "--idempotency-keep-hours=71",
            "--conversation-keep-days=-1",
            "--retention-interval-ms=0",
        ])
        .expect_err("bad");
        for name in [
            "FOLLOW_UP_SENDING_HOURS",
            "FOLLOW_UP_AFTER_EVENT_MINUTES",
            "FOLLOW_UP_ATTEMPTS_MAX",
            "FOLLOW_UP_KEEP_DAYS",
            "IDEMPOTENCY_KEEP_HOURS",
            "CONVERSATION_KEEP_DAYS",
            "RETENTION_INTERVAL_MS",
        ] {
            assert!(problems.contains(name), "{name} is missing from: {problems}");
        }
    }

    #[test]
    fn follow_ups_must_not_be_kept_shorter_than_idempotency_keys() {
        assert!(parse(&["--follow-up-keep-days=3", "--idempotency-keep-hours=72"]).is_ok());
        assert!(parse(&["--follow-up-keep-days=3", "--idempotency-keep-hours=73"]).is_err());
    }
}
