use std::time::Duration;

use clap::Args;
use teppan_shared::{config::Problems, nats::NatsArgs};

use crate::outbox::{FollowUpScheduling, OutboxSettings};

/// Settings of the outbox as they are given.
#[derive(Args)]
pub(super) struct OutboxArgs {
    /// When the follow-up of a new booking is scheduled: background (soon after the reply) or inline (before it)
    #[arg(long, env = "FOLLOW_UP_SCHEDULING", hide_env_values = true, default_value = "background", global = true)]
    follow_up_scheduling: String,
    /// Address of conversation-service, where follow-ups are scheduled
    #[arg(
        long,
        env = "CONVERSATION_SERVICE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50052",
        value_name = "URL",
        global = true
    )]
    conversation_service_url: String,
    #[command(flatten)]
    nats: NatsArgs,
    /// Relays of this process for each destination; with 0 it leaves delivery to other processes
    #[arg(long, env = "OUTBOX_RELAYS", hide_env_values = true, default_value = "2", global = true)]
    outbox_relays: String,
    /// How often messages are looked for that became due, or that other processes left
    #[arg(long, env = "OUTBOX_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    outbox_interval_ms: String,
    /// Longest time one delivery may take
    #[arg(long, env = "OUTBOX_DELIVERY_TIMEOUT_MS", hide_env_values = true, default_value = "5000", global = true)]
    outbox_delivery_timeout_ms: String,
    /// Attempts before a message becomes a dead letter
    #[arg(long, env = "OUTBOX_ATTEMPTS_MAX", hide_env_values = true, default_value = "12", global = true)]
    outbox_attempts_max: String,
    /// Deliveries of this process to each destination in a second, so that a backlog drains gently
    #[arg(
        long,
        env = "OUTBOX_DELIVERIES_PER_SECOND_MAX",
        hide_env_values = true,
        default_value = "500",
        global = true
    )]
    outbox_deliveries_per_second_max: String,
}

impl OutboxArgs {
    /// `None` when something was wrong, which `problems` then names.
    pub(super) fn parse(&self, problems: &mut Problems) -> Option<OutboxSettings> {
        let follow_ups = match self.follow_up_scheduling.as_str() {
            "background" => Some(FollowUpScheduling::Background),
            "inline" => Some(FollowUpScheduling::Inline),
            _ => {
                problems.add("FOLLOW_UP_SCHEDULING", "must be background or inline");
                None
            }
        };
        let url = self.conversation_service_url(problems);
        let nats = self.nats.parse(problems);
        let relays = problems.number("OUTBOX_RELAYS", &self.outbox_relays, "relays", 0, 64);
        let interval = problems.millis("OUTBOX_INTERVAL_MS", &self.outbox_interval_ms, 10, 60_000);
        let timeout = problems.millis("OUTBOX_DELIVERY_TIMEOUT_MS", &self.outbox_delivery_timeout_ms, 10, 60_000);
        let attempts = problems.number("OUTBOX_ATTEMPTS_MAX", &self.outbox_attempts_max, "attempts", 1, 1000);
        let rate = &self.outbox_deliveries_per_second_max;
        let rate = problems.number("OUTBOX_DELIVERIES_PER_SECOND_MAX", rate, "deliveries", 1, 100_000);
        Some(OutboxSettings {
            follow_ups: follow_ups?,
            conversation_service_url: url?,
            nats: nats?,
            relays: usize::try_from(relays?).ok()?,
            interval: interval?,
            delivery_timeout: timeout?,
            attempts_max: i32::try_from(attempts?).ok()?,
            per_second_max: u32::try_from(rate?).ok()?,
        })
    }

    fn conversation_service_url(&self, problems: &mut Problems) -> Option<http::Uri> {
        let url = self.conversation_service_url.trim().parse::<http::Uri>().ok();
        let url = url.filter(|url| url.scheme_str() == Some("http") && url.authority().is_some());
        if url.is_none() {
            problems.add("CONVERSATION_SERVICE_URL", "must be a URL such as http://127.0.0.1:50052");
        }
        url
    }
}

/// Never shorter than a client may retry.
pub(super) fn parse_keep(raw: &str, problems: &mut Problems) -> Option<Duration> {
    problems.number("IDEMPOTENCY_KEEP_HOURS", raw, "hours", 72, 87_600).map(Duration::from_hours)
}
