//! What Stripe reports, by its webhooks.

pub mod apply_events;
pub mod apply_payment;
pub mod metrics;
pub mod retention;
pub mod store_event;
pub mod webhook;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database};

use self::metrics::StripeMetrics;
use crate::bookings::Bookings;

/// What Stripe reports, stored first and then applied to bookings.
pub struct Stripe {
    pub database: Database,
    pub clock: Clock,
    pub bookings: Arc<Bookings>,
    pub metrics: StripeMetrics,
}
