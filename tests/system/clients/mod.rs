//! No call fails when replicas restart, for clients that are set up as docs/clients.md describes.

mod grpcio;
mod rolling_restart;
mod service_config;
mod tonic_client;
