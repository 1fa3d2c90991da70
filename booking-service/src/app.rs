//! Builds and starts booking-service.

use std::sync::Arc;

use sqlx::migrate::Migrator;
use teppan_shared::{
    contract::booking::v1::{
        booking_service_server::BookingServiceServer, customer_service_server::CustomerServiceServer,
        outbox_service_server::OutboxServiceServer, payment_service_server::PaymentServiceServer,
        schedule_service_server::ScheduleServiceServer,
    },
    gather::Gatherer,
    nats,
    outbox::{EventStream, Outbox, Relay},
    postgres::Database,
    rotation::{SealedColumn, SealedTable},
    server::GrpcParts,
    service::{Definition, OpenDatabase, Service, StartError},
    telemetry::Build,
    tls::ClientTls,
    worker::Nudge,
};
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    bookings::create::many::Creations,
    bookings::event_data::EVENT_SOURCE,
    bookings::{
        self, Bookings, create, expire_holds::HoldExpiry, key_retention::KeyRetention, metrics::BookingMetrics,
        slot_queue::SlotQueues,
    },
    checkpoints::{Checkpoints, keys::CheckpointKeys, write::CheckpointWriter},
    customers::{Customers, export::CustomerExports, merge::CustomerMerges, retention::CustomerRetention},
    domain::GivenPhone,
    event_stream::{BookingEvents, stream::LiveStreams},
    grpc::Grpc,
    outbox::{self, CONVERSATION_SERVICE, ConversationService, FollowUpScheduling, OutboxSettings, STRIPE},
    outbox::{backlog::Backlog, dead_letters::OutboxOperations},
    payments::Payments,
    settings::Settings,
    slots::{Slots, adopt_time_zone_rules::TimeZoneRules, alternatives::RecentAlternatives, lay_out::SlotLayout},
    stripe::{
        Stripe, apply_events::StripeEvents, metrics::StripeMetrics, retention::StripeRetention, webhook::StripeWebhook,
    },
    venues::Venues,
    waitlist::{Waitlist, close_entries::WaitlistClosing, freed_seats::FreedSeats, offer::WaitlistOffers},
};

/// During a rollout an old replica may start on a database that a newer replica has migrated. Every migration is
/// compatible with the version before, so a replica ignores migrations that it does not know.
static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!() };

/// Every table with sealed columns. `rotate-keys` goes through them.
pub const SEALED_TABLES: [SealedTable; 3] = [
    SealedTable {
        name: "customers",
        key: ("customer_id", "uuid", NIL),
        columns: &[SealedColumn {
            name: "contact_sealed",
            about: ("customers", "contact_sealed"),
            row: "uuid_send(customer_id) || int8send(version)",
        }],
        hash: None,
    },
    SealedTable { name: "bookings", key: ("booking_id", "uuid", NIL), columns: &[DETAILS], hash: None },
    SealedTable { name: "waitlist_entries", key: ("waitlist_entry_id", "uuid", NIL), columns: &[DETAILS], hash: None },
];
/// An offer copies them from the waitlist entry to its booking.
const DETAILS: SealedColumn =
    SealedColumn { name: "details_sealed", about: ("bookings", "details_sealed"), row: "uuid_send(booking_id)" };
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// The output of `--version`: the version and, if known, the revision.
pub const VERSION: &str = env!("TEPPAN_VERSION");

