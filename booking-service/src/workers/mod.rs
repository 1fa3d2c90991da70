//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`. The relays,
//! which deliver the outbox, are in `outbox/`.

mod key_retention;
mod slot_layout;

pub use self::{key_retention::KeyRetention, slot_layout::SlotLayout};
