//! Context windows: what a model needs of a conversation to continue it.

mod bounds;
mod choose;
mod get;
mod pairs;
mod tokens;

#[cfg(test)]
mod properties;

use teppan_shared::{keys::Keys, postgres::Database, sealing::KeyRing};

pub use self::{
    bounds::{MaxMessages, WindowBounds},
    choose::{ContextWindow, Omission, OmissionReason},
};

/// Reads context windows.
pub struct ContextWindows {
    database: Database,
    ring: KeyRing,
}

impl ContextWindows {
    pub fn new(database: Database, keys: &Keys) -> Self {
        Self { database, ring: keys.ring() }
    }
}
