//! The common parts of Teppan's two services.

pub mod audit;
pub mod backlog;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contract;
pub mod conversation_id;
#[cfg_attr(not(feature = "private-postgres"), path = "embedded_left_out.rs")]
pub mod embedded;
pub mod error_chain;
pub mod fingerprint;
pub mod idempotency_key;
pub mod identity;
pub mod keys;
pub mod log_limiter;
pub mod mean_time;
pub mod nats;
#[cfg(feature = "outbox")]
pub mod outbox;
pub mod page;
pub mod postgres;
pub mod read_error;
pub mod reloaded;
pub mod rotation;
pub mod sealing;
pub mod server;
pub mod service;
pub mod shell;
pub mod status;
pub mod tasks;
pub mod telemetry;
pub mod time_zone;
pub mod tls;
pub mod wire;
pub mod worker;
