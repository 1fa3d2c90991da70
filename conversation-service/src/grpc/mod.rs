//! The gRPC services: decode, call, encode. Protobuf types are used only in this module.

mod cancel_follow_up;
mod claim_due_follow_ups;
mod complete_follow_up;
mod conversation_service;
mod decode;
mod encode;
mod enums;
mod fail_follow_up;
mod follow_up_service;
mod get_emotion_history;
mod list_conversations;
mod list_follow_ups;
mod list_messages;
mod outbox_service;
mod schedule_follow_up;
mod status;
mod store_message;

use std::sync::Arc;

use teppan_shared::{clock::Clock, outbox::Outbox};

use crate::{conversations::Conversations, emotions::Emotions, follow_ups::FollowUps, messages::Messages};

/// All of this service's gRPC services. Cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    pub clock: Clock,
    pub conversations: Arc<Conversations>,
    pub messages: Arc<Messages>,
    pub emotions: Arc<Emotions>,
    pub follow_ups: Arc<FollowUps>,
    pub outbox: Outbox,
}
