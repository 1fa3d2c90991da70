//! The system tests: real servers over a real PostgreSQL, driven through gRPC.

mod conversation;
mod create_booking;
mod errors;
mod health;
mod idempotency;
mod journey;
mod last_seat;
mod lists;
mod reflection;
mod round_trips;
mod schedule;
mod settings;
mod shutdown;
mod trace;
