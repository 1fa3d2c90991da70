//! The events that Stripe sends to the webhook.

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

/// Stores the events of Stripe and applies them to bookings.
pub struct Stripe {
    pub database: Database,
    pub clock: Clock,
    pub bookings: Arc<Bookings>,
    pub metrics: StripeMetrics,
}
