use std::sync::Arc;

use futures::StreamExt as _;
use teppan_shared::{
    contract::conversation::v1::{
        AssignConversationRequest, AssignConversationResponse, CloseConversationRequest, CloseConversationResponse,
        Conversation, DeleteConversationRequest, DeleteConversationResponse, DeleteMemoryRequest, DeleteMemoryResponse,
        DeleteUserRequest, DeleteUserResponse, EscalateConversationRequest, EscalateConversationResponse,
        GetContextWindowRequest, GetContextWindowResponse, GetConversationRequest, GetConversationResponse,
        GetEmotionHistoryRequest, GetEmotionHistoryResponse, ListConversationsRequest, ListConversationsResponse,
        ListMemoriesRequest, ListMemoriesResponse, ListMessagesRequest, ListMessagesResponse, RedactMessageRequest,
        RedactMessageResponse, SearchMessagesRequest, SearchMessagesResponse, SetMemoryRequest, SetMemoryResponse,
        SetSummaryRequest, SetSummaryResponse, StoreMessageRequest, StoreMessageResponse, StoreMessagesRequest,
        StoreMessagesResponse, StreamMessagesRequest, StreamMessagesResponse,
        conversation_service_server::ConversationService,
    },
    server::{Bounds, answer},
};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{
    Grpc,
    change_holder::{self, ChangeRequest},
    decode, encode, get_context_window, get_emotion_history, list_conversations, list_messages, memories,
    redact_message,
    search_messages::{self, PageRequest},
    set_summary, status, store_message, store_messages, stream_messages,
};

#[tonic::async_trait]
impl ConversationService for Grpc {
    async fn store_message(
        &self,
        request: Request<StoreMessageRequest>,
    ) -> Result<Response<StoreMessageResponse>, Status> {
        let new = store_message::decode(request.into_inner(), self.clock.now())?;
        let stored = self.messages.store(new).await.map_err(|error| status::store_message(&error))?;
        let replayed = stored.replayed;
        Ok(answer(store_message::encode(stored), replayed))
    }

    async fn store_messages(
        &self,
        request: Request<StoreMessagesRequest>,
    ) -> Result<Response<StoreMessagesResponse>, Status> {
        let (conversation_id, new) = store_messages::decode(request.into_inner(), self.clock.now())?;
        let stored = self.messages.store_many(&conversation_id, new).await;
        let stored = stored.map_err(|error| status::store_messages(&error))?;
        let replayed = stored.iter().all(|stored| stored.replayed);
        Ok(answer(store_messages::encode(stored), replayed))
    }

