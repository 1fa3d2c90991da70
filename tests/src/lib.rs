//! What the system tests and the tools share: clients, services to talk to, and things to book.

pub mod clients;
pub mod fixtures;
pub mod harness;
pub mod launch;
pub mod model;
pub mod monitoring;
pub mod nats_server;
pub mod otlp;
pub mod proxy;
pub mod raw_client;
pub mod scrape;
pub mod stripe;
pub mod tool;
