//! The floors of venues: areas, how many guests can sit in each at once, and for how long parties stay.
//!
//! The rules are in `domain/floor.rs`. `0015_floors.sql` has the same for the statements that take seats.

pub mod get;
pub mod set;