    async fn redact_message(
        &self,
        request: Request<RedactMessageRequest>,
    ) -> Result<Response<RedactMessageResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let (conversation_id, message_id) = redact_message::decode(request.into_inner())?;
        let redacted = self.messages.redact(&conversation_id, message_id, bounds.caller()).await;
        let redacted = redacted.map_err(|error| status::redact_message(&error, message_id))?;
        Ok(Response::new(RedactMessageResponse { message: Some(encode::message(redacted)) }))
    }

    async fn set_summary(&self, request: Request<SetSummaryRequest>) -> Result<Response<SetSummaryResponse>, Status> {
        let (conversation_id, new) = set_summary::decode(request.into_inner())?;
        let set = self.summaries.set(&conversation_id, new).await;
        let summary = set.map_err(|error| status::set_summary(&error, &conversation_id))?;
        Ok(Response::new(SetSummaryResponse { summary: Some(encode::summary(summary)) }))
    }

    async fn get_context_window(
        &self,
        request: Request<GetContextWindowRequest>,
    ) -> Result<Response<GetContextWindowResponse>, Status> {
        let (conversation_id, bounds) = get_context_window::decode(request.into_inner())?;
        let window = self.context_windows.get(&conversation_id, bounds).await;
        let window = window.map_err(|error| status::read(&error, &conversation_id))?;
        Ok(Response::new(get_context_window::encode(window)))
    }

    async fn get_conversation(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        let id = decode::conversation_id(request.into_inner().conversation_id)?;
        let read = self.conversations.get(&id).await.map_err(|error| status::read(&error, &id))?;
        let summary = read.summary.map(|row| self.summaries.open(&id, row)).transpose();
        let summary = summary.map_err(|error| status::read(&error.into(), &id))?;
        let conversation = Conversation {
            emotion_statistics: read.emotions.map(encode::emotion_statistics),
            summary: summary.map(encode::summary),
            ..encode::conversation(&read.held)
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
            .list(&requested.filter, requested.order, requested.after.as_ref(), requested.page_size)
            .await
            .map_err(|error| status::list_conversations(&error, &requested))?;
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

    async fn stream_messages(
        &self,
        request: Request<StreamMessagesRequest>,
    ) -> Result<Response<BoxStream<StreamMessagesResponse>>, Status> {
        let (id, after_sequence) = stream_messages::decode(request.into_inner())?;
        let steps = Arc::clone(&self.messages).stream(id.clone(), after_sequence).await;
        let steps = steps.map_err(|error| status::stream_messages(&error, &id))?;
        let steps = steps
            .map(move |step| step.map(stream_messages::encode).map_err(|error| status::stream_messages(&error, &id)));
        Ok(Response::new(Box::pin(steps)))
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
            .map_err(|error| status::emotion_history(&error, &requested))?;
        Ok(Response::new(get_emotion_history::encode(&requested, page)))
    }
    async fn close_conversation(
        &self,
        request: Request<CloseConversationRequest>,
    ) -> Result<Response<CloseConversationResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let conversation = self.change_holder(change_holder::close(request.into_inner())?, &bounds).await?;
        Ok(Response::new(CloseConversationResponse { conversation: Some(conversation) }))
    }

    async fn escalate_conversation(
        &self,
        request: Request<EscalateConversationRequest>,
    ) -> Result<Response<EscalateConversationResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let conversation = self.change_holder(change_holder::escalate(request.into_inner())?, &bounds).await?;
        Ok(Response::new(EscalateConversationResponse { conversation: Some(conversation) }))
    }

    async fn assign_conversation(
        &self,
        request: Request<AssignConversationRequest>,
    ) -> Result<Response<AssignConversationResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let conversation = self.change_holder(change_holder::assign(request.into_inner())?, &bounds).await?;
        Ok(Response::new(AssignConversationResponse { conversation: Some(conversation) }))
    }

    async fn search_messages(
        &self,
        request: Request<SearchMessagesRequest>,
    ) -> Result<Response<SearchMessagesResponse>, Status> {
        let requested = search_messages::decode(request.into_inner())?;
        let PageRequest { searched, words, from, page_size, .. } = &requested;
        let found = self.search.find(searched, words, from.as_ref(), *page_size).await;
        let found = found.map_err(|error| status::search_messages(&error, &requested))?;
        Ok(Response::new(search_messages::encode(&requested, found)))
    }

    async fn set_memory(&self, request: Request<SetMemoryRequest>) -> Result<Response<SetMemoryResponse>, Status> {
        let new = memories::set(request.into_inner(), self.clock.now())?;
        let memory = self.memories.set(&new).await.map_err(|error| status::set_memory(&error, &new))?;
        Ok(Response::new(SetMemoryResponse { memory: Some(memories::encode(&memory)) }))
    }

    async fn list_memories(
        &self,
        request: Request<ListMemoriesRequest>,
    ) -> Result<Response<ListMemoriesResponse>, Status> {
        let requested = memories::list(request.into_inner())?;
        let page = self.memories.list(&requested.user_id, requested.after, requested.page_size).await;
        let page = page.map_err(|error| status::list_memories(&error, &requested))?;
        Ok(Response::new(memories::encode_list(&requested, &page)))
    }

    async fn delete_memory(
        &self,
        request: Request<DeleteMemoryRequest>,
    ) -> Result<Response<DeleteMemoryResponse>, Status> {
        let (user_id, key) = memories::delete(request.into_inner())?;
        let deleted = self.memories.delete(&user_id, &key).await.map_err(|error| error.to_failure())?;
        Ok(Response::new(DeleteMemoryResponse { deleted }))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Result<Response<DeleteUserResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let user_id = memories::delete_user(request.into_inner())?;
        let erased = self.memories.delete_user(&user_id, bounds.caller()).await;
        Ok(Response::new(memories::encode_erasure(erased.map_err(|error| error.to_failure())?)))
    }

    async fn delete_conversation(
        &self,
        request: Request<DeleteConversationRequest>,
    ) -> Result<Response<DeleteConversationResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let id = decode::conversation_id(request.into_inner().conversation_id)?;
        let deleted = self.conversations.delete(&id, bounds.caller()).await.map_err(|error| error.to_failure())?;
        Ok(Response::new(DeleteConversationResponse {
            messages_deleted: deleted.messages,
            follow_ups_deleted: deleted.follow_ups,
        }))
    }
}

impl Grpc {
    async fn change_holder(&self, requested: ChangeRequest, bounds: &Bounds) -> Result<Conversation, Status> {
        let ChangeRequest { conversation_id, action, etag } = requested;
        let changed = self.handoffs.change(&conversation_id, &action, etag.as_deref(), bounds.caller()).await;
        let held = changed.map_err(|error| status::change_holder(&error, &conversation_id))?;
        Ok(encode::conversation(&held))
    }
}
