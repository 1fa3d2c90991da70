//! What both of Teppan's services stand on.

pub mod clock;
pub mod config;
pub mod contract;
pub mod embedded;
pub mod keys;
pub mod page;
pub mod postgres;
pub mod sealing;
pub mod server;
pub mod service;
pub mod status;
pub mod tasks;
pub mod telemetry;
