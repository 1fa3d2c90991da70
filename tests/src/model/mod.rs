//! A small model of booking-service, in memory, written from the contract and from nothing else, and the
//! means to hold it against the real one.
//!
//! [`strategy`] makes up steps: calls that are made one by one or several at once, and time that passes.
//! [`run`] takes them against two replicas over a database of their own, and after each step asks
//! [`state::Model`] whether there is an order of the calls that gives every answer and all that can be read
//! afterwards. [`shrink`] makes the steps of a disagreement few and plain.

mod audit;
mod bookings;
mod calls;
mod drive;
mod etags;
mod events;
mod names;
mod operations;
mod orders;
mod payments;
mod perform;
mod plan;
mod reads;
mod rest;
mod rules;
mod run;
mod schedule;
mod schedules;
mod shrink;
mod stage;
mod state;
mod stories;
mod strategy;
mod stripe;
mod tally;
mod touched;
mod waitlist;
mod waits;

pub use self::{
    drive::{Disagreement, Drive},
    strategy::OPERATIONS_OF_A_CASE,
    tally::Tally,
};
