//! StreamBookingEvents.

mod following;
mod order;
mod plan;
pub mod readers;
mod reading;
mod written;
