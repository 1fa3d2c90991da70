//! Bookings: how they are made, changed and read.
//!
//! CreateBooking is one statement. Every other change is loaded (`load.rs`), decided by a pure function beside its use
//! case, and committed (`commit.rs`); `change.rs` is the loop around the three.

pub mod begin;
pub mod booking;
pub mod cancel;
pub mod change;
pub mod commit;
pub mod confirm;
pub mod correct_instants;
pub mod create;
pub mod decision;
pub mod derive;
pub mod end;
pub mod event_chain;
pub mod event_data;
pub mod expire_holds;
#[cfg(test)]
pub mod fixtures;
pub mod fold;
pub mod get;
pub mod key_retention;
pub mod list;
pub mod load;
pub mod metrics;
pub mod preview;
pub mod reschedule;
pub mod slot_queue;
#[cfg(test)]
mod story_tests;
