//! Conversions of protobuf values.

use chrono::{DateTime, Utc};
pub use pbjson_types::Timestamp;

/// Encodes a time.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // The nanoseconds are below 2^31, even in a leap second.
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().cast_signed() }
}

/// `None` for an empty text, which in protobuf means that the field was not given.
pub fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
