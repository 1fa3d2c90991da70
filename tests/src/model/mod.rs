//! A small in-memory model of booking-service, written from the contract alone, and the tools that compare it with
//! the real service.
//!
//! [`strategy`] generates steps: single or concurrent calls, and time that passes. [`run`] takes them with two
//! replicas over a database of their own. After each step it asks [`state::Model`] for an order of the calls that
//! explains every answer and everything that can be read afterwards. [`shrink`] reduces the steps of a disagreement.

mod audit;
mod bookings;
mod calls;
mod door;
mod drive;
mod etags;
mod events;
mod floor_calls;
mod floor_checks;
mod floor_plans;
mod floors;
mod later;
mod names;
mod operations;
mod orders;
mod payments;
mod perform;
mod plan;
mod plan_change;
mod reads;
mod reschedule;
mod rest;
mod rules;
mod run;
mod schedule;
mod schedules;
mod shrink;
mod stage;
mod state;
mod strategy;
mod strategy_floors;
mod stripe;
mod stripe_sequences;
mod tally;
mod touched;
mod waitlist;
mod waitlist_join;
mod waitlist_work;
mod waits;

pub use self::{
    audit::audit,
    drive::{Disagreement, Drive},
    strategy::OPERATIONS_OF_A_CASE,
    tally::Tally,
};
