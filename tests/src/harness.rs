//! Real services on port 0 over a real PostgreSQL, each test with a database of its own.

mod databases;

use std::{net::SocketAddr, time::Duration};

use booking_service::{
    domain::StripeAccount,
    settings::{EventStreamSettings, OutboxSettings, Settings as BookingSettings, StripeSettings},
};
use conversation_service::settings::{DispatchSettings, EmotionSettings, SchedulingSettings};
use secrecy::SecretString;
use teppan_shared::{
    clock::Clock,
    config::{
        CommonSettings, DatabaseChoice, DatabaseLimits, LogFormat, OpenTelemetrySettings, ServerLimits, ServerSettings,
        TelemetrySettings,
    },
    contract::conversation::v1::{
        conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
    },
    identity::IdentitySettings,
    keys::{Keys, KeysChoice},
    outbox::RelaySettings,
    service::Service,
    telemetry::{Build, Telemetry},
};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

pub use self::databases::{
    connect, database, database_address, drop_database, execute, home, postgres, proxied, scalar, through,
};
use crate::{
    clients::{self, BookingClients},
    proxy::Proxy,
};

static TELEMETRY: OnceCell<Telemetry> = OnceCell::const_new();

/// Settings of a service in a test: port 0, no pause at the stop, and so much time that a busy
/// machine fails no call (an unoptimised build takes long to log in to the database).
pub fn settings(url: SecretString, keys: &Keys) -> CommonSettings {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    CommonSettings {
        server: ServerSettings {
            listen_addr: anywhere,
            http_addr: anywhere,
            webhook_addr: None,
            tls: None,
            reload_interval: Duration::from_millis(50),
            request_timeout: Duration::from_secs(30),
            max_in_flight: 1024,
            max_message_bytes: 256 * 1024,
            migrate_at_start: true,
            limits: ServerLimits::default(),
            shutdown_pause: Duration::ZERO,
            shutdown_drain: Duration::from_secs(5),
            identity: IdentitySettings::default(),
        },
        database: DatabaseChoice::Url(url),
        // Hundreds of services share a server here: each opens what it needs.
        database_limits: DatabaseLimits {
            max_connections: 10,
            min_connections: 1,
            acquire_timeout: Duration::from_secs(20),
        },
        keys: KeysChoice::Given(keys.clone()),
        backlog_interval: Duration::from_hours(1),
        telemetry: TelemetrySettings {
            log_format: LogFormat::Text,
            log_level: "warn".to_owned(),
            open_telemetry: OpenTelemetrySettings::default(),
        },
    }
}

/// Settings of a booking-service in a test: it delivers nothing and expires nothing after the
/// start, so that only calls are seen.
pub fn booking_settings(common: CommonSettings) -> BookingSettings {
    BookingSettings {
        common,
        default_phone_region: "US".parse().expect("a region"),
        event_stream: EventStreamSettings::default(),
        outbox: OutboxSettings {
            relay: RelaySettings { relays: 0, ..RelaySettings::default() },
            ..OutboxSettings::default()
        },
        stripe: StripeSettings {
            account: StripeAccount { live: false, connected: None },
            interval: Duration::from_hours(1),
            ..StripeSettings::default()
        },
        idempotency_keep: Duration::from_hours(72),
        clock: Clock::default(),
        slot_layout_interval: Duration::from_hours(1),
        hold_expiry_interval: Duration::from_hours(1),
        waitlist_interval: Duration::from_hours(1),
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
        Box::pin(Self::changed(|_| {}, common, url, keys)).await
    }

    /// A service with these settings, and others changed. Its clock is right, it lays out slots once, at
    /// the start, and delivers nothing, unless it is told otherwise.
    pub async fn changed(
        change: impl FnOnce(&mut BookingSettings),
        common: CommonSettings,
        url: SecretString,
        keys: Keys,
    ) -> Self {
        let mut settings = booking_settings(common);
        change(&mut settings);
        // On the heap, like the service: settings are large too.
        Box::pin(Self::configured(settings, url, keys)).await
    }

    /// A service with all of its settings.
    pub async fn configured(settings: BookingSettings, url: SecretString, keys: Keys) -> Self {
        telemetry().await;
        // On the heap: a test that awaits several services would need a large stack.
        let service = Box::pin(booking_service::app::start(&settings, None)).await.expect("the service starts");
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
                UNION ALL SELECT xmin || w::text FROM waitlist_entries w
                UNION ALL SELECT xmin || n::text FROM waitlist_openings n
                UNION ALL SELECT xmin || r::text FROM waitlist_reviews r
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
            // Time passes only where a test is about it: statements are counted.
            dispatch: DispatchSettings {
                clock_interval: Duration::from_hours(1),
                reengagement_interval: Duration::from_hours(1),
                ..DispatchSettings::default()
            },
            nats: None,
            relay: RelaySettings::default(),
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

/// Waits until a condition holds, and fails after a minute: a busy machine is no reason to fail.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    within(Duration::from_mins(1), what, holds).await;
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

const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), revision: None };

/// Traces are carried in tests too; the log shows errors.
async fn telemetry() {
    let settings = TelemetrySettings {
        log_format: LogFormat::Text,
        log_level: "error".to_owned(),
        open_telemetry: OpenTelemetrySettings::default(),
    };
    TELEMETRY.get_or_init(async || Telemetry::start("tests", BUILD, &settings).expect("telemetry starts")).await;
}
