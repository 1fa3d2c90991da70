//! What the measurements run against: a durable PostgreSQL, both services as processes, and a venue
//! for each side.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::NaiveDate;
use rand::distr::{Alphanumeric, SampleString as _};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::{contract::booking::v1::SchedulePeriod, embedded::ThrowawayServer, keys::Keys};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
    launch::{self, Process, Shown, Which},
    tool::machine,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{error::BenchError, server};

/// Both venues have slots like a real one's: every half hour from 11:00 to 19:00, for 90 days.
pub const DAYS: usize = 90;
pub const SLOTS_A_DAY: usize = 17;
pub const MINUTES_A_SLOT: usize = 30;
const FIRST_MINUTE: usize = 11 * 60;
/// The most a slot may have, so that none sells out.
const SEATS: i32 = 100_000;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(1);
/// After this long a service that has started is idle.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// The two ways a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Pgbench,
    Grpc,
}

/// A service, its process and its database.
pub struct Served {
    pub which: Which,
    pub process: Process,
    pub url: SecretString,
    pub idle_mb: Option<f64>,
    environment: HashMap<String, String>,
}

/// Everything that runs.
pub struct Stage {
    pub server: ThrowawayServer,
    pub booking: Served,
    pub conversation: Served,
    pub pgbench_venue: String,
    pub grpc_venue: String,
    /// The first day of both venues' slots.
    pub first_date: NaiveDate,
}

impl Stage {
    pub async fn set(home: &Path) -> Result<Self, BenchError> {
        let server = server::start(home).await?;
        let booking = Served::start(Which::Booking, &server, "booking_service").await?;
        let conversation = Served::start(Which::Conversation, &server, "conversation_service").await?;
        let mut clients = BookingClients::new(booking.process.grpc);
        let first_date = fixtures::date();
        let pgbench_venue = venue(&mut clients, first_date).await?;
        let grpc_venue = venue(&mut clients, first_date).await?;
        let mut stage = Self { server, booking, conversation, pgbench_venue, grpc_venue, first_date };
        tokio::time::sleep(IDLE_AFTER).await;
        for served in [&mut stage.booking, &mut stage.conversation] {
            served.idle_mb = served.process.id().and_then(machine::resident_mb);
        }
        Ok(stage)
    }

    pub fn venue(&self, side: Side) -> &str {
        match side {
            Side::Pgbench => &self.pgbench_venue,
            Side::Grpc => &self.grpc_venue,
        }
    }

    /// Stops everything in order and removes the database.
    pub async fn clear(self) {
        self.booking.process.stop().await;
        self.conversation.process.stop().await;
        self.server.close().await;
    }
}

impl Served {
    /// Starts a service on a new database of this name.
    pub async fn start(which: Which, server: &ThrowawayServer, database: &str) -> Result<Self, BenchError> {
        Self::start_program(which, launch::binary(which.binary()), server, database, None).await
    }

    /// [`Served::start`] of the program at this path, which reaches PostgreSQL through this address.
    pub async fn start_program(
        which: Which,
        program: PathBuf,
        server: &ThrowawayServer,
        database: &str,
        through: Option<SocketAddr>,
    ) -> Result<Self, BenchError> {
        server.ensure_database(database).await?;
        let url = server.url(database);
        let mut service_url = url.expose_secret().to_owned();
        if let Some(address) = through {
            service_url = service_url.replace(&format!("127.0.0.1:{}", server.port()), &address.to_string());
        }
        let environment = HashMap::from([
            ("DATABASE_URL".to_owned(), service_url),
            ("ENCRYPTION_KEYS".to_owned(), format!("1:{}", random_key())),
            // Builds before version 0.1.0 need it.
            ("HASH_KEY".to_owned(), random_key()),
            ("SHUTDOWN_PAUSE_MS".to_owned(), "0".to_owned()),
        ]);
        let process = Process::start_program(which, program, &environment, Shown::Errors).await?;
        ready(which, process.grpc).await?;
        Ok(Self { which, process, url, idle_mb: None, environment })
    }

    /// The keys of the service.
    pub fn keys(&self) -> Keys {
        Keys::parse(&self.environment["ENCRYPTION_KEYS"]).expect("the service accepted them")
    }

    /// A connection past the service.
    pub async fn connect(&self) -> Result<PgConnection, BenchError> {
        Ok(PgConnection::connect(self.url.expose_secret()).await?)
    }

    /// Leaves no work of an earlier measurement to a later one: row versions are cleaned up,
    /// statistics made and pages written out.
    pub async fn settle(&self) -> Result<(), BenchError> {
        let mut connection = self.connect().await?;
        for command in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            sqlx::raw_sql(command).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// From the start of another process on the same database to its being SERVING.
    pub async fn time_to_serving(&self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let process = Process::start(self.which, &self.environment).await?;
        ready(self.which, process.grpc).await?;
        let took = started.elapsed();
        process.stop().await;
        Ok(took)
    }
}

/// 32 bytes in base64, most of them at random. The last letter and the sign after it are what every
/// such text of 32 bytes ends like.
fn random_key() -> String {
    format!("{}A=", Alphanumeric.sample_string(&mut rand::rng(), 42))
}

/// When the slot with this number starts, the same on each day.
pub fn start_of(slot_of_day: usize) -> String {
    let minute = FIRST_MINUTE + slot_of_day * MINUTES_A_SLOT;
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The day of the slot with this number, counted from the first of the first day.
pub fn date_of(first_date: NaiveDate, slot: usize) -> NaiveDate {
    first_date + chrono::Days::new(u64::try_from(slot / SLOTS_A_DAY).unwrap_or_default())
}

pub async fn venue(clients: &mut BookingClients, first_date: NaiveDate) -> Result<String, BenchError> {
    let until = first_date + chrono::Days::new(u64::try_from(DAYS).unwrap_or_default());
    let horizon = until.signed_duration_since(chrono::Utc::now().date_naive()).num_days();
    let venue =
        fixtures::venue_with(clients, SEATS, |request| request.horizon_days = i32::try_from(horizon).ok()).await?;
    let mut schedule = fixtures::every_evening(&venue.venue_id, SEATS);
    for period in &mut schedule.periods {
        *period = SchedulePeriod {
            first_start: start_of(0),
            last_start: start_of(SLOTS_A_DAY - 1),
            interval_minutes: i32::try_from(MINUTES_A_SLOT).unwrap_or_default(),
            ..period.clone()
        };
    }
    clients.schedule.set_weekly_schedule(schedule).await?;
    Ok(venue.venue_id)
}

async fn ready(which: Which, address: SocketAddr) -> Result<(), BenchError> {
    let mut health = HealthClient::new(clients::channel(address));
    let request = HealthCheckRequest { service: String::new() };
    let waiting = async {
        loop {
            let reply = health.check(request.clone()).await;
            if reply.is_ok_and(|reply| reply.get_ref().status == i32::from(ServingStatus::Serving)) {
                return;
            }
            tokio::time::sleep(READY_POLL).await;
        }
    };
    tokio::time::timeout(READY_TIMEOUT, waiting).await.map_err(|_| BenchError::NotReady(which.binary()))
}
