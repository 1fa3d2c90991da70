//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`. The relays,
//! which deliver the outbox, are in `outbox/`.

mod backlog;
mod hold_expiry;
mod key_retention;
mod slot_layout;
mod stripe_events;
mod stripe_retention;
mod time_zone_rules;
mod waitlist_closing;
mod waitlist_offers;

pub use self::{
    backlog::BacklogReading, hold_expiry::HoldExpiry, key_retention::KeyRetention, slot_layout::SlotLayout,
    stripe_events::StripeEvents, stripe_retention::StripeRetention, time_zone_rules::TimeZoneRules,
    waitlist_closing::WaitlistClosing, waitlist_offers::WaitlistOffers,
};
