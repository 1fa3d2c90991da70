//! Both services with a private PostgreSQL, NATS and a receiver of traces, all with files of their own.

use std::{fs::File, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;
use teppan_shared::contract::{
    booking::v1::{GetOutboxStatusRequest, outbox_service_client::OutboxServiceClient},
    conversation::v1::{
        GetOutboxStatusRequest as ConversationStatusRequest,
        outbox_service_client::OutboxServiceClient as ConversationOutboxClient,
    },
};
use teppan_tests::{clients, harness, launch, nats_server::NatsServer, otlp::Receiver, scrape::Scrape, tool};
use tokio::process::{Child, Command};

use crate::{environment, processes::home_of_its_own};

pub struct Stack {
    home: TempDir,
    nats: NatsServer,
    logs: TempDir,
    receiver: Receiver,
    pub booking: Service,
    pub conversation: Service,
}

pub struct Service {
    child: Child,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

impl Stack {
    pub async fn start() -> Self {
        let (home, logs) = (home_of_its_own(), tempfile::tempdir().expect("a folder"));
        let (nats, receiver) = (NatsServer::start().await, Receiver::start().await);
        let command = |binary: &str, log: PathBuf| command(binary, &home, &nats, &receiver, &log);
        let conversation = command("conversation-service", logs.path().join("conversation.log"));
        let conversation = Service::start(conversation, &logs.path().join("conversation.log")).await;
        let mut booking = command("booking-service", logs.path().join("booking.log"));
        booking.env("CONVERSATION_SERVICE_URL", format!("http://{}", conversation.grpc));
        let booking = Service::start(booking, &logs.path().join("booking.log")).await;
        Self { home, nats, logs, receiver, booking, conversation }
    }

    /// Kills both services, and starts them again over the same files.
    pub async fn crash(&mut self) {
        for service in [&mut self.booking, &mut self.conversation] {
            service.child.kill().await.expect("it was running");
        }
        let log = self.logs.path().join("conversation-2.log");
        let again = command("conversation-service", &self.home, &self.nats, &self.receiver, &log);
        self.conversation = Service::start(again, &log).await;
        let log = self.logs.path().join("booking-2.log");
        let mut again = command("booking-service", &self.home, &self.nats, &self.receiver, &log);
        again.env("CONVERSATION_SERVICE_URL", format!("http://{}", self.conversation.grpc));
        self.booking = Service::start(again, &log).await;
    }

    pub async fn metrics(&self) -> String {
        let mut text = Scrape::of(self.booking.http, "*/*").await.text;
        text.push_str(&Scrape::of(self.conversation.http, "*/*").await.text);
        text
    }

    /// Whether every event is published.
    pub async fn is_idle(&self) -> bool {
        let mut booking = OutboxServiceClient::new(clients::channel(self.booking.grpc));
        let mut conversation = ConversationOutboxClient::new(clients::channel(self.conversation.grpc));
        let booking = booking.get_outbox_status(GetOutboxStatusRequest {}).await;
        let conversation = conversation.get_outbox_status(ConversationStatusRequest {}).await;
        let (Ok(booking), Ok(conversation)) = (booking, conversation) else { return false };
        booking.get_ref().destinations.iter().all(|it| it.pending_count == 0)
            && conversation.get_ref().destinations.iter().all(|it| it.pending_count == 0)
    }

    /// Ends everything in order, and returns the folders of PostgreSQL, NATS and the logs, and the spans.
    pub async fn stop(self) -> (TempDir, TempDir, TempDir, String) {
        for mut service in [self.booking, self.conversation] {
            let id = service.child.id().expect("it runs").to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("kill").success());
            assert!(service.child.wait().await.expect("it ends").success());
        }
        let spans = format!("{:?}", self.receiver.spans());
        let (store, _) = self.nats.kill().await;
        (self.home, store, self.logs, spans)
    }
}

impl Service {
    async fn start(mut command: Command, log: &PathBuf) -> Self {
        let child = command.spawn().expect("the binary is built: cargo build --workspace --bins");
        let listening = || {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            text.lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                Some((line["grpc"].as_str()?.parse().ok()?, line["http"].as_str()?.parse().ok()?))
            })
        };
        harness::eventually("the service listens", async || listening().is_some()).await;
        let (grpc, http) = listening().expect("it listens");
        tool::wait_until_serving("the service", grpc).await.expect("the service is serving");
        Self { child, grpc, http }
    }
}

fn command(binary: &str, home: &TempDir, nats: &NatsServer, receiver: &Receiver, log: &PathBuf) -> Command {
    let log = File::create(log).expect("a file");
    let mut command = Command::new(launch::binary(binary));
    command
        .env("TEPPAN_HOME", home.path())
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("HTTP_ADDR", "127.0.0.1:0")
        .env("NATS_URL", nats.url())
        .env("LOG_FORMAT", "json")
        .env("LOG_LEVEL", "trace")
        .env("AUDIT_LOG", "stdout")
        .env("SHUTDOWN_PAUSE_MS", "0")
        .envs(environment::traced(receiver))
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .kill_on_drop(true);
    command
}

/// How long a claim may wait.
pub const BRIEFLY: Duration = Duration::from_secs(5);
