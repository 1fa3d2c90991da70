//! booking-service: venues, their slots, and the bookings on them.

pub mod app;
mod booking_row;
mod core;
mod create_booking;
mod create_venue;
pub mod dead_letters_command;
pub mod domain;
mod find_customer;
mod get_booking;
mod get_outbox_status;
mod get_venue;
mod grpc;
mod list_availability;
mod list_dead_letters;
mod list_venues;
mod outbox;
mod set_weekly_schedule;
pub mod settings;
mod settle_dead_letters;
mod stream_booking_events;
mod turns;
mod workers;
