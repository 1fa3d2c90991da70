use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::Interrupt;
use crate::{
    clients,
    launch::{LaunchError, Process, Shown, Which},
};

/// The bound from listening to readiness, migrations included.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// The addresses and settings of a service. Without addresses it listens on free ports.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub settings: HashMap<String, String>,
}

impl Given {
    fn environment(&self) -> HashMap<String, String> {
        let settings = [("LISTEN_ADDR", self.grpc), ("HTTP_ADDR", self.http)];
        let given = settings.into_iter().filter_map(|(name, address)| Some((name.to_owned(), address?.to_string())));
        // No load balancer is involved, so the shutdown pause is off unless the environment sets it.
        let pause = std::env::var("SHUTDOWN_PAUSE_MS").unwrap_or_else(|_| "0".to_owned());
        let settings = self.settings.clone().into_iter();
        given.chain([("SHUTDOWN_PAUSE_MS".to_owned(), pause)]).chain(settings).collect()
    }
}

/// A service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("{service} at {address} is not ready: its health was not SERVING within {} s", READY_TIMEOUT.as_secs())]
    NotReady { service: &'static str, address: SocketAddr },
}

/// Both services, started by this tool.
///
/// [`Services::stop`] waits for their end; dropping them only signals them to stop.
pub struct Services {
    pub booking: Process,
    pub conversation: Process,
    /// The time from the start until both are ready.
    pub started_in: Duration,
}

impl Services {
    /// Starts both, and waits until both are ready. If one is not, the other is stopped.
    pub async fn start(booking: &Given, conversation: &Given, shown: Shown) -> Result<Self, StartError> {
        let started = Instant::now();
        let conversation = Process::start_showing(Which::Conversation, &conversation.environment(), shown).await?;
        // booking-service sends to conversation-service, whatever its address.
        let mut environment = booking.environment();
        environment.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{}", conversation.grpc));
        let booking = match Process::start_showing(Which::Booking, &environment, shown).await {
            Ok(booking) => booking,
            Err(error) => {
                conversation.stop().await;
                return Err(error.into());
            }
        };
        let ready = tokio::try_join!(
            wait_until_serving(Which::Booking.binary(), booking.grpc),
            wait_until_serving(Which::Conversation.binary(), conversation.grpc),
        );
        let services = Self { booking, conversation, started_in: started.elapsed() };
        if let Err(error) = ready {
            services.booking.stop().await;
            services.conversation.stop().await;
            return Err(error);
        }
        Ok(services)
    }

    /// Stops both in order: first booking-service, which sends to the other. Each gets its full drain time, unless the
    /// tool is interrupted again. Returns `true` when both exit with code 0.
    pub async fn stop(self, interrupt: &Interrupt) -> bool {
        let booking = self.booking.stop_or_abort(interrupt.interrupted_again()).await;
        let conversation = self.conversation.stop_or_abort(interrupt.interrupted_again()).await;
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

/// Waits until the health of a service is SERVING.
pub async fn wait_until_serving(service: &'static str, address: SocketAddr) -> Result<(), StartError> {
    let mut health = HealthClient::new(clients::channel(address));
    let serving = async {
        loop {
            // The empty name means the whole server.
            let answer = health.check(HealthCheckRequest { service: String::new() }).await;
            if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                return;
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
    };
    tokio::time::timeout(READY_TIMEOUT, serving).await.map_err(|_| StartError::NotReady { service, address })
}
