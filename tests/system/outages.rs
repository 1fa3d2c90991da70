//! The database becomes unavailable and available again under load.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::future::join_all;
use teppan_tests::{
    clients, fixtures,
    harness::{self, Conversation},
    proxy::Proxy,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt as _;

const WORKERS: usize = 30;
const DEADLINE: Duration = Duration::from_millis(500);
/// Connections for calls; readiness has one more, and cancelling statements has one more.
const CONNECTIONS_MAX: u32 = 4;
const ALL_CONNECTIONS: usize = 4 + 2;

async fn service() -> (Proxy, Conversation) {
    Conversation::behind_a_proxy(|settings| {
        settings.database_limits.max_connections = CONNECTIONS_MAX;
        settings.database_limits.min_connections = 2;
        settings.database_limits.acquire_timeout = Duration::from_secs(2);
        settings.server.request_timeout = Duration::from_secs(10);
    })
    .await
}

/// The numbers of calls that were answered, and that failed.
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Load {
    /// Stores messages until `stop` is cancelled. Every failure must allow a retry.
    async fn run(&self, conversation: &Conversation, stop: &CancellationToken) {
        join_all((0..WORKERS).map(async |_| {
            let chat = fixtures::conversation_id();
            while !stop.is_cancelled() {
                match store(conversation, &chat).await {
                    Ok(()) => self.answered.fetch_add(1, Relaxed),
                    Err(status) => {
                        let in_time = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
                        assert!(in_time || status.get_details_retry_info().is_some(), "{status:?}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        self.failed.fetch_add(1, Relaxed)
                    }
                };
            }
        }))
        .await;
    }

    async fn more(&self, counter: impl Fn(&Self) -> &AtomicUsize, what: &str) {
        let enough = counter(self).load(Relaxed) + 2 * WORKERS;
        harness::eventually(what, async || counter(self).load(Relaxed) >= enough).await;
    }
}

async fn store(conversation: &Conversation, chat: &str) -> Result<(), Status> {
    let mut request = Request::new(fixtures::message(chat, "Hello"));
    request.set_timeout(DEADLINE);
    conversation.client.clone().store_message(request).await.map(|_| ())
}

async fn health(conversation: &Conversation, service: &str) -> ServingStatus {
    let mut health = HealthClient::new(clients::channel(conversation.service.server.grpc_addr));
    let request = HealthCheckRequest { service: service.to_owned() };
    health.check(request).await.expect("health answers").into_inner().status()
}

async fn until(conversation: &Conversation, expected: ServingStatus) {
    harness::eventually("readiness follows", async || health(conversation, "").await == expected).await;
    assert_eq!(health(conversation, "liveness").await, ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_kind_of_outage_ends_by_itself_and_leaves_no_connection_behind() {
    let (proxy, conversation) = service().await;
    let (load, stop) = (Load::default(), CancellationToken::new());
    let outages = async {
        load.more(|load| &load.answered, "calls are answered").await;
        for outage in ["stalled", "forgotten", "cut", "refused", "slow"] {
            match outage {
                "stalled" | "forgotten" => proxy.stall(),
                "cut" => proxy.cut().await,
                "refused" => proxy.refuse().await.expect("the port is kept"),
                // Slower than the timeout of the readiness check.
                _ => proxy.set_round_trip_time(Duration::from_millis(1500)),
            }
            until(&conversation, ServingStatus::NotServing).await;
            load.more(|load| &load.failed, "calls fail").await;
            let opened = proxy.opened();
            let back = Instant::now();
            match outage {
                "forgotten" => proxy.drop_existing(),
                "slow" => proxy.set_round_trip_time(Duration::ZERO),
                _ => proxy.restore(),
            }
            until(&conversation, ServingStatus::Serving).await;
            load.more(|load| &load.answered, "calls are answered again").await;
            harness::eventually("abandoned connections are closed", async || proxy.connections() <= ALL_CONNECTIONS)
                .await;
            let reopened = proxy.opened() - opened;
            println!("{outage}: back after {:?}, with {reopened} new connections", back.elapsed());
            // Each connection is opened once, and once more if its first attempt was still under way.
            assert!(reopened <= 2 * (u64::from(CONNECTIONS_MAX) + 2), "{outage}: {reopened}");
        }
        stop.cancel();
    };
    tokio::join!(load.run(&conversation, &stop), outages);
    let count = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    harness::eventually("the server has closed them too", async || {
        conversation.scalar::<i64>(count).await <= i64::from(CONNECTIONS_MAX) + 2
    })
    .await;
}
