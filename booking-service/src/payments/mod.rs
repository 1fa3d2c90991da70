//! Movements of money.

pub mod list;
pub mod move_money;
pub mod record;
pub mod row;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use crate::bookings::Bookings;

/// Payments that were made by other means than Stripe, and the list of all.
pub struct Payments {
    pub database: Database,
    pub clock: Clock,
    pub ring: KeyRing,
    pub fingerprint: KeyedHash,
    pub bookings: Arc<Bookings>,
}
