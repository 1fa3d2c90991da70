//! Movements of money.

pub mod list;
pub mod move_money;
pub mod of_bookings;
pub mod record;
pub mod row;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use crate::bookings::Bookings;

/// The use cases of payments: recording payments made without Stripe, and listing all payments.
pub struct Payments {
    pub database: Database,
    pub clock: Clock,
    pub ring: KeyRing,
    pub fingerprint: KeyedHash,
    pub bookings: Arc<Bookings>,
}
