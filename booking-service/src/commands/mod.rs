//! The commands of the binary.

pub mod rotate_keys;
pub mod verify_events;
