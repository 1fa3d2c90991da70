//! Customers and their contact data.

pub mod consent;
pub mod consent_history;
pub mod contact;
pub mod draft;
pub mod erase;
pub mod event;
pub mod export;
pub mod find;
pub mod merge;
pub mod merged;
pub mod rehash;
pub mod retention;
pub mod update;

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    outbox::Outbox,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

use crate::venues::phone_regions::PhoneRegions;

/// The use cases of customers. A customer is found by a keyed hash; the contact data is sealed.
pub struct Customers {
    database: Database,
    clock: Clock,
    outbox: Outbox,
    ring: KeyRing,
    /// Finds customers by their normalised e-mail.
    email_hash: KeyedHash,
    /// Finds customers by their telephone number in E.164.
    phone_hash: KeyedHash,
    phone_regions: PhoneRegions,
}

impl Customers {
    pub fn new(database: Database, keys: &Keys, clock: Clock, outbox: Outbox) -> Self {
        let email_hash = keys.hash("teppan booking customers.email_hash");
        let phone_hash = keys.hash("teppan booking customers.phone_hash");
        let phone_regions = PhoneRegions::default();
        Self { database, clock, outbox, ring: keys.ring(), email_hash, phone_hash, phone_regions }
    }
}
