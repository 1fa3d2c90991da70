//! Clients that take too much, read nothing or send nothing. Other clients are still served.

mod answers;
mod connections;
mod descriptors;
mod probes;
mod shares;

use h2::client::ResponseFuture;
use teppan_shared::{
    config::CommonSettings,
    contract::conversation::v1::{ListMessagesRequest, StoreMessageRequest},
    keys::Keys,
};
use teppan_tests::{
    clients, fixtures,
    harness::{self, Conversation},
    raw_client::{self, RawClient},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const LIST_MESSAGES: &str = "/teppan.conversation.v1.ConversationService/ListMessages";
const STORE_MESSAGE: &str = "/teppan.conversation.v1.ConversationService/StoreMessage";

/// Starts a conversation-service with changed settings and waits until it is ready.
async fn conversation(change: impl FnOnce(&mut CommonSettings)) -> Conversation {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    change(&mut settings);
    Conversation::with(settings, url, keys).await.ready().await
}

/// Stores a conversation with this many messages of 30 KiB. Returns a request that lists them.
async fn long_chat(service: &Conversation, messages: usize) -> ListMessagesRequest {
    let chat = fixtures::conversation_id();
    for _ in 0..messages {
        let long = "word ".repeat(6 * 1024);
        service.client.clone().store_message(fixtures::message(&chat, &long)).await.expect("stored");
    }
    ListMessagesRequest { conversation_id: chat, ..Default::default() }
}

fn short_message() -> StoreMessageRequest {
    fixtures::message(&fixtures::conversation_id(), "Hello")
}

/// Stores a message over a new connection.
async fn store_elsewhere(service: &Conversation) -> Result<(), Status> {
    let mut other = clients::conversations(service.service.server.grpc_addr);
    other.store_message(short_message()).await.map(|_| ())
}

/// Code and reason with which a call ends. The reason is empty if the call succeeds.
async fn outcome(answer: ResponseFuture) -> (Code, String) {
    kind(&raw_client::status(answer).await.expect("the call is answered"))
}

fn kind(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}

fn overloaded() -> (Code, String) {
    (Code::ResourceExhausted, "OVERLOADED".to_owned())
}

async fn connect(service: &Conversation) -> RawClient {
    RawClient::connect(service.service.server.grpc_addr).await.expect("connected")
}

async fn connect_with_window(service: &Conversation, window_bytes: u32) -> RawClient {
    RawClient::with_window(service.service.server.grpc_addr, window_bytes).await.expect("connected")
}
