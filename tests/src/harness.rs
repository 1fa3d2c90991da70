//! Real services on port 0 over a real PostgreSQL. Each test has its own database.

mod databases;

use std::{net::SocketAddr, time::Duration};

use booking_service::{
    domain::StripeAccount,
    settings::{
        CustomerRetentionSettings, EventStreamSettings, OutboxSettings, Settings as BookingSettings, StripeSettings,
    },
};
use conversation_service::settings::{DispatchSettings, EmotionSettings, MessageSearch, SchedulingSettings};
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
    gather::GatherLimits,
    identity::IdentitySettings,
    keys::{Keys, KeysChoice},
    outbox::RelaySettings,
    service::Service,
    telemetry::{Build, Telemetry},
};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

pub use self::databases::{
    connect, database, database_address, drop_database, encryption_keys, execute, home, postgres, proxied, scalar,
    through,
};
use crate::{
    clients::{self, BookingClients},
    proxy::Proxy,
};

static TELEMETRY: OnceCell<Telemetry> = OnceCell::const_new();

/// Settings of a service in a test: port 0, no pause at the stop, and timeouts so long that no call fails on a busy
/// machine (an unoptimised build takes long to log in to the database).
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
            max_message_bytes: 3 << 20,
            migrate_at_start: true,
            limits: ServerLimits::default(),
            shutdown_pause: Duration::ZERO,
            shutdown_drain: Duration::from_secs(5),
            identity: IdentitySettings::default(),
        },
        database: DatabaseChoice::Url(url),
        // Hundreds of services share a server, so each opens only the connections that it needs.
        database_limits: DatabaseLimits {
            max_connections: 10,
            min_connections: 1,
            acquire_timeout: Duration::from_secs(20),
        },
        gather: GatherLimits::default(),
        keys: KeysChoice::Given(keys.clone()),
        backlog_interval: Duration::from_hours(1),
        telemetry: TelemetrySettings {
            log_format: LogFormat::Text,
            log_level: "warn".to_owned(),
            open_telemetry: OpenTelemetrySettings::default(),
        },
    }
}

/// Settings of a booking-service in a test: it delivers and expires nothing after the start, so that only calls act.
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
        customer_retention: CustomerRetentionSettings::default(),
        clock: Clock::default(),
        slot_layout_interval: Duration::from_hours(1),
        hold_expiry_interval: Duration::from_hours(1),
        waitlist_interval: Duration::from_hours(1),
        checkpoint_interval: Duration::from_hours(1),
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
    /// A service over a new database.
    pub async fn start() -> Self {
        Self::over(database(&booking_service::app::DEFINITION).await, Keys::random()).await
    }

    /// A service over this database with these keys: a replica, or a restarted service.
    pub async fn over(url: SecretString, keys: Keys) -> Self {
        let common = settings(url.clone(), &keys);
        Self::with(common, url, keys).await
    }

    /// A service with these settings.
    pub async fn with(common: CommonSettings, url: SecretString, keys: Keys) -> Self {
        Box::pin(Self::changed(|_| {}, common, url, keys)).await
    }

    /// A service with these settings, of which some are changed. By default its clock is right, it lays out slots once,
    /// at the start, and it delivers nothing.
    pub async fn changed(
        change: impl FnOnce(&mut BookingSettings),
        common: CommonSettings,
        url: SecretString,
        keys: Keys,
    ) -> Self {
        let mut settings = booking_settings(common);
        change(&mut settings);
        // Boxed, like the service, because settings are large too.
        Box::pin(Self::configured(settings, url, keys)).await
    }

    /// A service with all of its settings.
    pub async fn configured(settings: BookingSettings, url: SecretString, keys: Keys) -> Self {
        telemetry().await;
        databases::remember_keys(&url, &keys);
        // Boxed: a test that awaits several services would need a large stack.
        let service = Box::pin(booking_service::app::start(&settings, None)).await.expect("the service starts");
        let clients = BookingClients::new(service.server.grpc_addr);
        Self { service, url, keys, clients }
    }

    /// A ready service over a new database that it reaches through a proxy.
    pub async fn behind_a_proxy(change: impl FnOnce(&mut CommonSettings)) -> (Proxy, Self) {
        let (proxy, url) = proxied(&booking_service::app::DEFINITION).await;
        let keys = Keys::random();
        let mut settings = settings(url.clone(), &keys);
        change(&mut settings);
        (proxy, Self::with(settings, url, keys).await.ready().await)
    }

    /// Waits until the service is ready.
    pub async fn ready(self) -> Self {
        assert!(self.service.server.readiness().ready().await, "the service is ready");
        self
    }

    /// The single value of a query, run directly on the database.
    pub async fn scalar<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        scalar(&self.url, query).await
    }

    /// Every row that CreateBooking writes, with its transaction id, as one string. Two equal strings prove that
    /// nothing was written in between.
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
    /// A service over a new database.
    pub async fn start() -> Self {
        Self::over(database(&conversation_service::app::DEFINITION).await, Keys::random()).await
    }

    /// A service over this database with these keys: a replica, or a restarted service.
    pub async fn over(url: SecretString, keys: Keys) -> Self {
        let common = settings(url.clone(), &keys);
        Self::with(common, url, keys).await
    }

    /// A service with these settings.
    pub async fn with(common: CommonSettings, url: SecretString, keys: Keys) -> Self {
        Self::with_emotion_settings(EmotionSettings::default(), common, url, keys).await
    }

    /// A service with these settings and these settings for emotions.
    pub async fn with_emotion_settings(
        emotions: EmotionSettings,
        common: CommonSettings,
        url: SecretString,
        keys: Keys,
    ) -> Self {
        Self::changed(common, url, keys, |settings| settings.emotions = emotions).await
    }

    /// A service with these and otherwise default settings, of which some are changed.
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
            message_search: MessageSearch::Off,
            scheduling: SchedulingSettings::default(),
            // Timers are off by default, because tests count statements.
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

    /// A ready service over a new database that it reaches through a proxy.
    pub async fn behind_a_proxy(change: impl FnOnce(&mut CommonSettings)) -> (Proxy, Self) {
        let (proxy, url) = proxied(&conversation_service::app::DEFINITION).await;
        let keys = Keys::random();
        let mut settings = settings(url.clone(), &keys);
        change(&mut settings);
        (proxy, Self::with(settings, url, keys).await.ready().await)
    }

    /// Waits until the service is ready.
    pub async fn ready(self) -> Self {
        assert!(self.service.server.readiness().ready().await, "the service is ready");
        self
    }

    /// The single value of a query, run directly on the database.
    pub async fn scalar<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        scalar(&self.url, query).await
    }
}

/// Waits until a condition holds. Fails after a minute, which is long enough for a busy machine.
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

/// Tests also propagate traces; the log shows errors only.
async fn telemetry() {
    let settings = TelemetrySettings {
        log_format: LogFormat::Text,
        log_level: "error".to_owned(),
        open_telemetry: OpenTelemetrySettings::default(),
    };
    TELEMETRY.get_or_init(async || Telemetry::start("tests", BUILD, &settings).expect("telemetry starts")).await;
}
