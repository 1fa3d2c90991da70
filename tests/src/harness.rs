//! Real services on port 0 over a real PostgreSQL, each test with a database of its own.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use booking_service::settings::{EventStreamSettings, OutboxSettings, Settings as BookingSettings};
use conversation_service::settings::{DispatchSettings, EmotionSettings, SchedulingSettings};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::{
    clock::Clock,
    config::{CommonSettings, DatabaseChoice, DatabaseLimits, LogFormat, ServerSettings, TelemetrySettings},
    contract::conversation::v1::{
        conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
    },
    embedded::{Durability, ThrowawayServer},
    keys::{Keys, KeysChoice},
    service::{Definition, Service},
    telemetry::Telemetry,
};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

use crate::{
    clients::{self, BookingClients},
    proxy::Proxy,
};

/// The server of this test process: started by the first test that needs it, and gone with the
/// process.
static POSTGRES: OnceCell<ThrowawayServer> = OnceCell::const_new();
static TEMPLATES: [OnceCell<()>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
static DATABASES: AtomicU32 = AtomicU32::new(0);
static TELEMETRY: OnceCell<Telemetry> = OnceCell::const_new();

/// The project's home, where set-up puts PostgreSQL's programs when the machine has none.
pub fn home() -> PathBuf {
    let home = std::env::var_os("TEPPAN_HOME").map_or_else(|| PathBuf::from(".teppan"), PathBuf::from);
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(home)
}

/// This process's PostgreSQL.
pub async fn postgres() -> &'static ThrowawayServer {
    POSTGRES
        .get_or_init(async || {
            ThrowawayServer::start(&home(), Durability::Volatile).await.unwrap_or_else(|error| panic!("{error}"))
        })
        .await
}

/// A new database with the service's tables, as a URL.
pub async fn database(definition: &Definition) -> SecretString {
    let server = postgres().await;
    let (index, migrator) = match definition.name {
        "booking-service" => (0, definition.migrator),
        _ => (1, definition.migrator),
    };
    let template = format!("{}_template", definition.database);
    TEMPLATES[index]
        .get_or_init(async || {
            server.ensure_database(&template).await.expect("the template can be made");
            let mut connection = connect(&server.url(&template)).await;
            migrator.run_direct(None, &mut connection, false).await.expect("the migrations apply");
            connection.close().await.expect("the template is left alone");
        })
        .await;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect(&server.url("postgres")).await;
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.expect("a database can be made");
    server.url(&name)
}

/// A connection past the service, to look at what it wrote.
pub async fn connect(url: &SecretString) -> PgConnection {
    PgConnection::connect(url.expose_secret()).await.expect("the database answers")
}

/// A new database, and a proxy that leads to it.
pub async fn proxied(definition: &Definition) -> (Proxy, SecretString) {
    let url = database(definition).await;
    let proxy = Proxy::start(database_address(&url)).await.expect("a proxy");
    let url = through(&url, proxy.address);
    (proxy, url)
}

/// The same database, reached through another address.
pub fn through(url: &SecretString, address: SocketAddr) -> SecretString {
    let port = format!("127.0.0.1:{}", database_address(url).port());
    SecretString::from(url.expose_secret().replace(&port, &address.to_string()))
}

/// Where a database's server listens.
pub fn database_address(url: &SecretString) -> SocketAddr {
    let after = url.expose_secret().split('@').nth(1).and_then(|rest| rest.split('/').next());
    after.and_then(|address| address.parse().ok()).expect("the harness's URLs name an address")
}

/// Settings of a service in a test: port 0, no pause at the stop, and so much time that a busy
/// machine fails no call (an unoptimised build takes long to log in to the database).
pub fn settings(url: SecretString, keys: &Keys) -> CommonSettings {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    CommonSettings {
        server: ServerSettings {
            listen_addr: anywhere,
            http_addr: anywhere,
            request_timeout: Duration::from_secs(30),
            max_in_flight: 1024,
            max_message_bytes: 256 * 1024,
            shutdown_pause: Duration::ZERO,
            shutdown_drain: Duration::from_secs(5),
        },
        database: DatabaseChoice::Url(url),
        database_limits: DatabaseLimits { max_connections: 10, acquire_timeout: Duration::from_secs(20) },
        keys: KeysChoice::Given(keys.clone()),
        telemetry: TelemetrySettings { log_format: LogFormat::Text, log_level: "warn".to_owned(), otlp_endpoint: None },
    }
}

/// Settings of a booking-service in a test: it delivers nothing, so that only calls are seen.
pub fn booking_settings(common: CommonSettings) -> BookingSettings {
    BookingSettings {
        common,
        phone_region: "US".parse().expect("a region"),
        event_stream: EventStreamSettings::default(),
        outbox: OutboxSettings { relays: 0, ..OutboxSettings::default() },
        idempotency_keep: Duration::from_hours(72),
        retention_interval: Duration::from_mins(1),
    }
}

/// A booking-service, its database, and clients of it.
pub struct Booking {
    pub service: Service,
    pub url: SecretString,
    pub keys: Keys,
    pub clients: BookingClients,
}

impl Booking {
    /// A service over a database of its own.
    pub async fn start() -> Self {
        Self::over(database(&booking_service::app::DEFINITION).await, Keys::random()).await
    }

    /// A service over this database, under these keys: a replica, or one that was started again.
    pub async fn over(url: SecretString, keys: Keys) -> Self {
        let common = settings(url.clone(), &keys);
        Self::with(common, url, keys).await
    }

