use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{page, postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use crate::{
    bookings::row::{Booking, BookingRow},
    core::Core,
    domain::{BookingStatus, ConversationId, CustomerId, VenueId},
};

/// The most rows one page looks at. A page of what is rare ends there, perhaps without a booking, and
/// the next goes on.
pub const LOOKED_AT_MAX: i64 = 5_000;

/// A page ends before the wishes in it grow past this. With all the rest of a thousand bookings it stays
/// far below the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A cursor position in the order of bookings: slot date, start time, id.
pub type BookingPosition = (NaiveDate, NaiveTime, Uuid);

/// The direction of a list of bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingOrder {
    EarliestFirst,
    LatestFirst,
}

/// Which bookings are asked for; filters that are given must all match.
pub struct BookingsQuery {
    pub venue_id: Option<VenueId>,
    pub customer_id: Option<CustomerId>,
    pub conversation_id: Option<ConversationId>,
    /// `None`: any.
    pub statuses: Option<Vec<BookingStatus>>,
    /// The range, both ends excluded; its beginning or end is where the page starts.
    pub after: BookingPosition,
    pub before: BookingPosition,
    pub order: BookingOrder,
}

/// Bookings, and where the next page starts if there may be one.
pub struct BookingPage {
    pub bookings: Vec<Booking>,
    pub next: Option<BookingPosition>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListBookingsError {
    /// The list goes on behind its cursor position.
    #[error("the booking {} is corrupted", .position.2)]
    Unreadable { position: BookingPosition, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Core {
    /// Lists bookings by slot and id, in one round trip that looks at a bounded number of rows. A page ends before a
    /// booking that cannot be read.
    ///
    /// # Errors
    /// [`ListBookingsError`].
    pub async fn list_bookings(&self, query: &BookingsQuery, page_size: u16) -> Result<BookingPage, ListBookingsError> {
        let mut rows = self.listed_rows(query, page_size).await?;
        let fitting = page::fitting(rows.iter().map(ListedRow::wishes_bytes), PAGE_BYTES_MAX, page_size);
        let full = rows.len() > fitting;
        rows.truncate(fitting);
        let next = rows.last().filter(|last| full || last.place == LOOKED_AT_MAX).map(ListedRow::booking_position);
        let mut page = BookingPage { bookings: Vec::with_capacity(rows.len()), next };
        let mut last_read = None;
        for row in rows.into_iter().filter(|row| row.wanted) {
            let position = row.booking_position();
            match row.booking().open(&self.ring) {
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
        let statuses: Option<Vec<String>> = query
            .statuses
            .as_ref()
            .map(|statuses| statuses.iter().map(|status| status.as_column().to_owned()).collect());
        let statuses = statuses.as_deref();
        let (after, before, limit) = (query.after, query.before, i64::from(page_size) + 1);
        match query.order {
            BookingOrder::EarliestFirst => {
                let earliest_first = || {
                    sqlx::query_file_as!(
                        ListedRow,
                        "src/bookings/list_earliest_first.sql",
                        conversation_id,
                        customer_id,
                        venue_id,
                        statuses,
                        after.0,
                        after.1,
                        after.2,
                        before.0,
                        before.1,
                        before.2,
                        LOOKED_AT_MAX,
                        limit,
                    )
                };
                self.database.fetch_all(earliest_first).await
            }
            BookingOrder::LatestFirst => {
                let latest_first = || {
                    sqlx::query_file_as!(
                        ListedRow,
                        "src/bookings/list_latest_first.sql",
                        conversation_id,
                        customer_id,
                        venue_id,
                        statuses,
                        after.0,
                        after.1,
                        after.2,
                        before.0,
                        before.1,
                        before.2,
                        LOOKED_AT_MAX,
                        limit,
                    )
                };
                self.database.fetch_all(latest_first).await
            }
        }
    }
}

/// A row of the statements, which say what it means.
struct ListedRow {
    place: i64,
    wanted: bool,
    booking_id: Uuid,
    confirmation_code: String,
    status: String,
    venue_id: Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    time_zone: String,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    customer_id: Uuid,
    party_size: i32,
    price_per_person_cents: i64,
    total_cents: i64,
    deposit_due_cents: i64,
    paid_cents: i64,
    refunded_cents: i64,
    refund_due_cents: i64,
    currency: String,
    hold_expires_at: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    cancelled_by: Option<String>,
    conversation_id: String,
    special_requests_sealed: Option<Vec<u8>>,
    source: String,
    waitlist_entry_id: Option<Uuid>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ListedRow {
    /// What the booking takes in an answer, but for what is small in every booking.
    fn wishes_bytes(&self) -> usize {
        self.special_requests_sealed.as_ref().filter(|_| self.wanted).map_or(0, Vec::len)
    }

    fn booking_position(&self) -> BookingPosition {
        (self.slot_date, self.start_time, self.booking_id)
    }

    fn booking(self) -> BookingRow {
        BookingRow {
            booking_id: self.booking_id,
            confirmation_code: self.confirmation_code,
            status: self.status,
            venue_id: self.venue_id,
            slot_date: self.slot_date,
            start_time: self.start_time,
            time_zone: self.time_zone,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            customer_id: self.customer_id,
            party_size: self.party_size,
            price_per_person_cents: self.price_per_person_cents,
            total_cents: self.total_cents,
            deposit_due_cents: self.deposit_due_cents,
            paid_cents: self.paid_cents,
            refunded_cents: self.refunded_cents,
            refund_due_cents: self.refund_due_cents,
            currency: self.currency,
            hold_expires_at: self.hold_expires_at,
            confirmed_at: self.confirmed_at,
            cancelled_at: self.cancelled_at,
            cancelled_by: self.cancelled_by,
            conversation_id: self.conversation_id,
            special_requests_sealed: self.special_requests_sealed,
            source: self.source,
            waitlist_entry_id: self.waitlist_entry_id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
