//! SetMemory, ListMemories, DeleteMemory, DeleteUser.

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::conversation::v1::{
        DeleteMemoryRequest, DeleteUserRequest, DeleteUserResponse, ListMemoriesRequest, ListMemoriesResponse,
        Memory as WireMemory, SetMemoryRequest,
    },
    page::{self, PageSizes, TokenError},
    wire::{given, timestamp},
};
use tonic::Status;

use super::decode;
use crate::{
    domain::{ConversationId, MessageId, UserId},
    emotions::EmotionScore,
    memories::{Memory, MemoryId, MemoryKey, MemoryPage, MemoryValue, NewMemory, UserErasure},
};

/// With the longest values, a page is about 2 MiB.
const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 500 };

/// Reads the request, or reports everything that is wrong with it.
pub fn set(request: SetMemoryRequest, now: DateTime<Utc>) -> Result<NewMemory, Status> {
    decode::request(|violations| {
        let user_id = violations.check("user_id", UserId::parse(request.user_id));
        let key = violations.check("key", MemoryKey::parse(request.key));
        let value = violations.check("value", MemoryValue::parse(request.value));
        let source = given(request.source_message_id).map(|id| MessageId::parse(&id));
        let source_message_id = violations.check_optional("source_message_id", source);
        let confidence = violations.check_optional("confidence", request.confidence.map(EmotionScore::parse));
        let later = |time: DateTime<Utc>| Some(time).filter(|time| *time > now).ok_or("must be in the future");
        let expires_at = request.expires_at.map(|time| decode::time(time).and_then(later));
        let expires_at = violations.check_optional("expires_at", expires_at);
        Some(NewMemory {
            user_id: user_id?,
            key: key?,
            value: value?,
            source_message_id: source_message_id?,
            confidence: confidence?,
            expires_at: expires_at?,
        })
    })
}

/// A decoded request for a page of memories.
pub struct PageRequest {
    pub user_id: UserId,
    pub after: Option<MemoryId>,
    pub page_size: u16,
}

/// Reads the request, or reports everything that is wrong with it.
pub fn list(request: ListMemoriesRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let after = violations.check("page_token", decode_token(&request.user_id, &request.page_token));
        let user_id = violations.check("user_id", UserId::parse(request.user_id));
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        Some(PageRequest { user_id: user_id?, after: after?, page_size: page_size? })
    })
}

pub fn encode_list(requested: &PageRequest, page: &MemoryPage) -> ListMemoriesResponse {
    ListMemoriesResponse {
        memories: page.memories.iter().map(encode).collect(),
        next_page_token: page.next.map(|last| token(&requested.user_id, last)).unwrap_or_default(),
    }
}

/// The token of the page after a memory.
pub fn token(user_id: &UserId, memory_id: MemoryId) -> String {
    page::encode_token(&user_id.as_str(), &memory_id.to_string())
}

fn decode_token(user_id: &str, token: &str) -> Result<Option<MemoryId>, TokenError> {
    let id = page::decode_token::<String>(&user_id, token)?;
    id.map(|id| MemoryId::parse(&id).map_err(|_| TokenError::Unreadable)).transpose()
}

pub fn encode(memory: &Memory) -> WireMemory {
    WireMemory {
        user_id: memory.user_id.as_str().to_owned(),
        key: memory.key.as_str().to_owned(),
        value: memory.value.as_str().to_owned(),
        source_conversation_id: memory.source_conversation_id.as_ref().map_or("", ConversationId::as_str).to_owned(),
        source_message_id: memory.source_message_id.map(|id| id.to_string()).unwrap_or_default(),
        confidence: memory.confidence,
        expires_at: memory.expires_at.map(timestamp),
        created_at: Some(timestamp(memory.created_at)),
        updated_at: Some(timestamp(memory.updated_at)),
    }
}

/// Reads the request, or reports everything that is wrong with it.
pub fn delete(request: DeleteMemoryRequest) -> Result<(UserId, MemoryKey), Status> {
    decode::request(|violations| {
        let user_id = violations.check("user_id", UserId::parse(request.user_id));
        let key = violations.check("key", MemoryKey::parse(request.key));
        Some((user_id?, key?))
    })
}

/// Reads the request, or reports everything that is wrong with it.
pub fn delete_user(request: DeleteUserRequest) -> Result<UserId, Status> {
    decode::request(|violations| violations.check("user_id", UserId::parse(request.user_id)))
}

pub fn encode_erasure(erased: UserErasure) -> DeleteUserResponse {
    DeleteUserResponse {
        memories_deleted: erased.memories,
        conversations_deleted: erased.conversations,
        messages_deleted: erased.messages,
        follow_ups_deleted: erased.follow_ups,
        remaining: erased.remaining,
    }
}
