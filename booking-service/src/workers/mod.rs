//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`. The relays,
//! which deliver the outbox, are in `outbox/`.

mod hold_expiry;
mod key_retention;
mod slot_layout;

pub use self::{hold_expiry::HoldExpiry, key_retention::KeyRetention, slot_layout::SlotLayout};
