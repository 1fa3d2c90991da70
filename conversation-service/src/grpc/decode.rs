//! Decoding of fields that several requests have.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use prost_types::Struct;
use teppan_shared::{page::PageSizes, status::Violations, wire::Timestamp};
use tonic::Status;

use crate::domain::{ConversationId, Metadata, SentAt};

/// The page sizes of every list.
pub const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// The years 1 to 9999: the range of protobuf's timestamps.
const TIMESTAMP_SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Decodes a request, or reports everything that is wrong with it. `decode` returns `None` when it added a
/// violation.
pub fn request<T>(decode: impl FnOnce(&mut Violations) -> Option<T>) -> Result<T, Status> {
    let mut violations = Violations::default();
    decode(&mut violations).ok_or_else(|| violations.into_status())
}

pub fn time(time: Timestamp) -> Result<DateTime<Utc>, &'static str> {
    let in_range = TIMESTAMP_SECONDS.contains(&time.seconds);
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| in_range && *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos));
    time.ok_or("must be a time of the years 1 to 9999, with nanos from 0 to 999,999,999")
}

/// The id of a request that has only this field.
pub fn conversation_id(raw: String) -> Result<ConversationId, Status> {
    request(|violations| violations.check("conversation_id", ConversationId::parse(raw)))
}

/// `Some(None)` when there is none, `None` when it is invalid.
pub fn metadata(given: Option<Struct>, violations: &mut Violations) -> Option<Option<Metadata>> {
    structure("metadata", given, violations)
}

/// A field with the rules of metadata; otherwise like [`metadata`].
pub fn structure(field: &str, given: Option<Struct>, violations: &mut Violations) -> Option<Option<Metadata>> {
    match given.map(Metadata::parse).transpose() {
        Ok(metadata) => Some(metadata),
        Err(faults) => {
            for fault in faults {
                violations.add(format_args!("{field}{}", fault.path), fault.must);
            }
            None
        }
    }
}

/// The entries of a repeated field; `None` when one of them is invalid.
pub fn entries<T, R>(
    field: &str,
    raw: impl IntoIterator<Item = R>,
    decode: impl Fn(R) -> Result<T, &'static str>,
    violations: &mut Violations,
) -> Option<Vec<T>> {
    let check = |(index, raw)| violations.check(format_args!("{field}[{index}]"), decode(raw));
    // All entries are parsed first, so that every invalid one is reported.
    let decoded: Vec<Option<T>> = raw.into_iter().enumerate().map(check).collect();
    decoded.into_iter().collect()
}

/// The time when a message was sent.
pub fn sent_at(raw: Timestamp, now: DateTime<Utc>) -> Result<SentAt, &'static str> {
    SentAt::parse(time(raw)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_outside_protobufs_range_is_refused() {
        let time = |seconds, nanos| time(Timestamp { seconds, nanos });
        assert!(time(1_700_000_000, 999_999_999).is_ok());
        assert!(time(-62_135_596_800, 0).is_ok());
        for (seconds, nanos) in [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)]
        {
            assert!(time(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
