//! The wiring of booking-service.

use std::sync::Arc;

use sqlx::migrate::Migrator;
use teppan_shared::{
    contract::booking::v1::{
        booking_service_server::BookingServiceServer, customer_service_server::CustomerServiceServer,
        outbox_service_server::OutboxServiceServer, payment_service_server::PaymentServiceServer,
        schedule_service_server::ScheduleServiceServer,
    },
    nats,
    service::{Definition, OpenDatabase, Service, StartError},
    telemetry::Build,
    tls::ClientTls,
    worker::Nudge,
};
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    bookings::{create, expire_holds::HoldExpiry, key_retention::KeyRetention},
    core::Core,
    domain::GivenPhone,
    grpc::Grpc,
    outbox::backlog_job::BacklogReading,
    outbox::{
        CONVERSATION_SERVICE, ConversationService, EventStream, FollowUpScheduling, Outbox, OutboxSettings, Receiver,
        Relay,
    },
    settings::Settings,
    slots::{layout_job::SlotLayout, time_zone_rules_job::TimeZoneRules},
    stripe::{events_job::StripeEvents, retention::StripeRetention, webhook::StripeWebhook},
    waitlist::{closing_job::WaitlistClosing, offer::WaitlistOffers},
};

/// In a rollout an old replica may start on a database that a newer one has migrated. Migrations
/// only add what the version before can live with, so it ignores those it does not know.
static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!() };

/// What `--version` prints: the version and, where it is known, the revision.
pub const VERSION: &str = env!("TEPPAN_VERSION");

/// What makes this service different from the other.
pub const DEFINITION: Definition = Definition {
    name: "booking-service",
    database: "teppan_booking",
    build: Build { version: env!("CARGO_PKG_VERSION"), revision: option_env!("TEPPAN_REVISION") },
    migrator: &MIGRATOR,
    hot_statements: &[create::STATEMENT],
    services: &[
        "teppan.booking.v1.BookingService",
        "teppan.booking.v1.ScheduleService",
        "teppan.booking.v1.CustomerService",
        "teppan.booking.v1.PaymentService",
        "teppan.booking.v1.OutboxService",
    ],
};

/// Starts the service.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: &Settings, registry: Option<prometheus::Registry>) -> Result<Service, StartError> {
    let (open, ()) = tokio::join!(OpenDatabase::open(&DEFINITION, &settings.common), read_phone_rules());
    let open = open?;
    let outbox = Outbox::new(open.database.clone(), settings.clock, settings.outbox.clone());
    let tls = conversation_service_tls(&settings.outbox)?;
    let relays = Relays::new(&outbox, tls.clone());
    let core = Arc::new(Core::new(
        open.database.clone(),
        &open.keys,
        settings.clock,
        settings.default_phone_region,
        settings.event_stream,
        outbox.clone(),
        relays.inline(&settings.outbox),
    ));
    let grpc = Grpc::new(Arc::clone(&core));
    let routes = routes(&grpc, settings.common.server.max_message_bytes);
    let webhook = StripeWebhook {
        core: Arc::clone(&core),
        secrets: settings.stripe.secrets.clone(),
        account: settings.stripe.account.clone(),
        nudge: Nudge::default(),
        timeout: settings.common.server.request_timeout,
    };
    let told_by_stripe = webhook.nudge.clone();
    let service = Service::start(&DEFINITION, &settings.common, open, routes, webhook.routes(), registry).await?;
    if let Some(tls) = tls {
        let follow = tls.follow(settings.common.server.reload_interval, service.stopping());
        service.do_once("certificates for conversation-service", follow);
    }
    relays.work(&service, &outbox);
    if let Some(token) = settings.outbox.conversation_service_token.clone() {
        let follow = token.follow(settings.common.server.reload_interval, service.stopping());
        service.do_once("token for conversation-service", follow);
    }
    service.work(SlotLayout(Arc::clone(&core)), core.layout.clone(), settings.slot_layout_interval);
    service.work(TimeZoneRules::new(Arc::clone(&core)), Nudge::default(), settings.slot_layout_interval);
    service.work(HoldExpiry(Arc::clone(&core)), Nudge::default(), settings.hold_expiry_interval);
    let waitlist = core.waitlist.clone();
    service.work(WaitlistOffers(Arc::clone(&core)), waitlist, settings.waitlist_interval);
    service.work(WaitlistClosing(Arc::clone(&core)), Nudge::default(), settings.waitlist_interval);
    let stripe = &settings.stripe;
    let events = StripeEvents { core: Arc::clone(&core), attempts_max: stripe.attempts_max };
    service.work(events, told_by_stripe, stripe.interval);
    let retention = StripeRetention { core: Arc::clone(&core), keep: stripe.keep };
    service.work(retention, Nudge::default(), settings.retention_interval);
    service.work(BacklogReading::new(Arc::clone(&core)), Nudge::default(), settings.common.backlog_interval);
    let retention = KeyRetention { core, keep: settings.idempotency_keep };
    service.work(retention, Nudge::default(), settings.retention_interval);
    Ok(service)
}

