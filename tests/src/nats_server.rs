//! A nats-server for one test, with file storage.

use std::{path::Path, process::Stdio, time::Duration};

use async_nats::jetstream::{self, consumer};
use futures::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::harness;

/// The stream of the services' events.
pub const STREAM: &str = "TEPPAN_EVENTS";

/// The configuration file in the folder of the store.
const CONFIG: &str = "nats-server.conf";

/// A nats-server, killed on drop.
pub struct NatsServer {
    child: Child,
    pub port: u16,
    pub store: TempDir,
}

impl NatsServer {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let store = tempfile::tempdir().expect("a folder");
        Self::over(store, None).await
    }

    /// Starts a server on a free port with this configuration.
    pub async fn configured(config: &str) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        std::fs::write(store.path().join(CONFIG), config).expect("written");
        Self::over(store, None).await
    }

    /// Kills the server as a crash would, and returns its store and port.
    pub async fn kill(mut self) -> (TempDir, u16) {
        self.child.kill().await.expect("it is killed");
        (self.store, self.port)
    }

    /// Restarts a killed server with its store and port.
    pub async fn again((store, port): (TempDir, u16)) -> Self {
        Self::over(store, Some(port)).await
    }

    /// Restarts a killed server with a smaller limit for messages.
    pub async fn limited((store, port): (TempDir, u16), payload_bytes_max: usize) -> Self {
        std::fs::write(store.path().join(CONFIG), format!("max_payload: {payload_bytes_max}")).expect("written");
        Self::over(store, Some(port)).await
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn over(store: TempDir, port: Option<u16>) -> Self {
        let program = harness::home().join("tools/bin/nats-server");
        let ports = tempfile::tempdir_in(store.path()).expect("a folder");
        let mut command = Command::new(&program);
        command
            .args(["--addr", "127.0.0.1", "--jetstream", "--port"])
            .arg(port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
            .arg("--store_dir")
            .arg(store.path())
            .arg("--ports_file_dir")
            .arg(ports.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let config = store.path().join(CONFIG);
        if config.exists() {
            command.arg("--config").arg(config);
        }
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{} cannot be started ({error}); run `deploy/local/setup.sh nats` first", program.display())
        });
        let port = tokio::time::timeout(Duration::from_secs(10), listening(ports.path())).await;
        Self { child, port: port.expect("nats-server listens"), store }
    }
}

/// The messages in the stream: subject, message id and envelope.
pub async fn published(url: &str) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    each_published(url, |subject, id, event| all.push((subject.to_owned(), id.to_owned(), event))).await;
    all
}

/// Reads the messages in the stream one by one, oldest first, as [`published`] lists them.
pub async fn each_published(url: &str, mut visit: impl FnMut(&str, &str, Value)) {
    let context = jetstream::new(async_nats::connect(url).await.expect("it answers"));
    let mut stream = context.get_stream(STREAM).await.expect("the stream is there");
    let count = usize::try_from(stream.info().await.expect("read").state.messages).expect("few");
    let config = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages").take(count);
    while let Some(message) = messages.next().await {
        let message = message.expect("a message");
        let headers = message.headers.as_ref().expect("headers");
        assert_eq!(headers.get("Content-Type").expect("a type").as_str(), "application/cloudevents+json");
        let id = headers.get("Nats-Msg-Id").expect("an id").as_str();
        visit(&message.subject, id, serde_json::from_slice(&message.payload).expect("JSON"));
    }
}

/// The port that the server has written to its ports file.
async fn listening(folder: &Path) -> u16 {
    loop {
        let files = std::fs::read_dir(folder).expect("the folder is there");
        let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
        for text in texts {
            let ports: Option<serde_json::Value> = serde_json::from_str(&text).ok();
            let url = ports.as_ref().and_then(|ports| ports["nats"][0].as_str());
            if let Some(port) = url.and_then(|url| url.rsplit(':').next()).and_then(|port| port.parse().ok()) {
                return port;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
