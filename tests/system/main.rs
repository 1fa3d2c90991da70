//! The system tests: real servers over a real PostgreSQL, driven through gRPC.

mod changes;
mod conversation;
mod create_booking;
mod emotions;
mod environment;
mod errors;
mod event_stream;
mod events;
mod health;
mod idempotency;
mod journey;
mod last_seat;
mod lists;
mod logs;
mod processes;
mod raw;
mod reflection;
mod round_trips;
mod schedule;
mod settings;
mod shutdown;
mod trace;