/// The rules of telephone numbers take long to read, and must not make the first booking wait. They are read on a
/// thread for work that blocks, beside the opening of the database.
#[expect(clippy::disallowed_methods, reason = "it is awaited here")]
async fn read_phone_rules() {
    if let Err(error) = tokio::task::spawn_blocking(GivenPhone::load_rules).await {
        tracing::error!(%error, "the rules of telephone numbers cannot be read");
    }
}

/// The TLS configuration for conversation-service; `None` unless its URL is https.
fn conversation_service_tls(outbox: &OutboxSettings) -> Result<Option<Arc<ClientTls>>, StartError> {
    if outbox.conversation_service_url.scheme_str() != Some("https") {
        return Ok(None);
    }
    Ok(Some(Arc::new(outbox.conversation_service_tls.open(CONVERSATION_SERVICE)?)))
}

/// Who delivers the outbox, to each destination in use.
struct Relays {
    to_conversation_service: Relay<ConversationService>,
    to_event_stream: Option<Relay<EventStream>>,
}

impl Relays {
    fn new(outbox: &Outbox, tls: Option<Arc<ClientTls>>) -> Self {
        let OutboxSettings { conversation_service_url, conversation_service_token, delivery_timeout, nats, .. } =
            outbox.settings().clone();
        let conversation_service =
            ConversationService::new(conversation_service_url, tls, conversation_service_token, delivery_timeout);
        Self {
            to_conversation_service: Relay::new(outbox.clone(), conversation_service),
            to_event_stream: nats.map(|nats| Relay::new(outbox.clone(), EventStream::new(nats))),
        }
    }

    fn inline(&self, settings: &OutboxSettings) -> Option<Relay<ConversationService>> {
        (settings.follow_ups == FollowUpScheduling::Inline).then(|| self.to_conversation_service.clone())
    }

    fn work(&self, service: &Service, outbox: &Outbox) {
        if let Some(nats) = outbox.settings().nats.clone().filter(|_| outbox.settings().relays > 0) {
            service.do_once("first look at NATS", nats::warn_if_away(nats));
        }
        for _ in 0..outbox.settings().relays {
            work(service, outbox, &self.to_conversation_service);
            if let Some(relay) = &self.to_event_stream {
                work(service, outbox, relay);
            }
        }
    }
}

fn work<R: Receiver>(service: &Service, outbox: &Outbox, relay: &Relay<R>) {
    let nudge = outbox.nudge_of(R::DESTINATION).clone();
    service.work(relay.until(service.stopping()), nudge, outbox.settings().interval);
}

fn routes(grpc: &Grpc, max_message_bytes: usize) -> Routes {
    macro_rules! server {
        ($server:ident) => {
            $server::new(grpc.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(max_message_bytes)
        };
    }
    Routes::new(server!(BookingServiceServer))
        .add_service(server!(ScheduleServiceServer))
        .add_service(server!(CustomerServiceServer))
        .add_service(server!(PaymentServiceServer))
        .add_service(server!(OutboxServiceServer))
}
