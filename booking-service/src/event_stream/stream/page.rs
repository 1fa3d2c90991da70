//! One look at the event table.

use chrono::{DateTime, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use super::{EventFilter, cursor::Place};
use crate::{
    bookings::event_data,
    domain::{BookingId, EventId},
    event_stream::BookingEvents,
    event_stream::event::BookingEvent,
};

/// Events that one look takes in, whether they match or not.
const EVENTS_MAX: usize = 500;

/// Where the stream stands when a reader comes, as transaction ids.
pub struct Opened {
    pub stream_id: Uuid,
    pub settled_below: i64,
    pub committed_below: i64,
    pub is_displaced: bool,
    newest_position: Option<i64>,
    newest_version: Option<i64>,
    newest_event_id: Option<Uuid>,
}

impl Opened {
    /// Behind the newest event.
    pub fn newest(&self) -> Place {
        match (self.newest_position, self.newest_version, self.newest_event_id) {
            (Some(position), Some(version), Some(event_id)) => Place { position, version, event_id },
            _ => Place::START,
        }
    }
}

/// What a look found.
pub struct Page {
    /// Those that match, each with its place.
    pub events: Vec<(Place, BookingEvent)>,
    /// Everything up to here was looked at.
    pub reached: Place,
    /// Whether there is more to be had at once.
    pub more: bool,
    /// Every event below this position has been looked at, unless there is more.
    pub settled_below: i64,
    /// When the oldest event happened that waits for somebody's transaction to end.
    pub held_back_since: Option<DateTime<Utc>>,
}

impl BookingEvents {
    pub(super) async fn open_event_stream(&self) -> Result<Opened, DatabaseError> {
        self.database.fetch_one(|| sqlx::query_file_as!(Opened, "src/event_stream/open.sql")).await
    }

    pub(super) async fn events_after(&self, place: Place, filter: &EventFilter) -> Result<Page, ReadError> {
        let Place { position, version, event_id } = place;
        let limit = i64::try_from(EVENTS_MAX).expect("a small number");
        let venue = filter.venue_id.map(|id| id.to_string());
        let types = (!filter.types.is_empty()).then_some(filter.types.as_slice());
        let rows = match filter.booking_id {
            None => {
                let all = || {
                    sqlx::query_file_as!(
                        Row,
                        "src/event_stream/stream_events.sql",
                        position,
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
                        position,
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
        Page::of(rows, place).ok_or(ReadError::Corrupted(Corrupted::Column("stream_events.event_id")))
    }
}

impl Page {
    /// `None` for what the statements cannot answer.
    fn of(rows: Vec<Row>, mut reached: Place) -> Option<Self> {
        let first = rows.first()?;
        let (settled_below, held_back_since) = (first.settled_below, first.held_back_since);
        let more = rows.len() == EVENTS_MAX;
        let mut events = Vec::new();
        for row in rows.into_iter().filter(|row| row.event_id.is_some()) {
            reached = row.place()?;
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
    fn place(&self) -> Option<Place> {
        Some(Place { position: self.stream_position?, version: self.version?, event_id: self.event_id? })
    }

    fn event(self) -> Option<BookingEvent> {
        let (id, kind) = (EventId(self.event_id?), self.r#type?);
        // An event that cannot be read is told of all the same, without its contents: a reader that
        // never heard of it would miss it, and one that got an error instead would never get past it.
        let data = event_data::read(&kind, &self.data?);
        let data = data.inspect_err(|error| {
            tracing::error!(event = %id, kind, error = error_chain(error), "an event cannot be read");
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