/// The properties of this service that the shared code needs.
pub const DEFINITION: Definition = Definition {
    name: "booking-service",
    database: "teppan_booking",
    build: Build { version: env!("CARGO_PKG_VERSION"), revision: option_env!("TEPPAN_REVISION") },
    migrator: &MIGRATOR,
    hot_statements: &[create::STATEMENT, create::many::STATEMENT_FOR_MANY],
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
    let outbox = outbox::open(open.database.clone(), settings);
    let tls = conversation_service_tls(&settings.outbox)?;
    let relays = Relays::new(&outbox, &open.database, &settings.outbox, tls.clone());
    let inline = relays.inline(&settings.outbox);
    let (grpc, stripe) = build_modules(&open, settings, &outbox, inline);
    let methods = methods(&grpc, settings.common.server.max_message_bytes);
    let webhook = StripeWebhook {
        stripe: Arc::clone(&stripe),
        secrets: settings.stripe.secrets.clone(),
        account: settings.stripe.account.clone(),
        nudge: outbox.nudge_of(STRIPE),
        timeout: settings.common.server.request_timeout,
    };
    let stripe_nudge = webhook.nudge.clone();
    let (database, clock, keys) = (open.database.clone(), settings.clock, CheckpointKeys::of(&open.keys));
    let checkpoints = CheckpointWriter::new(Checkpoints { database, clock, keys }, outbox.clone());
    let backlog = Backlog::new(open.database.clone(), settings.clock, outbox);
    let service = Service::start(&DEFINITION, &settings.common, open, methods, webhook.routes(), registry).await?;
    if let Some(tls) = tls {
        let follow = tls.follow(settings.common.server.reload_interval, service.stopping());
        service.do_once("certificates for conversation-service", follow);
    }
    relays.work(&service, &settings.outbox);
    if let Some(token) = settings.outbox.conversation_service_token.clone() {
        let follow = token.follow(settings.common.server.reload_interval, service.stopping());
        service.do_once("token for conversation-service", follow);
    }
    start_workers(&service, settings, grpc, stripe, stripe_nudge);
    service.work(checkpoints, Nudge::default(), settings.checkpoint_interval);
    service.work(backlog, Nudge::default(), settings.common.backlog_interval);
    Ok(service)
}

/// Builds the objects of each module of this crate.
pub(crate) fn build_modules(
    open: &OpenDatabase,
    settings: &Settings,
    outbox: &Outbox,
    inline: Option<Relay<ConversationService>>,
) -> (Grpc, Arc<Stripe>) {
    let (database, clock, keys) = (|| open.database.clone(), settings.clock, &open.keys);
    let (ring, fingerprint) = (|| keys.ring(), || bookings::fingerprint(keys));
    let (live, metrics) = (Arc::new(LiveStreams::new(settings.event_stream)), Arc::new(BookingMetrics::default()));
    let (slot_queues, freed_seats) = (Arc::new(SlotQueues::default()), FreedSeats::default());
    let customers = Arc::new(Customers::new(database(), keys, clock, outbox.clone()));
    let bookings = Arc::new(Bookings {
        database: database(),
        clock,
        ring: ring(),
        fingerprint: fingerprint(),
        customers: Arc::clone(&customers),
        gatherer: Gatherer::new(Creations { database: database() }, settings.common.gather),
        slot_queues: Arc::clone(&slot_queues),
        live: Arc::clone(&live),
        freed_seats: freed_seats.clone(),
        outbox: outbox.clone(),
        inline,
        metrics: Arc::clone(&metrics),
    });
    let slots = Arc::new(Slots {
        database: database(),
        clock,
        bookings: Arc::clone(&bookings),
        slot_queues: Arc::clone(&slot_queues),
        layout: Nudge::default(),
        freed_seats: freed_seats.clone(),
        recent_alternatives: RecentAlternatives::default(),
    });
    let stripe =
        Stripe { database: database(), clock, bookings: Arc::clone(&bookings), metrics: StripeMetrics::default() };
    let payments = Arc::new(Payments {
        database: database(),
        clock,
        ring: ring(),
        fingerprint: fingerprint(),
        bookings: Arc::clone(&bookings),
    });
    let waitlist = Arc::new(Waitlist {
        freed_seats: freed_seats.clone(),
        database: database(),
        clock,
        ring: ring(),
        fingerprint: fingerprint(),
        customers: Arc::clone(&customers),
        bookings: Arc::clone(&bookings),
        slot_queues,
        live: Arc::clone(&live),
        outbox: outbox.clone(),
        metrics,
    });
    let exports = Arc::new(CustomerExports {
        customers: Arc::clone(&customers),
        bookings: Arc::clone(&bookings),
        waitlist: Arc::clone(&waitlist),
        payments: Arc::clone(&payments),
    });
    let merges = Arc::new(CustomerMerges { customers: Arc::clone(&customers), live: Arc::clone(&live) });
    let grpc = Grpc {
        merges,
        events: Arc::new(BookingEvents { database: database(), clock, live }),
        outbox: OutboxOperations { outbox: outbox.clone(), database: database(), clock },
        payments,
        exports,
        venues: Arc::new(Venues {
            database: database(),
            clock,
            fingerprint: fingerprint(),
            default_phone_region: settings.default_phone_region,
            slots: Arc::clone(&slots),
            freed_seats,
        }),
        waitlist,
        bookings,
        customers,
        slots,
    };
    (grpc, Arc::new(stripe))
}

