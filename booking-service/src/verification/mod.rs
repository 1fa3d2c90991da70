//! Bookings and slots held against the events, and their repair.

pub mod bookings;
pub mod finding;
pub mod repair;
pub mod slots;
