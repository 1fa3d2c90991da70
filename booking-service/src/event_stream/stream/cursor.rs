//! The cursor of a stream.

use teppan_shared::page;
use uuid::Uuid;

/// Distinguishes cursors from the page tokens of lists.
const MARK: &str = "StreamBookingEvents";

/// A position directly after an event. The event was sent, or it did not match the filters.
///
/// A cursor always names a visible event. That event's transaction is on disk, so PostgreSQL does not use its id again
/// after a crash. PostgreSQL may use ids of transactions that wrote nothing again: a cursor with such an id would skip
/// later events with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The stream of the cursor; see `restart_event_stream()` in the migrations.
    pub stream_id: Uuid,
    pub position: StreamPosition,
}

/// A point in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamPosition {
    /// The id of the transaction that wrote the event.
    pub transaction_position: i64,
    pub version: i64,
    pub event_id: Uuid,
}

impl StreamPosition {
    /// Before every event: versions begin at 1.
    pub const START: Self = Self { transaction_position: 0, version: 0, event_id: Uuid::nil() };
}

impl Cursor {
    pub fn encode(&self) -> String {
        let StreamPosition { transaction_position, version, event_id } = self.position;
        page::encode_token(&MARK, &(self.stream_id, transaction_position, version, event_id))
    }

    /// Returns `None` when no cursor is given.
    ///
    /// # Errors
    /// The text is not a cursor.
    pub fn decode(raw: &str) -> Result<Option<Self>, &'static str> {
        let unreadable = "must be the cursor of an earlier step, unchanged, or empty";
        let token = page::decode_token::<(Uuid, i64, i64, Uuid)>(&MARK, raw);
        let token = token.map_err(|_| unreadable)?;
        let Some((stream_id, transaction_position, version, event_id)) = token else { return Ok(None) };
        // Transaction ids and versions are not negative; PostgreSQL cannot convert a negative one to xid8.
        if transaction_position < 0 || version < 0 {
            return Err(unreadable);
        }
        Ok(Some(Self { stream_id, position: StreamPosition { transaction_position, version, event_id } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_cursor_equals_the_encoded_one_and_other_text_is_refused() {
        let position = StreamPosition { transaction_position: i64::MAX, version: 7, event_id: Uuid::from_u128(7) };
        let cursor = Cursor { stream_id: Uuid::from_u128(1), position };
        let raw = cursor.encode();
        assert_eq!(Cursor::decode(&raw), Ok(Some(cursor)));
        assert_eq!(Cursor::decode(""), Ok(None));
        let negative = Cursor { position: StreamPosition { transaction_position: -1, ..position }, ..cursor }.encode();
        let page_token = page::encode_token(&"", &(cursor.stream_id, 1, 1, Uuid::nil()));
        for bad in ["x", &raw[1..], &raw[..raw.len() - 4], &negative, &page_token, &"A".repeat(4000)] {
            assert!(Cursor::decode(bad).is_err(), "{bad:.20}");
        }
    }
}
