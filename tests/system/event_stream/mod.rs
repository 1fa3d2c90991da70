//! Tests of StreamBookingEvents.

pub mod explain;
mod fixture;
mod following;
mod order;
mod plan;
pub mod readers;
mod reading;
