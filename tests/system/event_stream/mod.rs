//! StreamBookingEvents.

pub mod explain;
mod following;
mod order;
mod plan;
mod readers;
mod reading;
mod written;
