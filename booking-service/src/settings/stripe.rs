use std::{path::PathBuf, time::Duration};

use clap::Args;
use teppan_shared::config::Problems;

use crate::domain::{StripeAccount, StripeSecrets};

/// How often an event is tried by default: for longer than Stripe itself sends events again, so that what it
/// waits for had every chance to come. An attempt during which the database went away does not count; but one
/// that nobody could put back does, and has only its lease for a pause.
pub const STRIPE_ATTEMPTS_MAX: i32 = 160;

/// How payments through Stripe are heard of.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// Without any the webhook takes nothing.
    pub secrets: StripeSecrets,
    /// The mode and the account whose events are applied.
    pub account: StripeAccount,
    /// How often events that are due are looked for without being told of any.
    pub interval: Duration,
    /// Attempts before an event becomes a dead letter.
    pub attempts_max: i32,
    /// How long events are kept at least.
    pub keep: Duration,
}

/// Settings of Stripe as they are given.
#[derive(Args)]
pub(super) struct StripeArgs {
    /// Signing secret of the webhook at /webhooks/stripe on HTTP_ADDR; while it is rotated the new and the
    /// old one, separated by a comma. Without it the webhook takes nothing
    #[arg(long, env = "STRIPE_WEBHOOK_SECRETS", hide_env_values = true, value_name = "SECRETS", global = true)]
    stripe_webhook_secrets: Option<String>,
    /// File that holds STRIPE_WEBHOOK_SECRETS
    #[arg(long, env = "STRIPE_WEBHOOK_SECRETS_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    stripe_webhook_secrets_file: Option<PathBuf>,
    /// true: only events of Stripe's live mode are taken, where money moves. false: only those of its test mode, to try
    /// things out, as `stripe listen` sends them
    #[arg(
        long,
        env = "STRIPE_LIVEMODE",
        hide_env_values = true,
        default_value = "true",
        value_name = "BOOL",
        global = true
    )]
    stripe_livemode: String,
    /// The connected account (acct_...) whose events are taken, where a Connect platform receives them. Without it only
    /// events of the account itself are taken
    #[arg(long, env = "STRIPE_ACCOUNT", hide_env_values = true, value_name = "ACCOUNT", global = true)]
    stripe_account: Option<String>,
    /// How often events of Stripe's are looked for that became due, or that other processes left
    #[arg(long, env = "STRIPE_EVENTS_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    stripe_events_interval_ms: String,
    /// Attempts to apply an event of Stripe's before it becomes a dead letter; the default takes more than three days,
    /// or less when the process or the database is lost again and again during them
    #[arg(long, env = "STRIPE_EVENTS_ATTEMPTS_MAX", hide_env_values = true, default_value = "160", global = true)]
    stripe_events_attempts_max: String,
    /// How long events of Stripe's that are done are kept at least; dead letters stay
    #[arg(long, env = "STRIPE_EVENTS_KEEP_DAYS", hide_env_values = true, default_value = "90", global = true)]
    stripe_events_keep_days: String,
}

impl StripeArgs {
    /// `None` when something was wrong, which `problems` then names.
    pub(super) fn parse(&self, problems: &mut Problems) -> Option<StripeSettings> {
        let (value, file) = (self.stripe_webhook_secrets.as_deref(), self.stripe_webhook_secrets_file.as_deref());
        let secrets = match problems.secret("STRIPE_WEBHOOK_SECRETS", value, file) {
            None => Some(StripeSecrets::default()),
            Some(raw) => StripeSecrets::parse(&raw).map_err(|must| problems.add("STRIPE_WEBHOOK_SECRETS", must)).ok(),
        };
        let live = match self.stripe_livemode.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                problems.add("STRIPE_LIVEMODE", "must be true or false");
                None
            }
        };
        let connected = self.stripe_account.as_deref().filter(|account| !account.is_empty());
        if connected.is_some_and(|it| !it.starts_with("acct_") || !it.bytes().all(|byte| byte.is_ascii_graphic())) {
            problems.add("STRIPE_ACCOUNT", "must be the id of a Stripe account, such as acct_1032D82eZvKYlo2C");
        }
        let interval = problems.millis("STRIPE_EVENTS_INTERVAL_MS", &self.stripe_events_interval_ms, 10, 60_000);
        let attempts = &self.stripe_events_attempts_max;
        let attempts = problems.number("STRIPE_EVENTS_ATTEMPTS_MAX", attempts, "attempts", 1, 10_000);
        // Stripe sends an event again for three days.
        let keep = problems.number("STRIPE_EVENTS_KEEP_DAYS", &self.stripe_events_keep_days, "days", 4, 3650);
        Some(StripeSettings {
            secrets: secrets?,
            account: StripeAccount { live: live?, connected: connected.map(str::to_owned) },
            interval: interval?,
            attempts_max: i32::try_from(attempts?).ok()?,
            keep: Duration::from_hours(keep? * 24),
        })
    }
}

impl Default for StripeSettings {
    fn default() -> Self {
        Self {
            secrets: StripeSecrets::default(),
            account: StripeAccount { live: true, connected: None },
            interval: Duration::from_secs(1),
            attempts_max: STRIPE_ATTEMPTS_MAX,
            keep: Duration::from_hours(90 * 24),
        }
    }
}
