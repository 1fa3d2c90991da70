//! conversation-service: conversations, their messages and follow-ups.

pub mod app;
mod context_windows;
mod conversations;
pub mod domain;
mod emotions;
mod events;
mod follow_ups;
mod grpc;
mod handoffs;
mod memories;
mod messages;
pub mod outbox;
mod purge;
mod read_backlog;
mod search;
pub mod settings;
mod summaries;
mod users;