    /// A service with these settings.
    pub async fn with(common: CommonSettings, url: SecretString, keys: Keys) -> Self {
        Self::configured(booking_settings(common), url, keys).await
    }

    /// A service with all of its settings.
    pub async fn configured(settings: BookingSettings, url: SecretString, keys: Keys) -> Self {
        telemetry().await;
        let service = booking_service::app::start(&settings, None).await.expect("the service starts");
        let clients = BookingClients::new(service.server.grpc_addr);
        Self { service, url, keys, clients }
    }

    /// A service that is ready, over a database of its own that it reaches through a proxy.
    pub async fn behind_a_proxy(change: impl FnOnce(&mut CommonSettings)) -> (Proxy, Self) {
        let (proxy, url) = proxied(&booking_service::app::DEFINITION).await;
        let keys = Keys::random();
        let mut settings = settings(url.clone(), &keys);
        change(&mut settings);
        (proxy, Self::with(settings, url, keys).await.ready().await)
    }

    /// Waits until calls can be answered.
    pub async fn ready(self) -> Self {
        assert!(self.service.server.readiness().ready().await, "the service is ready");
        self
    }

    /// The only row of a query past the service.
    pub async fn scalar<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        scalar(&self.url, query).await
    }

    /// Every row that CreateBooking writes, in every version, as one text: equal when nothing was
    /// written in between.
    pub async fn written(&self) -> String {
        let rows = "
            SELECT string_agg(row, ' ' ORDER BY row) FROM (
                SELECT xmin || s::text FROM slots s WHERE reserved > 0
                UNION ALL SELECT xmin || c::text FROM customers c
                UNION ALL SELECT xmin || b::text FROM bookings b
                UNION ALL SELECT xmin || e::text FROM booking_events e
                UNION ALL SELECT xmin || o::text FROM outbox_messages o
                UNION ALL SELECT xmin || k::text FROM idempotency_keys k
            ) AS rows (row)";
        self.scalar(rows).await
    }
}

/// A conversation-service, its database, and clients of it.
pub struct Conversation {
    pub service: Service,
    pub url: SecretString,
    pub keys: Keys,
    pub client: ConversationServiceClient<Channel>,
    pub follow_ups: FollowUpServiceClient<Channel>,
}

impl Conversation {
    /// A service over a database of its own.
    pub async fn start() -> Self {
        Self::over(database(&conversation_service::app::DEFINITION).await, Keys::random()).await
    }

    /// A service over this database, under these keys: a replica, or one that was started again.
    pub async fn over(url: SecretString, keys: Keys) -> Self {
        let common = settings(url.clone(), &keys);
        Self::with(common, url, keys).await
    }

    /// A service with these settings.
    pub async fn with(common: CommonSettings, url: SecretString, keys: Keys) -> Self {
        Self::counting(EmotionSettings::default(), common, url, keys).await
    }

    /// A service with these settings, the ones for emotions among them.
    pub async fn counting(emotions: EmotionSettings, common: CommonSettings, url: SecretString, keys: Keys) -> Self {
        Self::changed(common, url, keys, |settings| settings.emotions = emotions).await
    }

    /// A service with these settings and the default ones, something of which is changed.
    pub async fn changed(
        common: CommonSettings,
        url: SecretString,
        keys: Keys,
        change: impl FnOnce(&mut conversation_service::settings::Settings),
    ) -> Self {
        let mut settings = conversation_service::settings::Settings {
            common,
            clock: Clock::default(),
            emotions: EmotionSettings::default(),
            scheduling: SchedulingSettings::default(),
            dispatch: DispatchSettings::default(),
            nats: None,
        };
        change(&mut settings);
        telemetry().await;
        let service = conversation_service::app::start(&settings, None).await.expect("the service starts");
        let client = clients::conversations(service.server.grpc_addr);
        let follow_ups = clients::follow_ups(service.server.grpc_addr);
        Self { service, url, keys, client, follow_ups }
    }

    /// A service that is ready, over a database of its own that it reaches through a proxy.
    pub async fn behind_a_proxy(change: impl FnOnce(&mut CommonSettings)) -> (Proxy, Self) {
        let (proxy, url) = proxied(&conversation_service::app::DEFINITION).await;
        let keys = Keys::random();
        let mut settings = settings(url.clone(), &keys);
        change(&mut settings);
        (proxy, Self::with(settings, url, keys).await.ready().await)
    }

    /// Waits until calls can be answered.
    pub async fn ready(self) -> Self {
        assert!(self.service.server.readiness().ready().await, "the service is ready");
        self
    }

    /// The only row of a query past the service.
    pub async fn scalar<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        scalar(&self.url, query).await
    }
}

/// The only value of a query.
pub async fn scalar<T>(url: &SecretString, query: &'static str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(&mut connect(url).await).await.expect("the query answers")
}

/// Runs SQL past the service.
pub async fn execute(url: &SecretString, sql: impl sqlx::SqlSafeStr) {
    sqlx::raw_sql(sql).execute(&mut connect(url).await).await.expect("the SQL runs");
}

/// Waits until a condition holds, and fails after ten seconds.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(10), what, holds).await;
}

/// [`eventually`], with another bound.
pub async fn within(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(bound, waiting).await.is_ok(), "waited in vain: {what}");
}

/// Traces are carried in tests too; the log shows errors.
async fn telemetry() {
    let settings =
        TelemetrySettings { log_format: LogFormat::Text, log_level: "error".to_owned(), otlp_endpoint: None };
    TELEMETRY.get_or_init(async || Telemetry::start("tests", &settings).expect("telemetry starts")).await;
}
