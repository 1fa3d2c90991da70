//! StreamBookingEvents.

pub mod explain;
mod following;
mod order;
mod plan;
pub mod readers;
mod reading;
mod written;
