//! Slots: the weekly schedule, the days laid out by it, and what is open.

pub mod adopt_time_zone_rules;
pub mod batch_check_availability;
pub mod columns;
pub mod lay_out;
pub mod layout_job;
pub mod list_availability;
pub mod row;
pub mod set_weekly_schedule;
pub mod time_zone_rules_job;
pub mod update;
