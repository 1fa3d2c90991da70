//! Venues and their policies.

pub mod create;
pub mod get;
pub mod list;
pub mod phone_regions;
pub mod policy;
pub mod update;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database, sealing::KeyedHash};

use crate::waitlist::freed_seats::FreedSeats;
use crate::{domain::PhoneRegion, slots::Slots};

/// The use cases of venues.
pub struct Venues {
    pub database: Database,
    pub clock: Clock,
    pub fingerprint: KeyedHash,
    /// For venues without a given region, whose time zone belongs to no country.
    pub default_phone_region: PhoneRegion,
    pub slots: Arc<Slots>,
    /// Wakes the worker that offers freed seats.
    pub freed_seats: FreedSeats,
}
