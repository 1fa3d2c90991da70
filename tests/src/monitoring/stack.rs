use std::collections::HashMap;

use rand::distr::{Alphanumeric, SampleString as _};
use secrecy::ExposeSecret as _;
use teppan_shared::embedded::{Durability, EmbeddedError, ThrowawayServer};

use super::{Alertmanager, Pace, ProgramError, Prometheus, SECRET};
use crate::{
    harness,
    launch::{LaunchError, Process, Shown, Which},
    nats_server::NatsServer,
    tool::{StartError, wait_until_serving},
};

/// A part of a stack did not start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error(transparent)]
    Postgres(#[from] EmbeddedError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Both services, their databases and NATS, Prometheus and Alertmanager. [`Stack::stop`] waits for their end; dropping
/// the stack only signals them to stop.
pub struct Stack {
    pub postgres: ThrowawayServer,
    pub booking: Process,
    pub conversation: Process,
    pub prometheus: Prometheus,
    pub alertmanager: Alertmanager,
    _nats: NatsServer,
}

impl Stack {
    /// Starts everything on free loopback ports. Both services also get these settings, and Prometheus also uses these
    /// `scrape_configs`, in YAML.
    pub async fn start(
        pace: Pace,
        settings: &[(&str, &str)],
        also_scraped: &str,
        shown: Shown,
    ) -> Result<Self, StackError> {
        let postgres = ThrowawayServer::start(&harness::home(), Durability::Volatile).await?;
        let nats = NatsServer::start().await;
        let environment = |database: &str, own: &[(&str, &str)]| -> HashMap<String, String> {
            let url = postgres.url(database).expose_secret().to_owned();
            let keys = [("ENCRYPTION_KEYS", format!("1:{}", random_key()))];
            let given = [("SHUTDOWN_PAUSE_MS", "0"), ("BACKLOG_INTERVAL_MS", "500")];
            let given = given.iter().chain(own).chain(settings).map(|(name, value)| (*name, (*value).to_owned()));
            let given = keys.into_iter().chain([("DATABASE_URL", url), ("NATS_URL", nats.url())]).chain(given);
            given.map(|(name, value)| (name.to_owned(), value)).collect()
        };
        postgres.ensure_database("conversation").await?;
        postgres.ensure_database("booking").await?;
        let of_conversation = environment("conversation", &[("FOLLOW_UP_SENDING_HOURS", "00:00-24:00")]);
        let conversation = Process::start_showing(Which::Conversation, &of_conversation, shown).await?;
        let receiver = format!("http://{}", conversation.grpc);
        let of_booking = environment(
            "booking",
            &[
                ("CONVERSATION_SERVICE_URL", &receiver),
                ("STRIPE_WEBHOOK_SECRETS", SECRET),
                ("STRIPE_LIVEMODE", "false"),
            ],
        );
        let booking = Process::start_showing(Which::Booking, &of_booking, shown).await?;
        wait_until_serving(Which::Conversation.binary(), conversation.grpc).await?;
        wait_until_serving(Which::Booking.binary(), booking.grpc).await?;
        let alertmanager = Alertmanager::start(pace).await?;
        let addresses = [
            ("127.0.0.1:9051", booking.http),
            ("127.0.0.1:9052", conversation.http),
            ("127.0.0.1:9093", alertmanager.address()),
        ];
        let prometheus = Prometheus::start(&addresses, also_scraped, pace).await?;
        Ok(Self { postgres, booking, conversation, prometheus, alertmanager, _nats: nats })
    }

    /// Stops everything; services stop before those that they send to. Returns `true` when both services exit with code
    /// 0.
    pub async fn stop(self) -> bool {
        let booking = self.booking.stop().await;
        let conversation = self.conversation.stop().await;
        self.prometheus.stop().await;
        self.alertmanager.stop().await;
        self.postgres.close().await;
        booking && conversation
    }

    /// Waits until a service ends by itself, and returns its name.
    pub async fn either_ended(&mut self) -> &'static str {
        tokio::select! {
            _ = self.booking.ended() => Which::Booking.binary(),
            _ = self.conversation.ended() => Which::Conversation.binary(),
        }
    }
}

/// A random key of 32 bytes in base64. Every such text ends in one of a few letters and `=`; this one always has `A=`.
fn random_key() -> String {
    format!("{}A=", Alphanumeric.sample_string(&mut rand::rng(), 42))
}
