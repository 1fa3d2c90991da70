//! StreamBookingEvents.

pub mod stream;
