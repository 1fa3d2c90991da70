//! The commands of the binary.

pub mod dead_letters;
pub mod verify_events;
