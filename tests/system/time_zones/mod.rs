//! The rules of time zones, and what becomes of slots and bookings when they change.

mod new_rules;
mod newest;
