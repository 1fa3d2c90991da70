//! Rotation of keys: every value that an older key sealed is sealed anew, and its hash is made anew.
//!
//! It runs beside the service, in short statements. A row is written only if its sealed values are those that were read,
//! so a concurrent change wins. What is done stays done: an interrupted rotation is simply run again.

mod command;
mod table;

pub use self::{
    command::RotateKeysCommand,
    table::{HashedColumn, SealedColumn, SealedTable},
};
