//! conversation-service: conversations, and every message said in them.

mod aggregate_emotions;
pub mod app;
mod cancel_follow_up;
mod conversation_row;
mod core;
pub mod domain;
mod follow_up_answer;
mod follow_up_row;
mod get_conversation;
mod get_emotion_history;
mod grpc;
mod list_conversations;
mod list_follow_ups;
mod list_messages;
mod message_row;
mod purge;
mod schedule_follow_up;
pub mod settings;
mod store_message;
mod workers;
