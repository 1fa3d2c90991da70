//! What the requests about dead letters have in common on the wire.

use chrono::Datelike as _;
use serde::Serialize;
use uuid::Uuid;

use super::DeadLetterCursor;
use crate::{
    page::{self, PageSizes, TokenError},
    status::Violations,
};

pub const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 1000 };
/// Dead letters that one request may name.
const IDS_MAX: usize = 1000;

pub const EVENT_TYPE_MUST: &str = "must be a type of event such as teppan.booking.created.v1";
const EVENT_TYPE_BYTES_MAX: usize = 100;

/// Whether it can be the type of an event.
pub fn is_event_type(raw: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    (1..=EVENT_TYPE_BYTES_MAX).contains(&raw.len()) && raw.bytes().all(known)
}

/// Reads the ids of a selection, which names dead letters or takes all that match its filters. `filters` are the
/// names of the filters, for the message to a caller that gave neither.
pub fn decode_ids(
    raw: &[String],
    all: bool,
    is_filtered: bool,
    filters: &str,
    violations: &mut Violations,
) -> Vec<Uuid> {
    const IDS: &str = "selection.dead_letter_ids";
    match (raw.is_empty(), all) {
        (true, false) => {
            violations.add(IDS, "must name dead letters, unless selection.all is true");
            let all = format!("must be true to take every dead letter that matches {filters}");
            violations.add("selection.all", all);
        }
        (false, true) => violations.add(IDS, "must be empty when all is true"),
        (false, false) if is_filtered => {
            violations.add(IDS, "must be empty when there are filters, which need selection.all");
        }
        _ => {}
    }
    if raw.len() > IDS_MAX {
        violations.add(IDS, format!("must be at most {IDS_MAX}"));
    }
    let mut ids = Vec::with_capacity(raw.len().min(IDS_MAX));
    for (index, id) in raw.iter().enumerate().take(IDS_MAX) {
        ids.extend(violations.check(format_args!("{IDS}[{index}]"), Uuid::try_parse(id).map_err(|_| "must be a UUID")));
    }
    ids
}

/// Reads where a page of dead letters starts.
///
/// # Errors
/// [`TokenError`].
pub fn decode_token(filters: &impl Serialize, token: &str) -> Result<Option<DeadLetterCursor>, TokenError> {
    let Some(cursor) = page::decode_token::<DeadLetterCursor>(filters, token)? else { return Ok(None) };
    // A token that somebody made up must not reach the database with what it cannot read.
    if (1970..10_000).contains(&cursor.0.year()) { Ok(Some(cursor)) } else { Err(TokenError::Unreadable) }
}
