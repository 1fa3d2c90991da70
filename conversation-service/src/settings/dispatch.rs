//! Settings of the follow-up clock, of senders, and of re-engagement.

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;
use clap::Args;
use teppan_shared::config::Problems;

use crate::{domain::TimeZone, follow_ups::TemplateFile};

/// The settings, not yet validated.
#[derive(Args)]
pub struct DispatchArgs {
    /// How often the service checks for follow-ups that are due, were missed, or whose lease expired
    #[arg(long, env = "FOLLOW_UP_CLOCK_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    follow_up_clock_interval_ms: String,
    /// How long after its due time an unsent follow-up ends as MISSED
    #[arg(long, env = "FOLLOW_UP_MISSED_AFTER_HOURS", hide_env_values = true, default_value = "72", global = true)]
    follow_up_missed_after_hours: String,
    /// Pause after the first failed attempt to send a follow-up; it doubles with each attempt, and is
    /// shortened at random by up to a half
    #[arg(long, env = "FOLLOW_UP_BACKOFF_FIRST_MS", hide_env_values = true, default_value = "60000", global = true)]
    follow_up_backoff_first_ms: String,
    /// Longest pause between attempts
    #[arg(long, env = "FOLLOW_UP_BACKOFF_MAX_MS", hide_env_values = true, default_value = "3600000", global = true)]
    follow_up_backoff_max_ms: String,
    /// File with the texts of follow-ups, in the format of conversation-service/templates/follow_ups.toml, which is the
    /// default. It is read again when it changes
    #[arg(long, env = "FOLLOW_UP_TEMPLATES", hide_env_values = true, value_name = "PATH", global = true)]
    follow_up_templates: Option<PathBuf>,
    /// Send a follow-up to customers who have agreed to marketing and have not written for this many days; 0 for never
    #[arg(long, env = "REENGAGEMENT_AFTER_DAYS", hide_env_values = true, default_value = "30", global = true)]
    reengagement_after_days: String,
    /// Time zone of the sending hours of such follow-ups, by its IANA name
    #[arg(long, env = "REENGAGEMENT_TIME_ZONE", hide_env_values = true, default_value = "UTC", global = true)]
    reengagement_time_zone: String,
    /// How often the service checks for such customers
    #[arg(long, env = "REENGAGEMENT_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    reengagement_interval_ms: String,
}

/// The parsed settings.
#[derive(Debug, Clone)]
pub struct DispatchSettings {
    pub clock_interval: Duration,
    pub missed_after: TimeDelta,
    pub backoff: FollowUpBackoff,
    pub templates: TemplateFile,
    /// `None` means never.
    pub reengagement_after: Option<TimeDelta>,
    pub reengagement_time_zone: TimeZone,
    pub reengagement_interval: Duration,
}

/// Pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct FollowUpBackoff {
    pub first: Duration,
    pub max: Duration,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            clock_interval: Duration::from_secs(1),
            missed_after: TimeDelta::hours(72),
            backoff: FollowUpBackoff { first: Duration::from_mins(1), max: Duration::from_hours(1) },
            templates: TemplateFile::built_in(),
            reengagement_after: Some(TimeDelta::days(30)),
            reengagement_time_zone: TimeZone::utc(),
            reengagement_interval: Duration::from_mins(1),
        }
    }
}

impl DispatchSettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub fn parse(args: &DispatchArgs, problems: &mut Problems) -> Option<Self> {
        let clock_interval =
            problems.millis("FOLLOW_UP_CLOCK_INTERVAL_MS", &args.follow_up_clock_interval_ms, 10, 3_600_000);
        let missed_after =
            problems.number("FOLLOW_UP_MISSED_AFTER_HOURS", &args.follow_up_missed_after_hours, "hours", 1, 8784);
        let first = problems.millis("FOLLOW_UP_BACKOFF_FIRST_MS", &args.follow_up_backoff_first_ms, 1, 86_400_000);
        let max = problems.millis("FOLLOW_UP_BACKOFF_MAX_MS", &args.follow_up_backoff_max_ms, 1, 604_800_000);
        if first.zip(max).is_some_and(|(first, max)| first > max) {
            problems.add("FOLLOW_UP_BACKOFF_MAX_MS", "must not be less than FOLLOW_UP_BACKOFF_FIRST_MS");
        }
        let templates = parse_templates(args.follow_up_templates.clone(), problems);
        let after = problems.number("REENGAGEMENT_AFTER_DAYS", &args.reengagement_after_days, "days", 0, 3660);
        let zone = TimeZone::parse(&args.reengagement_time_zone)
            .map_err(|must| problems.add("REENGAGEMENT_TIME_ZONE", must))
            .ok();
        let reengagement_interval =
            problems.millis("REENGAGEMENT_INTERVAL_MS", &args.reengagement_interval_ms, 10, 86_400_000);
        Some(Self {
            clock_interval: clock_interval?,
            missed_after: TimeDelta::hours(missed_after?.cast_signed()),
            backoff: FollowUpBackoff { first: first?, max: max? },
            templates: templates?,
            reengagement_after: Some(after?).filter(|days| *days > 0).map(|days| TimeDelta::days(days.cast_signed())),
            reengagement_time_zone: zone?,
            reengagement_interval: reengagement_interval?,
        })
    }
}

fn parse_templates(path: Option<PathBuf>, problems: &mut Problems) -> Option<TemplateFile> {
    match path.filter(|path| !path.as_os_str().is_empty()).map(TemplateFile::open) {
        None => Some(TemplateFile::built_in()),
        Some(Ok(file)) => Some(file),
        Some(Err(faults)) => {
            for fault in faults {
                problems.add("FOLLOW_UP_TEMPLATES", fault);
            }
            None
        }
    }
}
