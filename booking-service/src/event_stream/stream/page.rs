//! Reads one page of the event table.

use chrono::{DateTime, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use super::{EventFilter, cursor::StreamPosition};
use crate::{
    bookings::event_data,
    domain::{BookingId, EventId},
    event_stream::BookingEvents,
    event_stream::event::BookingEvent,
};

/// Events that one statement reads, whether they match the filters or not.
const EVENTS_MAX: usize = 500;

/// The bounds of the stream at the start of a call, as transaction ids; see `open.sql`.
pub struct Opened {
    pub stream_id: Uuid,
    pub settled_below: i64,
    pub committed_below: i64,
    pub has_future_events: bool,
    newest_position: Option<i64>,
    newest_version: Option<i64>,
    newest_event_id: Option<Uuid>,
}

impl Opened {
    /// The position after the newest event.
    pub fn newest(&self) -> StreamPosition {
        match (self.newest_position, self.newest_version, self.newest_event_id) {
            (Some(transaction_position), Some(version), Some(event_id)) => {
                StreamPosition { transaction_position, version, event_id }
            }
            _ => StreamPosition::START,
        }
    }
}

/// The events that one statement found.
pub struct Page {
    /// The events that match the filters, each with its position.
    pub events: Vec<(StreamPosition, BookingEvent)>,
    /// Every event up to this position has been read.
    pub reached: StreamPosition,
    /// Whether the next page has events already.
    pub more: bool,
    /// Unless `more`, every event below this transaction id has been read.
    pub settled_below: i64,
    /// When the oldest event happened that an open transaction holds back.
    pub held_back_since: Option<DateTime<Utc>>,
}

impl BookingEvents {
    pub(super) async fn open_event_stream(&self) -> Result<Opened, DatabaseError> {
        self.database.fetch_one(|| sqlx::query_file_as!(Opened, "src/event_stream/open.sql")).await
    }

    pub(super) async fn events_after(&self, after: StreamPosition, filter: &EventFilter) -> Result<Page, ReadError> {
        let StreamPosition { transaction_position, version, event_id } = after;
        let limit = i64::try_from(EVENTS_MAX).expect("a small number");
        let venue = filter.venue_id.map(|id| id.to_string());
        let types = (!filter.types.is_empty()).then_some(filter.types.as_slice());
        let rows = match filter.booking_id {
            None => {
                let all = || {
                    sqlx::query_file_as!(
                        Row,
                        "src/event_stream/stream_events.sql",
                        transaction_position,
                        version,
                        event_id,
                        limit,
                        venue,
                        types,
                    )
                };
                self.database.fetch_all(all).await?
            }
            Some(booking_id) => {
                let of_booking = || {
                    sqlx::query_file_as!(
                        Row,
                        "src/event_stream/stream_events_of_booking.sql",
                        transaction_position,
                        version,
                        event_id,
                        limit,
                        venue,
                        types,
                        booking_id.0,
                    )
                };
                self.database.fetch_all(of_booking).await?
            }
        };
        Page::of(rows, after).ok_or(ReadError::Corrupted(Corrupted::Column("stream_events.event_id")))
    }
}

impl Page {
    /// `None` for rows that the statements never return.
    fn of(rows: Vec<Row>, mut reached: StreamPosition) -> Option<Self> {
        let first = rows.first()?;
        let (settled_below, held_back_since) = (first.settled_below, first.held_back_since);
        let more = rows.len() == EVENTS_MAX;
        let mut events = Vec::new();
        for row in rows.into_iter().filter(|row| row.event_id.is_some()) {
            reached = row.position()?;
            if row.matches? {
                events.push((reached, row.event()?));
            }
        }
        Some(Self { events, reached, more, settled_below, held_back_since })
    }
}

/// A row of either statement.
struct Row {
    settled_below: i64,
    held_back_since: Option<DateTime<Utc>>,
    matches: Option<bool>,
    stream_position: Option<i64>,
    version: Option<i64>,
    event_id: Option<Uuid>,
    booking_id: Option<Uuid>,
    venue_id: Option<String>,
    r#type: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    data: Option<String>,
    traceparent: Option<String>,
    previous_hash: Option<Vec<u8>>,
    hash: Option<Vec<u8>>,
}

impl Row {
    fn position(&self) -> Option<StreamPosition> {
        let (transaction_position, version) = (self.stream_position?, self.version?);
        Some(StreamPosition { transaction_position, version, event_id: self.event_id? })
    }

    fn event(self) -> Option<BookingEvent> {
        let (id, kind) = (EventId(self.event_id?), self.r#type?);
        // An unreadable event is sent without its data. If it were skipped, the reader would miss it; if it ended the
        // stream with an error, the reader could never continue after it.
        let data = event_data::read(&kind, &self.data?);
        let data = data.inspect_err(|error| {
            tracing::error!(event = %id, kind, error = error_chain(error), "the data of an event cannot be read");
        });
        Some(BookingEvent {
            id,
            kind,
            booking_id: BookingId(self.booking_id?),
            venue_id: self.venue_id.unwrap_or_default(),
            version: self.version?,
            occurred_at: self.occurred_at?,
            traceparent: self.traceparent,
            previous_hash: self.previous_hash?,
            hash: self.hash?,
            data: data.ok(),
        })
    }
}
