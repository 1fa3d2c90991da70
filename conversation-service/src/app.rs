//! The wiring of conversation-service.

use std::sync::Arc;

use sqlx::migrate::Migrator;
use teppan_shared::{
    contract::conversation::v1::{
        conversation_service_server::ConversationServiceServer, follow_up_service_server::FollowUpServiceServer,
        outbox_service_server::OutboxServiceServer,
    },
    rotation::{HashedColumn, SealedColumn, SealedTable},
    server::GrpcParts,
    service::{Definition, OpenDatabase, Service, StartError},
    telemetry::Build,
    worker::Nudge,
};
use tonic::{codec::CompressionEncoding, service::Routes};

use crate::{
    context_windows::ContextWindows,
    conversations::{ConversationRetention, Conversations},
    emotions::{EmotionAggregationJob, Emotions},
    events::Events,
    follow_ups::{FollowUpClock, FollowUps, Reengagement},
    grpc::Grpc,
    handoffs::Handoffs,
    memories::{ExpiredMemories, KEY_HASH, Memories},
    messages::{self, Messages},
    outbox,
    purge::Retention,
    read_backlog::Backlog,
    search::{self, Search},
    settings::{MessageSearch, Settings},
    summaries::Summaries,
    users::{USER_HASH, Users},
};

/// During a rollout an old replica may start on a database that a newer one has migrated. It ignores unknown
/// migrations: every migration is compatible with the version before it.
static MIGRATOR: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!() };

/// Every table with sealed columns. `rotate-keys` goes through them.
pub const SEALED_TABLES: [SealedTable; 7] = [
    SealedTable {
        name: "messages",
        key: ("message_id", "uuid", NIL),
        columns: &[
            message_column("content_sealed", MESSAGE_ROW),
            message_column("metadata_sealed", MESSAGE_ROW),
            message_column("parts_sealed", MESSAGE_ROW),
            message_column(
                "emotions_sealed",
                "uuid_send(message_id) || convert_to(role || '//' || conversation_id, 'UTF8')",
            ),
        ],
        hash: None,
    },
    SealedTable { name: "conversations", key: ("conversation_id", "text", ""), columns: &[USER], hash: Some(USERS) },
    SealedTable {
        name: "conversation_summaries",
        key: ("conversation_id", "text", ""),
        columns: &[SealedColumn {
            name: "text_sealed",
            about: ("conversation_summaries", "text_sealed"),
            row: r"convert_to(conversation_id, 'UTF8') || '\x00'::bytea || int8send(through_sequence)",
        }],
        hash: None,
    },
    SealedTable {
        name: "memory_users",
        key: ("memory_user_id", "uuid", NIL),
        columns: &[SealedColumn {
            name: "user_sealed",
            about: ("memory_users", "user_sealed"),
            row: "uuid_send(memory_user_id)",
        }],
        hash: Some(HashedColumn { copies: &[], ..USERS }),
    },
    SealedTable {
        name: "user_memories",
        key: ("memory_id", "uuid", NIL),
        columns: &[memory_column("key_sealed"), memory_column("value_sealed")],
        hash: Some(HashedColumn { name: "key_hash", of: "key_sealed", purpose: KEY_HASH, copies: &[] }),
    },
    SealedTable {
        name: "emotion_statistics",
        key: ("conversation_id", "text", ""),
        columns: &[SealedColumn {
            name: "label_counts_sealed",
            about: ("emotion_statistics", "label_counts_sealed"),
            row: r"convert_to(conversation_id, 'UTF8') || '\x00'::bytea || int8send(aggregated_through)",
        }],
        hash: None,
    },
    SealedTable {
        name: "follow_ups",
        key: ("follow_up_id", "uuid", NIL),
        columns: &[
            // A completed follow-up copies its text to its message.
            message_column(
                "content_sealed",
                "uuid_send(message_id) || convert_to('ASSISTANT//' || conversation_id, 'UTF8')",
            ),
            SealedColumn {
                name: "metadata_sealed",
                about: ("follow_ups", "metadata_sealed"),
                row: "uuid_send(follow_up_id) || convert_to(conversation_id, 'UTF8')",
            },
            USER,
        ],
        hash: Some(HashedColumn { copies: &[], ..USERS }),
    },
];

const fn message_column(name: &'static str, row: &'static str) -> SealedColumn {
    SealedColumn { name, about: ("messages", name), row }
}

const fn memory_column(name: &'static str) -> SealedColumn {
    SealedColumn { name, about: ("user_memories", name), row: "uuid_send(memory_id) || uuid_send(memory_user_id)" }
}

/// The row of `messages::MessageBinding`.
const MESSAGE_ROW: &str = "uuid_send(message_id) || convert_to(role || '/' \
     || CASE WHEN parts_sealed IS NULL THEN '' ELSE 'p' END \
     || CASE WHEN metadata_sealed IS NULL THEN '' ELSE 'm' END \
     || CASE WHEN emotions_sealed IS NULL THEN '' ELSE 'e' END || '/' || conversation_id, 'UTF8')";
