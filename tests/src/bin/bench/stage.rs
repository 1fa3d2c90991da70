//! What the measurements run against: a durable PostgreSQL, both services and the plain one as processes, and a venue
//! for each side.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
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
use tokio::sync::OnceCell;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{case::Call, error::BenchError, floor, side::Side, suggest_slots};

/// Every venue has slots like a real one's: every half hour from 11:00 to 19:00, for 90 days.
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

/// A service, its process and its database.
pub struct Served {
    pub name: &'static str,
    pub process: Process,
    pub url: SecretString,
    pub idle_mb: Option<f64>,
    environment: HashMap<String, String>,
}

/// Everything that runs on a PostgreSQL.
pub struct Stage {
    pub booking: Served,
    pub conversation: Served,
    pub plain: Served,
    pgbench_venue: String,
    plain_venue: String,
    teppan_venue: String,
    suggested_venues: OnceCell<Vec<String>>,
    /// The first day of every venue's slots.
    pub first_date: NaiveDate,
}

impl Stage {
    /// Starts the services on new databases whose names begin like this. They reach PostgreSQL through this address.
    pub async fn set(server: &ThrowawayServer, prefix: &str, through: Option<SocketAddr>) -> Result<Self, BenchError> {
        let start = async |which: Which, name: &str| {
            let program = launch::binary(which.binary());
            Served::start_program(which, program, server, &format!("{prefix}_{name}"), through).await
        };
        let booking = start(Which::Booking, "booking").await?;
        let conversation = start(Which::Conversation, "conversation").await?;
        let plain = Served::start_plain(server, &format!("{prefix}_plain"), through).await?;
        let mut connection = plain.connect().await?;
        sqlx::raw_sql(floor::TABLE).execute(&mut connection).await?;
        connection.close().await?;
        let first_date = fixtures::date();
        let mut clients = BookingClients::new(booking.process.grpc);
        let pgbench_venue = venue(&mut clients, first_date).await?;
        let teppan_venue = venue(&mut clients, first_date).await?;
        let plain_venue = venue(&mut BookingClients::new(plain.process.grpc), first_date).await?;
        let suggested_venues = OnceCell::new();
        Ok(Self {
            booking,
            conversation,
            plain,
            pgbench_venue,
            plain_venue,
            teppan_venue,
            suggested_venues,
            first_date,
        })
    }

    /// Takes the memory of both services, which nobody has called yet.
    pub async fn measure_idle(&mut self) {
        tokio::time::sleep(IDLE_AFTER).await;
        for served in [&mut self.booking, &mut self.conversation] {
            served.idle_mb = served.process.id().and_then(machine::resident_mb);
        }
    }

    pub fn venue(&self, side: Side) -> &str {
        match side {
            Side::Floor | Side::Pgbench => &self.pgbench_venue,
            Side::Plain => &self.plain_venue,
            Side::Teppan => &self.teppan_venue,
        }
    }

    /// The venues from which SuggestSlots chooses; created when they are first needed.
    pub async fn suggested_venues(&self) -> Result<&[String], BenchError> {
        let create = || async {
            let mut clients = BookingClients::new(self.booking.process.grpc);
            let mut venues = Vec::new();
            while venues.len() < suggest_slots::VENUES {
                venues.push(venue(&mut clients, self.first_date).await?);
            }
            Ok::<_, BenchError>(venues)
        };
        self.suggested_venues.get_or_try_init(create).await.map(Vec::as_slice)
    }

    /// The service whose database a side of a call writes to.
    pub fn served(&self, call: Call, side: Side) -> &Served {
        match (side, call) {
            (Side::Floor | Side::Plain, _) => &self.plain,
            (_, Call::StoreMessage) => &self.conversation,
            (_, Call::CreateBooking | Call::ListAvailability | Call::SuggestSlots) => &self.booking,
        }
    }

    /// Stops everything in order.
    pub async fn clear(self) {
        for served in [self.booking, self.conversation, self.plain] {
            served.process.stop().await;
        }
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
        let (url, environment) = database_for(server, database, through).await?;
        let process = Process::start_program(which, program, &environment, Shown::Errors).await?;
        ready(which.binary(), process.grpc).await?;
        Ok(Self { name: which.binary(), process, url, idle_mb: None, environment })
    }

    /// The plain service, in the same way.
    pub async fn start_plain(
        server: &ThrowawayServer,
        database: &str,
        through: Option<SocketAddr>,
    ) -> Result<Self, BenchError> {
        let (url, environment) = database_for(server, database, through).await?;
        let process = Process::start_plain(&environment).await?;
        ready(launch::PLAIN, process.grpc).await?;
        Ok(Self { name: launch::PLAIN, process, url, idle_mb: None, environment })
    }

    /// The keys of the service.
    pub fn keys(&self) -> Keys {
        Keys::parse(&self.environment["ENCRYPTION_KEYS"]).expect("the service accepted them")
    }

    /// Stops the service, and starts it with other keys, which are made of those it had.
    pub async fn restart_with(&mut self, which: Which, keys: impl FnOnce(&str) -> String) -> Result<(), BenchError> {
        let keys = keys(&self.environment["ENCRYPTION_KEYS"]);
        self.environment.insert("ENCRYPTION_KEYS".to_owned(), keys);
        let next = Process::start(which, &self.environment).await?;
        std::mem::replace(&mut self.process, next).stop().await;
        ready(self.name, self.process.grpc).await
    }

    /// The settings of the service, for a command beside it.
    pub fn environment(&self) -> &HashMap<String, String> {
        &self.environment
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
    pub async fn time_to_serving(&self, which: Which) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let process = Process::start(which, &self.environment).await?;
        ready(which.binary(), process.grpc).await?;
        let took = started.elapsed();
        process.stop().await;
        Ok(took)
    }
}

/// A new database: its URL, and the environment of a service that reaches it through this address.
async fn database_for(
    server: &ThrowawayServer,
    database: &str,
    through: Option<SocketAddr>,
) -> Result<(SecretString, HashMap<String, String>), BenchError> {
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
    Ok((url, environment))
}

/// 32 bytes in base64, most of them at random. The last letter and the sign after it are what every
/// such text of 32 bytes ends like.
pub fn random_key() -> String {
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

async fn ready(service: &'static str, address: SocketAddr) -> Result<(), BenchError> {
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
    tokio::time::timeout(READY_TIMEOUT, waiting).await.map_err(|_| BenchError::NotReady(service))
}
