//! The commands of the binary.

pub mod verify_events;
