//! The queues for full slots, and the offers of seats that come free.

pub mod close_entries;
pub mod closing_job;
pub mod join;
pub mod leave;
pub mod list;
pub mod offer;
pub mod review;
pub mod row;
