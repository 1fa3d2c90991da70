//! The wiring of conversation-service.

use std::sync::Arc;

use sqlx::migrate::Migrator;
use teppan_shared::{
    contract::conversation::v1::{
        conversation_service_server::ConversationServiceServer, follow_up_service_server::FollowUpServiceServer,
        outbox_service_server::OutboxServiceServer,
    },
    service::{Definition, OpenDatabase, Service, StartError},
    telemetry::Build,
    worker::Nudge,
};
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    core::Core,
    grpc::Grpc,
    outbox,
    settings::{DispatchSettings, Settings},
    store_message,
    workers::{BacklogReading, EmotionAggregation, FollowUpClock, Reengagement, Retention},
};

/// In a rollout an old replica may start on a database that a newer one has migrated. Migrations
/// only add what the version before can live with, so it ignores those it does not know.
static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!() };

/// What `--version` prints: the version and, where it is known, the revision.
pub const VERSION: &str = env!("TEPPAN_VERSION");

/// What makes this service different from the other.
pub const DEFINITION: Definition = Definition {
    name: "conversation-service",
    database: "teppan_conversation",
    build: Build { version: env!("CARGO_PKG_VERSION"), revision: option_env!("TEPPAN_REVISION") },
    migrator: &MIGRATOR,
    hot_statements: &[store_message::STATEMENT],
    services: &[
        "teppan.conversation.v1.ConversationService",
        "teppan.conversation.v1.FollowUpService",
        "teppan.conversation.v1.OutboxService",
    ],
};

/// Starts the service.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: &Settings, registry: Option<prometheus::Registry>) -> Result<Service, StartError> {
    let open = OpenDatabase::open(&DEFINITION, &settings.common).await?;
    let core = Arc::new(Core::new(open.database.clone(), &open.keys, settings));
    let routes = routes(&Grpc::new(Arc::clone(&core)), settings.common.server.max_message_bytes);
    let service = Service::start(&DEFINITION, &settings.common, open, routes, axum::Router::new(), registry).await?;
    let pending = core.emotions_pending.clone();
    service.work(EmotionAggregation(Arc::clone(&core)), pending, settings.emotions.interval);
    // What is old enough to go has time: nobody nudges it.
    service.work(Retention(Arc::clone(&core)), Nudge::default(), settings.scheduling.retention.interval);
    service.work(BacklogReading::new(Arc::clone(&core)), Nudge::default(), settings.common.backlog_interval);
    outbox::start(&service, &core.outbox, settings);
    start_dispatch(&service, core, &settings.dispatch);
    Ok(service)
}

/// The jobs that follow-ups depend on.
fn start_dispatch(service: &Service, core: Arc<Core>, settings: &DispatchSettings) {
    let due = core.follow_up_clock.clone();
    service.work(FollowUpClock(Arc::clone(&core)), due, settings.clock_interval);
    if let Some(after) = settings.reengagement_after {
        service.work(Reengagement(core, after), Nudge::default(), settings.reengagement_interval);
    }
}

fn routes(grpc: &Grpc, max_message_bytes: usize) -> Routes {
    macro_rules! server {
        ($server:ident) => {
            $server::new(grpc.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(max_message_bytes)
        };
    }
    Routes::new(server!(ConversationServiceServer))
        .add_service(server!(FollowUpServiceServer))
        .add_service(server!(OutboxServiceServer))
}
