//! Everything that is stored about a customer here, page by page.

use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use super::{consent_history::ConsentChange, find::Customer};
use crate::{
    bookings::{
        Bookings,
        booking::OpenBooking,
        list::{BookingOrder, BookingPosition, BookingsQuery, ListBookingsError},
    },
    customers::Customers,
    domain::CustomerId,
    payments::{Payments, row::Payment},
    waitlist::{Waitlist, list::WaitlistQuery, row::WaitlistEntry},
};

/// A page ends after the booking with which it has this many payments.
const PAYMENTS_MAX: usize = 2_000;

/// Exports of customers.
pub struct CustomerExports {
    pub customers: Arc<Customers>,
    pub bookings: Arc<Bookings>,
    pub waitlist: Arc<Waitlist>,
    pub payments: Arc<Payments>,
}

/// The cursor position of an export. The bookings come first, then the waitlist entries, then the changes of
/// consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportPosition {
    Booking(BookingPosition),
    /// The queue number of an entry; 0 before the first entry.
    WaitlistEntry(i64),
    /// The customer of a change of a consent, and the version after it; nil and 0 before the first change.
    ConsentChange(Uuid, i64),
}

/// Where an export goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCursor {
    pub position: ExportPosition,
    /// The number of bookings when the first page was read; the later pages do not count again.
    pub booking_count: i64,
}

/// A part of what is stored about a customer.
pub struct ExportPage {
    pub customer: Customer,
    pub bookings: Vec<(OpenBooking, Vec<Payment>)>,
    pub entries: Vec<WaitlistEntry>,
    pub consent_changes: Vec<ConsentChange>,
    pub next: Option<ExportCursor>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there is no such customer")]
    NotFound,
    #[error("the customer was merged into another one")]
    Merged(CustomerId),
    /// The export can continue after this position.
    #[error("the booking {} is corrupted", .position.2)]
    Unreadable { position: BookingPosition, booking_count: i64, source: Corrupted },
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for ExportError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

impl CustomerExports {
    /// The page after this cursor. Each page reads the customer as it is then.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn export_page(
        &self,
        id: CustomerId,
        after: Option<ExportCursor>,
        page_size: u16,
    ) -> Result<ExportPage, ExportError> {
        let mut customer = self.customers.read_customer(id, after.is_none()).await?;
        if let Some(into) = customer.merged_into {
            return Err(ExportError::Merged(into));
        }
        customer.booking_count = after.map_or(customer.booking_count, |after| after.booking_count);
        let mut page =
            ExportPage { customer, bookings: Vec::new(), entries: Vec::new(), consent_changes: Vec::new(), next: None };
        let next = match after.map_or(ExportPosition::Booking(first()), |after| after.position) {
            ExportPosition::Booking(after) => Some(self.add_bookings(&mut page, id, after, page_size).await?),
            ExportPosition::WaitlistEntry(after) => {
                let found = self.waitlist.list_waitlist(&entries_of(id, after), page_size).await?;
                page.entries = found.entries;
                let first_change = ExportPosition::ConsentChange(Uuid::nil(), 0);
                Some(found.next.map_or(first_change, ExportPosition::WaitlistEntry))
            }
            ExportPosition::ConsentChange(customer, version) => {
                let limit = usize::from(page_size);
                let found = self.customers.consent_changes(id, (customer, version), i64::from(page_size) + 1).await?;
                let more = found.len() > limit;
                page.consent_changes.extend(found.into_iter().take(limit));
                let last = page.consent_changes.last().filter(|_| more);
                last.map(|change| ExportPosition::ConsentChange(change.customer_id, change.version))
            }
        };
        let booking_count = page.customer.booking_count;
        page.next = next.map(|position| ExportCursor { position, booking_count });
        Ok(page)
    }

    /// Adds the bookings after this position, and returns the position after them.
    async fn add_bookings(
        &self,
        page: &mut ExportPage,
        id: CustomerId,
        after: BookingPosition,
        page_size: u16,
    ) -> Result<ExportPosition, ExportError> {
        let found = self.bookings.list_bookings(&bookings_of(id, after), page_size).await;
        let found = found.map_err(|error| match error {
            ListBookingsError::Unreadable { position, source } => {
                ExportError::Unreadable { position, booking_count: page.customer.booking_count, source }
            }
            ListBookingsError::Database(error) => ExportError::Database(error),
        })?;
        let ids: Vec<_> = found.bookings.iter().map(|it| it.booking.booking_id).collect();
        let mut payments = self.payments.of_bookings(&ids).await?;
        let (mut count, mut last) = (0, None);
        for open in found.bookings {
            if let Some(last) = last.filter(|_| count >= PAYMENTS_MAX) {
                return Ok(ExportPosition::Booking(last));
            }
            let of_booking = payments.remove(&open.booking.booking_id).unwrap_or_default();
            count += of_booking.len();
            last = Some((open.booking.slot_date, open.booking.start_time, open.booking.booking_id.0));
            page.bookings.push((open, of_booking));
        }
        Ok(found.next.map_or(ExportPosition::WaitlistEntry(0), ExportPosition::Booking))
    }
}

/// Before the first booking: none is before 1970.
fn first() -> BookingPosition {
    (NaiveDate::default(), NaiveTime::MIN, Uuid::nil())
}

fn bookings_of(id: CustomerId, after: BookingPosition) -> BookingsQuery {
    let end = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default();
    BookingsQuery {
        venue_id: None,
        customer_id: Some(id),
        conversation_id: None,
        statuses: None,
        after,
        before: (end, NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default(), Uuid::max()),
        order: BookingOrder::EarliestFirst,
    }
}

fn entries_of(id: CustomerId, after: i64) -> WaitlistQuery {
    WaitlistQuery {
        conversation_id: None,
        customer_id: Some(id),
        venue_id: None,
        date: None,
        start_time: None,
        statuses: None,
        after,
    }
}

/// A conversation that a customer's bookings or waitlist entries name.
pub struct NamedConversation {
    pub conversation_id: String,
    /// Whether no other customer names it.
    pub is_own: bool,
}

impl Customers {
    /// The conversations of a customer.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn conversations_of(&self, id: CustomerId) -> Result<Vec<NamedConversation>, DatabaseError> {
        let named = || sqlx::query_file_as!(NamedConversation, "src/customers/conversations.sql", id.0);
        self.database.fetch_all(named).await
    }
}
