//! Conversions of protobuf values.

use chrono::{DateTime, SubsecRound as _, Utc};
pub use pbjson_types::Timestamp;

/// Encodes a time.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    // The nanoseconds are below 2^31, even in a leap second.
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().cast_signed() }
}

/// Decodes a time to the microsecond, as it is stored; `None` for nanoseconds or years that a time cannot have.
pub fn instant(at: &Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(DateTime::from_timestamp(at.seconds, nanos)?.trunc_subsecs(6))
}

/// `None` for an empty text, which in protobuf means that the field was not given.
pub fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
