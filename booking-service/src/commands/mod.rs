//! The commands of the binary.

pub mod export_customer;
pub mod rotate_keys;
pub mod verify_events;
