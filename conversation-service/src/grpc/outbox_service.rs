use super::Grpc;
use crate::domain::ConversationId;

teppan_shared::outbox_service! {
    conversation for Grpc, operations: |grpc| grpc.outbox,
    aggregate: conversation_id by |id| ConversationId::parse(id).map(|id| id.as_str().to_owned())
}
