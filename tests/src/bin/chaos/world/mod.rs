//! The services, the database, NATS, and what lies between them.

pub mod venues;

use std::collections::HashMap;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::embedded::{Durability, EmbeddedError, ThrowawayServer};
use teppan_tests::{
    cluster::{Cluster, ClusterError},
    harness,
    launch::{LaunchError, Shown, Which},
    nats_server::NatsServer,
    proxy::Proxy,
    replica::Replica,
    small_disk::SmallDisk,
    tool::{StartError, wait_until_serving},
};

use crate::clients::{Pair, stripe};

/// The clocks of all replicas of booking-service are ahead by this much, so that one of them can be behind the others.
pub const CLOCK_AHEAD_SECONDS: i64 = 300;
const BOOKING: &str = "chaos_booking";
const CONVERSATION: &str = "chaos_conversation";

/// The world could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error(transparent)]
    Server(#[from] EmbeddedError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the programs of the cluster are not installed")]
    NoCluster,
    #[error("a file system for disk-full cannot be mounted here: only root may")]
    NoDisk,
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("a proxy cannot listen")]
    Proxy(#[source] std::io::Error),
    #[error("a call before the load failed: {0}")]
    Call(#[from] Box<tonic::Status>),
}

/// The database server.
pub enum Database {
    /// A server on a disk of its own if it is to be filled.
    Server {
        server: Box<ThrowawayServer>,
        disk: Option<SmallDisk>,
    },
    Cluster(Cluster),
}

pub struct World {
    pub database: Database,
    /// The proxies between the replicas and the database, in the order of `replicas`.
    pub proxies: Vec<Proxy>,
    /// Two of booking-service, then two of conversation-service.
    pub replicas: Vec<Replica>,
    pub nats: Option<NatsServer>,
    /// The databases, reached without a proxy.
    pub booking: SecretString,
    pub conversation: SecretString,
}

/// What a run needs beyond the usual.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub cluster: bool,
    pub disk_mb: Option<u32>,
    /// The part of the services' logs that is shown.
    pub shown: Shown,
}

impl World {
    pub async fn start(needs: Needs) -> Result<Self, WorldError> {
        let database = Database::start(needs).await?;
        database.ensure(BOOKING).await?;
        database.ensure(CONVERSATION).await?;
        let nats = NatsServer::start().await;
        let (booking, conversation) = (database.url(BOOKING), database.url(CONVERSATION));
        let mut proxies = Vec::new();
        for url in [&booking, &booking, &conversation, &conversation] {
            proxies.push(Proxy::start(harness::database_address(url)).await.map_err(WorldError::Proxy)?);
        }
        let through = |n: usize, url| harness::through(url, proxies[n].address);
        let mut conversations = Vec::new();
        for n in [2, 3] {
            let mut environment = common(&through(n, &conversation), &conversation, &nats);
            environment.extend(of_conversation_service());
            conversations.push(Replica::try_start(Which::Conversation, environment, needs.shown).await?);
        }
        let mut replicas = Vec::new();
        for n in [0, 1] {
            let mut environment = common(&through(n, &booking), &booking, &nats);
            let to = conversations[n].grpc;
            environment.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{to}"));
            environment.extend(of_booking_service());
            replicas.push(Replica::try_start(Which::Booking, environment, needs.shown).await?);
        }
        replicas.extend(conversations);
        let world = Self { database, proxies, replicas, nats: Some(nats), booking, conversation };
        world.until_serving().await?;
        Ok(world)
    }

    /// Waits until every replica is ready.
    pub async fn until_serving(&self) -> Result<(), StartError> {
        for (n, replica) in self.replicas.iter().enumerate() {
            wait_until_serving(which(n).binary(), replica.grpc).await?;
        }
        Ok(())
    }

    pub fn grpc(&self, which: Which) -> Pair {
        let first = first(which);
        [self.replicas[first].grpc, self.replicas[first + 1].grpc]
    }

    /// Where Stripe sends its events.
    pub fn webhooks(&self) -> Pair {
        [self.replicas[0].http, self.replicas[1].http]
    }

    /// Stops everything in order. Returns whether every service exited with code 0.
    pub async fn stop(self) -> bool {
        let mut well = true;
        for replica in self.replicas {
            well &= replica.stop().await;
        }
        if let Database::Server { server, disk } = self.database {
            server.close().await;
            drop(disk);
        }
        well
    }
}

/// The service of a replica with this number.
pub fn which(replica: usize) -> Which {
    if replica < 2 { Which::Booking } else { Which::Conversation }
}

/// The number of the first replica of a service.
pub fn first(which: Which) -> usize {
    if which == Which::Booking { 0 } else { 2 }
}

impl Database {
    async fn start(needs: Needs) -> Result<Self, WorldError> {
        let home = harness::home();
        if needs.cluster {
            let cluster = Cluster::start(&home).await?.ok_or(WorldError::NoCluster)?;
            return Ok(Self::Cluster(cluster));
        }
        let disk = needs.disk_mb.map(|size| SmallDisk::of(size).ok_or(WorldError::NoDisk)).transpose()?;
        // What was acknowledged must survive a crash.
        let server = match &disk {
            Some(disk) => ThrowawayServer::start_in(disk.folder(), &home, Durability::Durable).await?,
            None => ThrowawayServer::start(&home, Durability::Durable).await?,
        };
        Ok(Self::Server { server: Box::new(server), disk })
    }

    async fn ensure(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Server { server, .. } => server.ensure_database(name).await?,
            Self::Cluster(cluster) => cluster.create_database(name).await,
        }
        Ok(())
    }

    pub fn url(&self, name: &str) -> SecretString {
        match self {
            Self::Server { server, .. } => server.url(name),
            Self::Cluster(cluster) => cluster.url(name),
        }
    }

    /// A connection for administration.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(self.url("postgres").expose_secret()).await
    }
}

fn common(url: &SecretString, direct: &SecretString, nats: &NatsServer) -> HashMap<String, String> {
    let variables = [
        ("DATABASE_URL", url.expose_secret().to_owned()),
        ("ENCRYPTION_KEYS", harness::encryption_keys(direct)),
        ("SHUTDOWN_PAUSE_MS", "0".to_owned()),
        ("NATS_URL", nats.url()),
        // A killed relay's messages are due again after 4 times this timeout plus 5 s.
        ("OUTBOX_DELIVERY_TIMEOUT_MS", "1000".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_booking_service() -> impl Iterator<Item = (String, String)> {
    let variables = [
        ("STRIPE_WEBHOOK_SECRETS", stripe::SECRET.to_owned()),
        ("STRIPE_LIVEMODE", "false".to_owned()),
        ("STRIPE_EVENTS_INTERVAL_MS", "100".to_owned()),
        ("CLOCK_AHEAD_SECONDS", CLOCK_AHEAD_SECONDS.to_string()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value))
}

fn of_conversation_service() -> impl Iterator<Item = (String, String)> {
    let variables = [
        ("FOLLOW_UP_SENDING_HOURS", "00:00-24:00"),
        ("FOLLOW_UP_CLOCK_INTERVAL_MS", "200"),
        ("FOLLOW_UP_BACKOFF_FIRST_MS", "100"),
        ("FOLLOW_UP_BACKOFF_MAX_MS", "1000"),
        // No follow-up may fail for good only because orchestrators crash.
        ("FOLLOW_UP_ATTEMPTS_MAX", "100"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}
