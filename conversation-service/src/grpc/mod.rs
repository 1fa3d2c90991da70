//! The gRPC face: decode, call, encode. Wire types stop here.

mod conversation_service;
mod decode;
mod encode;
mod get_emotion_history;
mod list_conversations;
mod list_messages;
mod status;
mod store_message;

use std::sync::Arc;

use teppan_shared::contract::conversation::v1::follow_up_service_server::FollowUpService;

use crate::core::Core;

/// All of this service's gRPC services. Cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    core: Arc<Core>,
}

impl Grpc {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl FollowUpService for Grpc {}
