//! conversation-service: conversations, and every message said in them.

pub mod app;
mod conversations;
mod dead_letters;
pub mod dead_letters_command;
mod domain;
mod emotions;
mod events;
mod follow_ups;
mod get_outbox_status;
mod grpc;
mod messages;
mod publish_events;
mod purge;
mod read_backlog;
pub mod settings;
