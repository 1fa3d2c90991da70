//! The service under load, as a separate process, and its database.

use std::{
    collections::HashMap,
    net::SocketAddr,
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
    clients::BookingClients,
    fixtures, harness,
    launch::{LaunchError, Process, Shown, Which, binary},
    proxy::Proxy,
    tool::{StartError, machine, wait_until_serving},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::Status;

use crate::{CallName, load};

const MEMORY_INTERVAL: Duration = Duration::from_millis(50);
/// So many that no slot sells out.
const SEATS: i32 = 100_000;

/// The service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Server(#[from] EmbeddedError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("a call before the load failed: {0}")]
    Call(#[from] Box<Status>),
    #[error("the proxy to the database cannot listen")]
    Proxy(#[source] std::io::Error),
}

/// A running service.
pub struct Stage {
    pub venue_id: String,
    process: Process,
    id: u32,
    _proxy: Option<Proxy>,
}

impl Stage {
    /// Starts the service from this folder.
    pub async fn start(
        name: CallName,
        server: &ThrowawayServer,
        folder: Option<&Path>,
        round_trip: Duration,
    ) -> Result<Self, StageError> {
        let (which, database) = match name {
            CallName::StoreMessage => (Which::Conversation, "conversations"),
            CallName::CreateBooking => (Which::Booking, "bookings"),
        };
        server.ensure_database(database).await?;
        let mut url = server.url(database);
        let mut proxy = None;
        if round_trip > Duration::ZERO {
            let far = Proxy::start(harness::database_address(&url)).await.map_err(StageError::Proxy)?;
            far.set_round_trip_time(round_trip);
            url = harness::through(&url, far.address);
            proxy = Some(far);
        }
        let environment = HashMap::from([
            ("DATABASE_URL".to_owned(), url.expose_secret().to_owned()),
            ("ENCRYPTION_KEYS".to_owned(), format!("1:{}", random_key())),
            ("SHUTDOWN_PAUSE_MS".to_owned(), "0".to_owned()),
            ("OUTBOX_RELAYS".to_owned(), "0".to_owned()),
        ]);
        let program = folder.map_or_else(|| binary(which.binary()), |folder| folder.join(which.binary()));
        let process = Process::start_program(which, program, &environment, Shown::Errors).await?;
        let id = process.id().unwrap_or_default();
        wait_until_serving(which.binary(), process.grpc).await?;
        let mut venue_id = String::new();
        if which == Which::Booking {
            let mut clients = BookingClients::new(process.grpc);
            let horizon = i32::try_from(load::DAYS).ok().map(|days| days + 30);
            let venue = fixtures::venue_with(&mut clients, SEATS, |venue| venue.horizon_days = horizon);
            venue_id = venue.await.map_err(Box::new)?.venue_id;
        }
        Ok(Self { venue_id, process, id, _proxy: proxy })
    }

    pub fn address(&self) -> SocketAddr {
        self.process.grpc
    }

    /// The processor time of the service so far.
    pub fn processor_time(&self) -> Duration {
        machine::cpu_of(self.id).unwrap_or_default()
    }

    pub fn watch_memory(&self) -> Memory {
        let most = Arc::new(AtomicU64::new(0));
        let watching = TaskTracker::new().spawn({
            let (most, id) = (Arc::clone(&most), self.id);
            async move {
                loop {
                    most.fetch_max(machine::resident_kib(id).unwrap_or_default(), Relaxed);
                    tokio::time::sleep(MEMORY_INTERVAL).await;
                }
            }
        });
        Memory { most, _watching: AbortOnDropHandle::new(watching) }
    }

    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// The memory of the service since the start of the watch.
pub struct Memory {
    most: Arc<AtomicU64>,
    _watching: AbortOnDropHandle<()>,
}

impl Memory {
    pub fn most_mib(&self) -> u64 {
        self.most.load(Relaxed) / 1024
    }
}

/// A random key of 32 bytes in base64. Every such text ends in one of a few letters and `=`; this one always has `A=`.
fn random_key() -> String {
    format!("{}A=", Alphanumeric.sample_string(&mut rand::rng(), 42))
}
