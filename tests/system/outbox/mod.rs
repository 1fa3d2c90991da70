//! Delivery of the outbox.

mod claims;
mod connections;
pub mod dead_letters;
mod inline;
pub mod nats;
mod nats_login;
pub use teppan_tests::nats_server;
mod order;
mod plan;
pub mod receiver;
mod retention;
pub mod stage;
mod trouble;
