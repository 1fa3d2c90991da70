use std::{path::PathBuf, time::Duration};

use clap::Args;
use teppan_shared::{
    config::Problems,
    nats::{NatsSettings, is_nats_url},
};

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
    /// NATS servers with JetStream, as nats://user:password@host:port with commas in between. With it
    /// every event is published there, from then on
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL", global = true)]
    nats_url: Option<String>,
    /// File that holds NATS_URL
    #[arg(long, env = "NATS_URL_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    nats_url_file: Option<PathBuf>,
    /// Stream on NATS that takes the events in; it is made when it is not there
    #[arg(long, env = "NATS_STREAM", hide_env_values = true, default_value = "TEPPAN_EVENTS", global = true)]
    nats_stream: String,
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
        let nats = self.nats(problems);
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

    /// `Some(None)` when none is given.
    fn nats(&self, problems: &mut Problems) -> Option<Option<NatsSettings>> {
        let url = problems.secret("NATS_URL", self.nats_url.as_deref(), self.nats_url_file.as_deref());
        let stream = self.nats_stream.trim().to_owned();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let named = (1..=100).contains(&stream.len()) && stream.bytes().all(allowed);
        if !named {
            problems.add("NATS_STREAM", "must be 1 to 100 ASCII letters, digits, underscores and hyphens");
        }
        let Some(url) = url else { return named.then_some(None) };
        if !is_nats_url(&url) {
            problems.add("NATS_URL", "must be nats://user:password@host:port, or several with commas in between");
            return None;
        }
        named.then_some(Some(NatsSettings { url, stream }))
    }
}

/// Never shorter than a client may retry.
pub(super) fn parse_keep(raw: &str, problems: &mut Problems) -> Option<Duration> {
    problems.number("IDEMPOTENCY_KEEP_HOURS", raw, "hours", 72, 87_600).map(Duration::from_hours)
}
