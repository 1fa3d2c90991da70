//! Values as protobuf has them.

use chrono::{DateTime, Utc};
pub use pbjson_types::Timestamp;

/// A time on the wire.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // Below 2^31, also in a leap second.
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().cast_signed() }
}

/// Empty text on the wire means that nothing was given.
pub fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
