//! booking-service: venues, their slots, and the bookings on them.

pub mod app;
mod batch_check_availability;
mod booking_row;
mod core;
mod create_booking;
mod create_venue;
pub mod domain;
mod find_customer;
mod get_booking;
mod get_venue;
mod grpc;
mod lay_out_slots;
mod list_availability;
mod list_bookings;
mod list_venues;
mod set_weekly_schedule;
pub mod settings;
mod slot_columns;
mod stream_booking_events;
mod turns;
mod update_slot;
mod update_venue;
mod workers;
