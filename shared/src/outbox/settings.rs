use std::time::Duration;

use clap::Args;

use crate::config::Problems;

/// How relays deliver messages.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Relays of this process for each destination; with 0 other processes deliver.
    pub relays: usize,
    /// How often a relay looks for due messages without a nudge.
    pub interval: Duration,
    /// The time limit of one delivery.
    pub delivery_timeout: Duration,
    /// Attempts before a message becomes a dead letter.
    pub attempts_max: i32,
    /// The most deliveries a second of this process to each destination.
    pub per_second_max: u32,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            relays: 2,
            interval: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(5),
            attempts_max: 12,
            per_second_max: 500,
        }
    }
}

/// The settings of relays, not yet validated.
#[derive(Args)]
pub struct RelayArgs {
    /// Relays of this process for each destination; with 0 other processes deliver
    #[arg(long, env = "OUTBOX_RELAYS", hide_env_values = true, default_value = "2", global = true)]
    outbox_relays: String,
    /// How often a relay looks for messages that became due or that another process did not deliver
    #[arg(long, env = "OUTBOX_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    outbox_interval_ms: String,
    /// Longest time one delivery may take
    #[arg(long, env = "OUTBOX_DELIVERY_TIMEOUT_MS", hide_env_values = true, default_value = "5000", global = true)]
    outbox_delivery_timeout_ms: String,
    /// Attempts before a message becomes a dead letter
    #[arg(long, env = "OUTBOX_ATTEMPTS_MAX", hide_env_values = true, default_value = "12", global = true)]
    outbox_attempts_max: String,
    /// Most deliveries of this process to each destination in a second, so that a backlog does not overload it
    #[arg(
        long,
        env = "OUTBOX_DELIVERIES_PER_SECOND_MAX",
        hide_env_values = true,
        default_value = "500",
        global = true
    )]
    outbox_deliveries_per_second_max: String,
}

impl RelayArgs {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub fn parse(&self, problems: &mut Problems) -> Option<RelaySettings> {
        let relays = problems.number("OUTBOX_RELAYS", &self.outbox_relays, "relays", 0, 64);
        let interval = problems.millis("OUTBOX_INTERVAL_MS", &self.outbox_interval_ms, 10, 60_000);
        let timeout = problems.millis("OUTBOX_DELIVERY_TIMEOUT_MS", &self.outbox_delivery_timeout_ms, 10, 60_000);
        let attempts = problems.number("OUTBOX_ATTEMPTS_MAX", &self.outbox_attempts_max, "attempts", 1, 1000);
        let rate = &self.outbox_deliveries_per_second_max;
        let rate = problems.number("OUTBOX_DELIVERIES_PER_SECOND_MAX", rate, "deliveries", 1, 100_000);
        Some(RelaySettings {
            relays: usize::try_from(relays?).ok()?,
            interval: interval?,
            delivery_timeout: timeout?,
            attempts_max: i32::try_from(attempts?).ok()?,
            per_second_max: u32::try_from(rate?).ok()?,
        })
    }
}
