//! Where a reader of the stream is.

use teppan_shared::page;
use uuid::Uuid;

/// What cursors are marked with, so that no page token of a list is taken for one.
const MARK: &str = "StreamBookingEvents";

/// Behind one event, whether the reader was sent it or its filters passed it over.
///
/// Always an event: one that was seen is on the disk, and after a crash PostgreSQL goes on behind its
/// transaction. Ids of transactions that left nothing on the disk may be given anew after a crash: a
/// cursor made of such a one would pass over what then gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The stream it belongs to; see `restart_event_stream()` in the migrations.
    pub stream_id: Uuid,
    pub place: Place,
}

/// A place in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub position: i64,
    pub version: i64,
    pub event_id: Uuid,
}

impl Place {
    /// Before every event: none has version 0.
    pub const START: Self = Self { position: 0, version: 0, event_id: Uuid::nil() };
}

impl Cursor {
    pub fn encode(&self) -> String {
        let Place { position, version, event_id } = self.place;
        page::encode_token(&MARK, &(self.stream_id, position, version, event_id))
    }

    /// `None` when no cursor is given.
    ///
    /// # Errors
    /// Text that is no cursor.
    pub fn decode(raw: &str) -> Result<Option<Self>, &'static str> {
        let unreadable = "must be the cursor of an earlier step, unchanged, or empty";
        let token = page::decode_token::<(Uuid, i64, i64, Uuid)>(&MARK, raw);
        let token = token.map_err(|_| unreadable)?;
        let Some((stream_id, position, version, event_id)) = token else { return Ok(None) };
        // Transaction ids and versions are not negative: the statement could not take one that is.
        if position < 0 || version < 0 {
            return Err(unreadable);
        }
        Ok(Some(Self { stream_id, place: Place { position, version, event_id } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let place = Place { position: i64::MAX, version: 7, event_id: Uuid::from_u128(7) };
        let cursor = Cursor { stream_id: Uuid::from_u128(1), place };
        let raw = cursor.encode();
        assert_eq!(Cursor::decode(&raw), Ok(Some(cursor)));
        assert_eq!(Cursor::decode(""), Ok(None));
        let negative = Cursor { place: Place { position: -1, ..place }, ..cursor }.encode();
        let of_a_list = page::encode_token(&"", &(cursor.stream_id, 1, 1, Uuid::nil()));
        for bad in ["x", &raw[1..], &raw[..raw.len() - 4], &negative, &of_a_list, &"A".repeat(4000)] {
            assert!(Cursor::decode(bad).is_err(), "{bad:.20}");
        }
    }
}
