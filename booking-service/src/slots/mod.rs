//! Slots: weekly schedules, the slots laid out from them, and their availability.

pub mod adopt_time_zone_rules;
pub mod alternatives;
pub mod batch_check_availability;
pub mod columns;
pub mod lay_out;
pub mod list_availability;
mod recent_searches;
pub mod row;
pub mod set_weekly_schedule;
pub mod special_days;
pub mod suggest;
pub mod update;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database, worker::Nudge};

use self::alternatives::RecentAlternatives;
use crate::bookings::{Bookings, slot_queue::SlotQueues};
use crate::waitlist::freed_seats::FreedSeats;

/// The use cases of schedules, slots and availability.
pub struct Slots {
    pub database: Database,
    pub clock: Clock,
    pub bookings: Arc<Bookings>,
    pub slot_queues: Arc<SlotQueues>,
    /// Wakes the worker that lays out slots.
    pub layout: Nudge,
    /// Wakes the worker that offers freed seats.
    pub freed_seats: FreedSeats,
    pub recent_alternatives: RecentAlternatives,
}
