//! The attacked service, as a separate process, and the data in its database.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::distr::{Alphanumeric, SampleString as _};
use secrecy::ExposeSecret as _;
use teppan_shared::embedded::{EmbeddedError, ThrowawayServer};
use teppan_tests::{
    clients, fixtures,
    launch::{LaunchError, Process, Shown, Which, binary},
    tool::{StartError, machine, wait_until_serving},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::Status;

use crate::attack::Attack;

/// Descriptors of the attacked service: the usual default of shells and containers.
const DESCRIPTORS: u64 = 1024;
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);
/// An answer with all of these takes 2 MB.
const MESSAGES: usize = 64;
const MESSAGE_BYTES: usize = 32_000;

/// A service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Server(#[from] EmbeddedError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("a call before the attack failed: {0}")]
    Call(#[from] Box<Status>),
    #[error("the service's descriptors cannot be limited")]
    Descriptors(#[source] std::io::Error),
}

/// A running service.
pub struct Stage {
    pub process: Process,
    /// A conversation with long messages, in conversation-service.
    pub chat: String,
    id: u32,
}

impl Stage {
    /// Starts the attacked service from this folder.
    pub async fn start(attack: Attack, server: &ThrowawayServer, folder: Option<&Path>) -> Result<Self, StageError> {
        let which = attack.service();
        let database = attack.name().replace('-', "_");
        server.ensure_database(&database).await?;
        let environment = HashMap::from([
            ("DATABASE_URL".to_owned(), server.url(&database).expose_secret().to_owned()),
            ("ENCRYPTION_KEYS".to_owned(), format!("1:{}", random_key())),
            ("SHUTDOWN_PAUSE_MS".to_owned(), "0".to_owned()),
            ("SHUTDOWN_DRAIN_MS".to_owned(), "1000".to_owned()),
            ("OUTBOX_RELAYS".to_owned(), "0".to_owned()),
            ("STRIPE_WEBHOOK_SECRETS".to_owned(), "whsec_hostile".to_owned()),
        ]);
        let program = folder.map_or_else(|| binary(which.binary()), |folder| folder.join(which.binary()));
        let process = Process::start_program(which, program, &environment, Shown::Nothing).await?;
        let id = process.id().unwrap_or_default();
        if let Ok(id) = i32::try_from(id) {
            let limit = Some((DESCRIPTORS, DESCRIPTORS));
            rlimit::prlimit(id, rlimit::Resource::NOFILE, limit, None).map_err(StageError::Descriptors)?;
        }
        wait_until_serving(which.binary(), process.grpc).await?;
        let stage = Self { process, chat: fixtures::conversation_id(), id };
        if which == Which::Conversation {
            stage.fill().await.map_err(Box::new)?;
        }
        Ok(stage)
    }

    async fn fill(&self) -> Result<(), Status> {
        let mut client = clients::conversations(self.process.grpc);
        for _ in 0..MESSAGES {
            client.store_message(fixtures::message(&self.chat, &"x".repeat(MESSAGE_BYTES))).await?;
        }
        Ok(())
    }

    /// The processor time of the service so far.
    pub fn processor_time(&self) -> Duration {
        machine::cpu_of(self.id).unwrap_or_default()
    }

    pub fn watch_memory(&self) -> Memory {
        let at_first = machine::resident_kib(self.id).unwrap_or_default();
        let most = Arc::new(AtomicU64::new(at_first));
        let watching = TaskTracker::new().spawn({
            let (most, id) = (Arc::clone(&most), self.id);
            async move {
                loop {
                    most.fetch_max(machine::resident_kib(id).unwrap_or_default(), Relaxed);
                    tokio::time::sleep(MEMORY_INTERVAL).await;
                }
            }
        });
        Memory { at_first, most, _watching: AbortOnDropHandle::new(watching) }
    }

    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// The memory of the service since the start of the watch.
pub struct Memory {
    at_first: u64,
    most: Arc<AtomicU64>,
    _watching: AbortOnDropHandle<()>,
}

impl Memory {
    /// The largest growth of the memory.
    pub fn grown_mib(&self) -> u64 {
        (self.most.load(Relaxed) - self.at_first) / 1024
    }
}

/// A random key of 32 bytes in base64. Every such text ends in one of a few letters and `=`; this one always has `A=`.
fn random_key() -> String {
    format!("{}A=", Alphanumeric.sample_string(&mut rand::rng(), 42))
}