/// The user of a conversation, or of a follow-up that may become its first message.
const USER: SealedColumn = SealedColumn {
    name: "user_sealed",
    about: ("conversations", "user_sealed"),
    row: "convert_to(conversation_id, 'UTF8')",
};
const USERS: HashedColumn = HashedColumn {
    name: "user_hash",
    of: "user_sealed",
    purpose: USER_HASH,
    copies: &[("reengagement_checks", "user_hash")],
};
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// The text that `--version` prints: the version and, if it is known, the revision.
pub const VERSION: &str = env!("TEPPAN_VERSION");

/// The properties of this service.
pub const DEFINITION: Definition = Definition {
    name: "conversation-service",
    database: "teppan_conversation",
    build: Build { version: env!("CARGO_PKG_VERSION"), revision: option_env!("TEPPAN_REVISION") },
    migrator: &MIGRATOR,
    hot_statements: &[messages::STATEMENT, messages::STATEMENT_FOR_MANY],
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
    let (database, clock) = (open.database.clone(), settings.clock);
    let grpc = use_cases(&open, settings);
    let methods = methods(&grpc, settings.common.server.max_message_bytes);
    let service = Service::start(&DEFINITION, &settings.common, open, methods, axum::Router::new(), registry).await?;

    let Grpc { conversations, messages, memories, emotions, follow_ups, outbox, .. } = grpc;
    let (followed, stored) = messages.followed();
    service.work(followed, stored, messages::POLL_INTERVAL);
    let pending = emotions.pending();
    service.work(EmotionAggregationJob::new(emotions), pending, settings.emotions.interval);
    let backlog = Backlog::new(database, outbox.clone(), clock);
    service.work(backlog, Nudge::default(), settings.common.backlog_interval);
    outbox::start(&service, &outbox, settings);
    service.work(FollowUpClock(Arc::clone(&follow_ups)), follow_ups.due(), settings.dispatch.clock_interval);
    // Only the timer starts these, because they are never urgent.
    let retention = settings.scheduling.retention;
    service.work(ExpiredMemories(memories), Nudge::default(), retention.interval);
    service.work(Retention(Arc::clone(&follow_ups)), Nudge::default(), retention.interval);
    if let Some(keep) = retention.conversations {
        service.work(ConversationRetention::new(conversations, keep), Nudge::default(), retention.interval);
    }
    if let Some(after) = settings.dispatch.reengagement_after {
        let job = Reengagement(follow_ups, after);
        service.work(job, Nudge::default(), settings.dispatch.reengagement_interval);
    }
    Ok(service)
}

/// Creates the use cases with their dependencies.
fn use_cases(open: &OpenDatabase, settings: &Settings) -> Grpc {
    let outbox = outbox::open(open.database.clone(), settings);
    let events = Events::of(&outbox);
    let (database, keys, clock) = (&open.database, &open.keys, settings.clock);
    let users = Arc::new(Users::new(keys));
    let conversations = Conversations::new(database.clone(), clock, keys, Arc::clone(&users), events.clone());
    let conversations = Arc::new(conversations);
    let aggregation = settings.emotions.aggregation;
    let emotions =
        Emotions::new(database.clone(), clock, keys, aggregation, events.clone(), Arc::clone(&conversations));
    let emotions = Arc::new(emotions);
    let reengagement_after = settings.dispatch.reengagement_after.unwrap_or_default();
    let is_search_on = settings.message_search == MessageSearch::On;
    let messages = Messages::new(
        database.clone(),
        clock,
        keys,
        Arc::clone(&users),
        Arc::clone(&emotions),
        events.clone(),
        reengagement_after,
    )
    .gathering(settings.common.gather)
    .keeping(search::stored_words(keys, is_search_on));
    let search = Search::new(database.clone(), keys, Arc::clone(&users), is_search_on);
    let follow_ups = Arc::new(FollowUps::new(database.clone(), keys, Arc::clone(&users), settings, events.clone()));
    let memories = Memories::new(database.clone(), clock, keys, Arc::clone(&users), Arc::clone(&conversations));
    let handoffs = Handoffs::new(database.clone(), clock, users, events, Arc::clone(&follow_ups));
    Grpc {
        clock,
        conversations,
        messages: Arc::new(messages),
        search: Arc::new(search),
        memories: Arc::new(memories),
        summaries: Arc::new(Summaries::new(database.clone(), clock, keys)),
        context_windows: Arc::new(ContextWindows::new(database.clone(), keys)),
        emotions,
        follow_ups,
        handoffs: Arc::new(handoffs),
        outbox,
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
    let routes = Routes::new(server!(ConversationServiceServer))
        .add_service(server!(FollowUpServiceServer))
        .add_service(server!(OutboxServiceServer));
    GrpcParts { routes, queues: vec![grpc.messages.queue()] }
}
