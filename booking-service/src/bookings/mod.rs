//! Bookings: how they are made, changed and read.

pub mod cancel;
pub mod change;
pub mod confirm;
pub mod create;
pub mod end;
pub mod expire_holds;
pub mod get;
pub mod hold_expiry_job;
pub mod key_retention;
pub mod list;
pub mod metrics;
pub mod reschedule;
pub mod row;
pub mod slot_queue;
