//! The rules of time zones, and their effect on slots and bookings when they change.

mod new_rules;
mod newest;