/// Starts the background workers.
fn start_workers(service: &Service, settings: &Settings, grpc: Grpc, stripe: Arc<Stripe>, stripe_nudge: Nudge) {
    let Grpc { bookings, customers, slots, waitlist, .. } = grpc;
    service.work(SlotLayout(Arc::clone(&slots)), slots.layout.clone(), settings.slot_layout_interval);
    service.work(TimeZoneRules::new(slots), Nudge::default(), settings.slot_layout_interval);
    service.work(HoldExpiry::new(Arc::clone(&bookings)), Nudge::default(), settings.hold_expiry_interval);
    service.work(
        WaitlistOffers(Arc::clone(&waitlist)),
        bookings.freed_seats.nudge().clone(),
        settings.waitlist_interval,
    );
    service.work(WaitlistClosing(waitlist), Nudge::default(), settings.waitlist_interval);
    let events = StripeEvents { stripe: Arc::clone(&stripe), attempts_max: settings.stripe.attempts_max };
    service.work(events, stripe_nudge, settings.stripe.interval);
    let retention = StripeRetention { stripe, keep: settings.stripe.keep };
    service.work(retention, Nudge::default(), settings.retention_interval);
    let retention = CustomerRetention::new(customers, settings.customer_retention, settings.idempotency_keep);
    service.work(retention, Nudge::default(), settings.retention_interval);
    let retention = KeyRetention { bookings, keep: settings.idempotency_keep };
    service.work(retention, Nudge::default(), settings.retention_interval);
}

/// Reads the telephone number rules on a blocking thread while the database opens. Reading takes long, and the first
/// booking must not wait for it.
#[expect(clippy::disallowed_methods, reason = "the task is awaited here")]
async fn read_phone_rules() {
    if let Err(error) = tokio::task::spawn_blocking(GivenPhone::load_rules).await {
        tracing::error!(%error, "reading the telephone number rules failed");
    }
}

/// The TLS configuration for conversation-service; `None` unless its URL is https.
pub(crate) fn conversation_service_tls(outbox: &OutboxSettings) -> Result<Option<Arc<ClientTls>>, StartError> {
    if outbox.conversation_service_url.scheme_str() != Some("https") {
        return Ok(None);
    }
    Ok(Some(Arc::new(outbox.conversation_service_tls.open(CONVERSATION_SERVICE)?)))
}

/// The relays of the outbox.
struct Relays {
    to_conversation_service: Relay<ConversationService>,
    to_event_stream: Option<Relay<EventStream>>,
}

impl Relays {
    fn new(outbox: &Outbox, database: &Database, settings: &OutboxSettings, tls: Option<Arc<ClientTls>>) -> Self {
        let conversation_service = ConversationService::new(
            settings.conversation_service_url.clone(),
            tls,
            settings.conversation_service_token.clone(),
            settings.relay.delivery_timeout,
            database.clone(),
        );
        let event_stream = |nats| Relay::new(outbox.clone(), EventStream::new(nats, EVENT_SOURCE));
        Self {
            to_conversation_service: Relay::new(outbox.clone(), conversation_service),
            to_event_stream: settings.nats.clone().map(event_stream),
        }
    }

    fn inline(&self, settings: &OutboxSettings) -> Option<Relay<ConversationService>> {
        (settings.follow_ups == FollowUpScheduling::Inline).then(|| self.to_conversation_service.clone())
    }

    fn work(&self, service: &Service, settings: &OutboxSettings) {
        if let Some(nats) = settings.nats.clone().filter(|_| settings.relay.relays > 0) {
            service.do_once("check of NATS", nats::warn_if_unavailable(nats));
        }
        self.to_conversation_service.work(service);
        if let Some(relay) = &self.to_event_stream {
            relay.work(service);
        }
    }
}

fn methods(grpc: &Grpc, max_message_bytes: usize) -> GrpcParts {
    macro_rules! server {
        ($server:ident) => {
            $server::new(grpc.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(max_message_bytes)
        };
    }
    let routes = Routes::new(server!(BookingServiceServer))
        .add_service(server!(ScheduleServiceServer))
        .add_service(server!(CustomerServiceServer))
        .add_service(server!(PaymentServiceServer))
        .add_service(server!(OutboxServiceServer));
    GrpcParts { routes, queues: vec![Arc::new(grpc.bookings.gatherer.clone())] }
}
