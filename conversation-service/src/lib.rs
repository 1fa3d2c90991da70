//! conversation-service: conversations, and every message said in them.

mod aggregate_emotions;
pub mod app;
mod cancel_follow_up;
mod claim_due_follow_ups;
mod complete_follow_up;
mod conversation_row;
mod core;
mod dispatch_row;
pub mod domain;
mod fail_follow_up;
mod follow_up_answer;
mod follow_up_clock;
mod follow_up_row;
mod get_conversation;
mod get_emotion_history;
mod grpc;
mod list_conversations;
mod list_follow_ups;
mod list_messages;
mod message_row;
mod purge;
mod reengage;
mod schedule_follow_up;
pub mod settings;
mod store_message;
mod template_file;
mod workers;
