//! What Stripe reports, by its webhooks.

pub mod apply_events;
pub mod apply_payment;
pub mod events_job;
pub mod metrics;
pub mod retention;
pub mod store_event;
pub mod webhook;
