use teppan_shared::{
    contract::conversation::v1::{
        Conversation, GetConversationRequest, GetConversationResponse, GetEmotionHistoryRequest,
        GetEmotionHistoryResponse, ListConversationsRequest, ListConversationsResponse, ListMessagesRequest,
        ListMessagesResponse, StoreMessageRequest, StoreMessageResponse,
        conversation_service_server::ConversationService,
    },
    server::answer,
    status::Violations,
};
use tonic::{Request, Response, Status};

use super::{Grpc, encode, get_emotion_history, list_conversations, list_messages, status, store_message};
use crate::domain::ConversationId;

#[tonic::async_trait]
impl ConversationService for Grpc {
    async fn store_message(
        &self,
        request: Request<StoreMessageRequest>,
    ) -> Result<Response<StoreMessageResponse>, Status> {
        let new = store_message::decode(request.into_inner(), self.clock.now())?;
        let stored = self.messages.store(new).await.map_err(|error| status::store_message(&error))?;
        let message = Some(encode::message(stored.message));
        Ok(answer(StoreMessageResponse { message, replayed: stored.replayed }, stored.replayed))
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        let mut violations = Violations::default();
        let id = violations.check("conversation_id", ConversationId::parse(request.into_inner().conversation_id));
        let Some(id) = id else { return Err(violations.into_status()) };
        let read = self.conversations.get(&id).await.map_err(|error| status::read(&error, &id))?;
        let conversation = Conversation {
            emotion_statistics: read.emotions.map(encode::emotion_statistics),
            ..encode::conversation(&read.conversation)
        };
        Ok(Response::new(GetConversationResponse { conversation: Some(conversation) }))
    }

    async fn list_conversations(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let requested = list_conversations::decode(request.into_inner())?;
        let page = self
            .conversations
            .list(&requested.filter, requested.after.as_ref(), requested.page_size)
            .await
            .map_err(|error| error.to_failure())?;
        Ok(Response::new(list_conversations::encode(&requested, &page)))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let requested = list_messages::decode(request.into_inner())?;
        let id = &requested.conversation_id;
        let page = self
            .messages
            .list(id, requested.range, requested.order, requested.page_size)
            .await
            .map_err(|error| status::list_messages(&error, &requested))?;
        Ok(Response::new(list_messages::encode(&requested, page)))
    }

    async fn get_emotion_history(
        &self,
        request: Request<GetEmotionHistoryRequest>,
    ) -> Result<Response<GetEmotionHistoryResponse>, Status> {
        let requested = get_emotion_history::decode(request.into_inner())?;
        let id = &requested.conversation_id;
        let page = self
            .emotions
            .history(id, requested.range, requested.order, requested.role, requested.page_size)
            .await
            .map_err(|error| status::read(&error, id))?;
        Ok(Response::new(get_emotion_history::encode(&requested, page)))
    }
}
