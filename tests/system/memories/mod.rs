//! Facts about users across conversations, and the erasure of a user.

mod erasure;
mod setting;

use teppan_shared::contract::conversation::v1::{ListMemoriesRequest, Memory, SetMemoryRequest, StoreMessageRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn fact(user: &str, key: &str, value: &str) -> SetMemoryRequest {
    let (user_id, key, value) = (user.to_owned(), key.to_owned(), value.to_owned());
    SetMemoryRequest { user_id, key, value, ..Default::default() }
}

async fn set(service: &Conversation, request: SetMemoryRequest) -> Result<Memory, Status> {
    let answer = service.client.clone().set_memory(request).await?;
    Ok(answer.into_inner().memory.expect("the memory"))
}

/// All memories of a user, by their keys, read in pages of this size.
async fn listed(service: &Conversation, user: &str, page_size: i32) -> Vec<Memory> {
    let mut request = ListMemoriesRequest { user_id: user.to_owned(), page_size, ..Default::default() };
    let mut memories = Vec::new();
    loop {
        let page = service.client.clone().list_memories(request.clone()).await.expect("listed").into_inner();
        memories.extend(page.memories);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    memories.sort_by(|one, other| one.key.cmp(&other.key));
    memories
}

/// A message of the user; its id.
async fn say(service: &Conversation, chat: &str, user: &str) -> String {
    let user_id = user.to_owned();
    let message =
        StoreMessageRequest { user_id, emotion: None, ..fixtures::message(chat, "I am allergic to shellfish.") };
    let stored = service.client.clone().store_message(message).await.expect("stored");
    stored.into_inner().message.expect("the message").message_id
}

/// The code and the reason of a refusal.
fn kind(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

/// The fields that are wrong, in order.
fn wrong_fields(status: &Status) -> Vec<String> {
    assert_eq!(kind(status), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
