//! The plain service: what the benchmark measures the services against.
//!
//! It answers CreateBooking, StoreMessage and ListAvailability as most services of this kind are built: a pool of
//! connections, and a transaction with a statement for each step. Every transaction is durable, repeated calls are
//! answered from the idempotency key or the message id, no slot is oversold, and personal data is sealed as the services
//! seal it. Statements are prepared once for each connection. It has no hashes that chain events, no waitlist, no emotion
//! statistics and no background work. That is all in its favour.

mod bookings;
mod create_booking;
mod customers;
mod error;
mod list_availability;
mod schedule;
mod store_message;

use std::{error::Error, net::SocketAddr, sync::Arc};

use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    ConnectOptions as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use teppan_shared::{
    contract::{
        booking::v1::{booking_service_server::BookingServiceServer, schedule_service_server::ScheduleServiceServer},
        conversation::v1::conversation_service_server::ConversationServiceServer,
    },
    keys::Keys,
    sealing::{KeyRing, KeyedHash},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tonic::transport::Server;

/// The three calls that the benchmark measures, as a service with a pool and transactions answers them.
///
/// It makes its tables itself, in a database that holds nothing else.
#[derive(Parser)]
#[command(name = "plain")]
struct Cli {
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:0")]
    listen_addr: SocketAddr,
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// As many as the services have by default
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 16)]
    database_max_connections: u32,
    /// Keys that seal personal data, as the services take them
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true)]
    encryption_keys: SecretString,
}

/// What every call needs.
pub struct Plain {
    pool: PgPool,
    ring: KeyRing,
    fingerprint: KeyedHash,
    /// Finds customers and users by what identifies them.
    lookup: KeyedHash,
}

impl Plain {
    async fn open(cli: &Cli) -> Result<Self, Box<dyn Error>> {
        let keys = Keys::parse(cli.encryption_keys.expose_secret()).ok_or("ENCRYPTION_KEYS cannot be read")?;
        let options: PgConnectOptions = cli.database_url.expose_secret().parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(cli.database_max_connections)
            // A round trip before each transaction, to find dead connections, would only make it slower.
            .test_before_acquire(false)
            .connect_with(options.disable_statement_logging())
            .await?;
        sqlx::raw_sql(include_str!("schema.sql")).execute(&pool).await?;
        Ok(Self {
            pool,
            ring: keys.ring(),
            fingerprint: keys.hash("plain requests"),
            lookup: keys.hash("plain people"),
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    let plain = Arc::new(Plain::open(&cli).await?);
    let listener = TcpListener::bind(cli.listen_addr).await?;
    let address = listener.local_addr()?;
    let mut terminated = signal(SignalKind::terminate())?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    // The line in which the tools look for the addresses of a service. It has no HTTP of its own.
    eprintln!("{}", serde_json::json!({ "level": "INFO", "message": "listening", "grpc": address, "http": address }));
    let accepted = TcpListenerStream::new(listener)
        .map(|client| client.and_then(|client| client.set_nodelay(true).map(|()| client)));
    Server::builder()
        .add_service(health_service)
        .add_service(BookingServiceServer::from_arc(Arc::clone(&plain)))
        .add_service(ScheduleServiceServer::from_arc(Arc::clone(&plain)))
        .add_service(ConversationServiceServer::from_arc(plain))
        .serve_with_incoming_shutdown(accepted, async {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
