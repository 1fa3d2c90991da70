//! The gRPC services: decode, call, encode. Protobuf types are used only in this module.

mod cancel_follow_up;
mod change_holder;
mod claim_due_follow_ups;
mod complete_follow_up;
mod consents;
mod conversation_service;
mod decode;
mod encode;
mod enums;
mod fail_follow_up;
mod follow_up_service;
mod get_context_window;
mod get_emotion_history;
mod list_conversations;
mod list_follow_ups;
mod list_messages;
mod memories;
mod outbox_service;
mod parts;
mod redact_message;
mod schedule_follow_up;
mod search_messages;
mod set_summary;
mod status;
mod store_message;
mod store_messages;
mod stream_messages;

use std::sync::Arc;

use teppan_shared::{clock::Clock, outbox::Outbox};

use crate::{
    context_windows::ContextWindows, conversations::Conversations, emotions::Emotions, follow_ups::FollowUps,
    handoffs::Handoffs, memories::Memories, messages::Messages, search::Search, summaries::Summaries,
};

/// All of this service's gRPC services. Cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    pub clock: Clock,
    pub conversations: Arc<Conversations>,
    pub messages: Arc<Messages>,
    pub search: Arc<Search>,
    pub memories: Arc<Memories>,
    pub summaries: Arc<Summaries>,
    pub context_windows: Arc<ContextWindows>,
    pub emotions: Arc<Emotions>,
    pub follow_ups: Arc<FollowUps>,
    pub handoffs: Arc<Handoffs>,
    pub outbox: Outbox,
}
