//! The common code of the system tests and tools: clients, services, and fixtures.

pub mod authority;
pub mod callers;
pub mod clients;
pub mod cluster;
pub mod fixtures;
pub mod harness;
pub mod invariants;
pub mod launch;
pub mod model;
pub mod monitoring;
pub mod nats_server;
pub mod otlp;
pub mod proxy;
pub mod raw_client;
pub mod replica;
pub mod scrape;
pub mod signal;
pub mod small_disk;
pub mod stripe;
pub mod token_issuer;
pub mod tool;
pub mod version_before;

/// An error with its causes, for test messages.
pub fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
