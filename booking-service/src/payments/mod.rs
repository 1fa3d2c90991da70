//! Movements of money.

pub mod list;
pub mod move_money;
pub mod record;
pub mod row;
