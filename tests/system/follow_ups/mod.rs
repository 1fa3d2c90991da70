//! Follow-ups are scheduled, listed, cancelled and purged.

mod reminders;
mod scheduling;
mod scheduling_cancel;
mod scheduling_errors;
mod scheduling_lists;
mod scheduling_plans;
mod scheduling_races;
mod scheduling_retention;

pub(super) use self::scheduling::{again, at, key, moving, request, schedule};
