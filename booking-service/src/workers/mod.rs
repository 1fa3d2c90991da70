//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`.

mod slot_layout;

pub use self::slot_layout::SlotLayout;
