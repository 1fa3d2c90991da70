//! Clients as docs/clients.md describes them, and what they notice of servers that come and go: nothing.

mod grpcio;
mod rolling_restart;
mod service_config;
mod tonic_client;
