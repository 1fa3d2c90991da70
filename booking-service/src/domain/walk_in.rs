//! Parties that stand at the door without a booking.

/// The `source` of a walk-in's booking.
pub const WALK_IN: &str = "walk_in";

/// How long after the start of a slot a walk-in can still take it. The SQL function `walk_in_refusal` has the same number.
pub const WALK_IN_LATE_MINUTES: i32 = 30;
