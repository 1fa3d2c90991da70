//! A client that uses tonic. tonic balances over replicas but does not retry, so this client retries by itself.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::try_join_all;
use teppan_shared::contract::conversation::v1::conversation_service_client::ConversationServiceClient;
use teppan_tests::{fixtures, harness};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

const WORKERS: usize = 8;
const ATTEMPTS_MAX: u32 = 5;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The pause before another attempt, or `None` if a retry cannot help. An error of the service has an `ErrorInfo`, and
/// a `RetryInfo` if a retry may help. A status without `ErrorInfo` comes from the transport and may be retried.
fn retry_after(status: &Status, attempt: u32) -> Option<Duration> {
    let backoff = FIRST_BACKOFF * 2_u32.pow(attempt);
    match (status.get_details_error_info(), status.get_details_retry_info()) {
        (_, Some(info)) => Some(info.retry_delay.unwrap_or(backoff)),
        (None, None) => Some(backoff),
        (Some(_), None) => None,
    }
}

/// Workers that store messages until the client is ended.
pub struct Client {
    answered: Arc<AtomicU64>,
    stop: CancellationToken,
    working: AbortOnDropHandle<Result<(), Status>>,
}

impl Client {
    pub fn start(replicas: &[SocketAddr]) -> Self {
        let endpoints = replicas.iter().map(|address| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
            endpoint.connect_timeout(Duration::from_secs(1)).tcp_nodelay(true)
        });
        let channel = Channel::balance_list(endpoints);
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let working = TaskTracker::new().spawn({
            let (answered, stop) = (Arc::clone(&answered), stop.clone());
            async move {
                let workers = (0..WORKERS).map(|_| work(channel.clone(), &answered, &stop));
                try_join_all(workers).await.map(|_| ())
            }
        });
        Self { answered, stop, working: AbortOnDropHandle::new(working) }
    }

    /// Waits until `more` further calls were answered, or until one has failed.
    pub async fn wait_for_answers(&self, more: u64) {
        let enough = self.answered.load(Relaxed) + more;
        harness::eventually("calls are answered", async || {
            self.answered.load(Relaxed) >= enough || self.working.is_finished()
        })
        .await;
    }

    /// Ends the client. Returns the number of answered calls, or the first error.
    pub async fn end(self) -> Result<u64, Status> {
        self.stop.cancel();
        self.working.await.expect("no panic")?;
        Ok(self.answered.load(Relaxed))
    }
}

async fn work(channel: Channel, answered: &AtomicU64, stop: &CancellationToken) -> Result<(), Status> {
    let client = ConversationServiceClient::new(channel);
    let chat = fixtures::conversation_id();
    while !stop.is_cancelled() {
        let message = fixtures::message(&chat, "Hello");
        let mut attempt = 0;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(CALL_TIMEOUT);
            let Err(status) = client.clone().store_message(request).await else { break };
            attempt += 1;
            let Some(pause) = retry_after(&status, attempt).filter(|_| attempt < ATTEMPTS_MAX) else {
                return Err(status);
            };
            tokio::time::sleep(pause).await;
        }
        answered.fetch_add(1, Relaxed);
    }
    Ok(())
}
