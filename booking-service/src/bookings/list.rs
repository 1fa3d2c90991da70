use chrono::{NaiveDate, NaiveTime};
use sqlx::{FromRow, postgres::PgRow};
use teppan_shared::{page, postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use crate::{
    bookings::Bookings,
    bookings::booking::{Booking, OpenBooking},
    domain::{BookingStatus, ConversationId, CustomerId, VenueId},
};

const EARLIEST_FIRST: &str = include_str!("list_earliest_first.sql");
const LATEST_FIRST: &str = include_str!("list_latest_first.sql");

/// The most rows that one page scans. If few rows match, a page ends there, perhaps without a booking, and the next
/// page continues.
pub const SCANNED_MAX: i64 = 5_000;

/// The limit for all contacts and special requests of a page. With the other fields of a thousand bookings, a page stays far below
/// the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A cursor position in the order of bookings: slot date, start time, id.
pub type BookingPosition = (NaiveDate, NaiveTime, Uuid);

/// The direction of a list of bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingOrder {
    EarliestFirst,
    LatestFirst,
}

/// The filters of the list; a booking must match all given filters.
pub struct BookingsQuery {
    pub venue_id: Option<VenueId>,
    pub customer_id: Option<CustomerId>,
    pub conversation_id: Option<ConversationId>,
    /// `None`: any.
    pub statuses: Option<Vec<BookingStatus>>,
    /// The range, both ends excluded. A page starts at one of its ends, which depends on the order.
    pub after: BookingPosition,
    pub before: BookingPosition,
    pub order: BookingOrder,
}

/// Bookings, and the position after which the next page starts, if there may be a next page.
pub struct BookingPage {
    pub bookings: Vec<OpenBooking>,
    pub next: Option<BookingPosition>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListBookingsError {
    /// The list can continue after this position.
    #[error("the booking {} is corrupted", .position.2)]
    Unreadable { position: BookingPosition, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Bookings {
    /// Lists bookings by slot and id, in one round trip that scans a bounded number of rows. A page ends before a
    /// booking that cannot be read.
    ///
    /// # Errors
    /// [`ListBookingsError`].
    pub async fn list_bookings(&self, query: &BookingsQuery, page_size: u16) -> Result<BookingPage, ListBookingsError> {
        let mut rows = self.listed_rows(query, page_size).await?;
        let fitting = page::fitting(rows.iter().map(ListedRow::details_bytes), PAGE_BYTES_MAX, page_size);
        let full = rows.len() > fitting;
        rows.truncate(fitting);
        let next = rows.last().filter(|last| full || last.scan_number == SCANNED_MAX).map(ListedRow::booking_position);
        let mut page = BookingPage { bookings: Vec::with_capacity(rows.len()), next };
        let mut last_read = None;
        for row in rows.into_iter().filter(|row| row.matches) {
            let position = row.booking_position();
            match row.booking.open(&self.ring) {
                Ok(booking) => page.bookings.push(booking),
                Err(source) if last_read.is_none() => return Err(ListBookingsError::Unreadable { position, source }),
                Err(_) => {
                    page.next = last_read;
                    break;
                }
            }
            last_read = Some(position);
        }
        Ok(page)
    }

    /// The page, and the row after it if there is one.
    async fn listed_rows(&self, query: &BookingsQuery, page_size: u16) -> Result<Vec<ListedRow>, DatabaseError> {
        let conversation_id = query.conversation_id.as_ref().map(ConversationId::as_str);
        let (customer_id, venue_id) = (query.customer_id.map(|id| id.0), query.venue_id.map(|id| id.0));
        let statuses: Option<Vec<&str>> =
            query.statuses.as_ref().map(|statuses| statuses.iter().map(|status| (*status).into()).collect());
        let (after, before, limit) = (query.after, query.before, i64::from(page_size) + 1);
        let statement = match query.order {
            BookingOrder::EarliestFirst => EARLIEST_FIRST,
            BookingOrder::LatestFirst => LATEST_FIRST,
        };
        let list = || {
            sqlx::query(statement)
                .bind(conversation_id)
                .bind(customer_id)
                .bind(venue_id)
                .bind(&statuses)
                .bind(after.0)
                .bind(after.1)
                .bind(after.2)
                .bind(before.0)
                .bind(before.1)
                .bind(before.2)
                .bind(SCANNED_MAX)
                .bind(limit)
                .try_map(|row: PgRow| ListedRow::from_row(&row))
        };
        self.database.fetch_all(list).await
    }
}

/// A row of the two statements.
#[derive(FromRow)]
struct ListedRow {
    scan_number: i64,
    matches: bool,
    #[sqlx(flatten)]
    booking: Booking,
}

impl ListedRow {
    /// The size of the large fields of a booking in an answer.
    fn details_bytes(&self) -> usize {
        self.booking.details_sealed.as_ref().filter(|_| self.matches).map_or(0, Vec::len)
    }

    fn booking_position(&self) -> BookingPosition {
        (self.booking.slot_date, self.booking.start_time, self.booking.booking_id.0)
    }
}
