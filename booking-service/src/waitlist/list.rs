use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::ReadError;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, CustomerId, VenueId, WaitlistEntryStatus},
    waitlist::Waitlist,
    waitlist::row::{WaitlistEntry, WaitlistEntryRow},
};

/// The most rows that one page scans. If few rows match, a page ends there, perhaps without an entry, and the next page
/// continues.
pub const SCANNED_MAX: i64 = 5_000;

/// The filters of the list; an entry must match all given filters.
pub struct WaitlistQuery {
    pub conversation_id: Option<ConversationId>,
    pub customer_id: Option<CustomerId>,
    pub venue_id: Option<VenueId>,
    pub date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    /// `None`: any.
    pub statuses: Option<Vec<WaitlistEntryStatus>>,
    /// The queue number after which the page starts.
    pub after: i64,
}

/// Entries, and the queue number after which the next page starts, if there may be a next page.
pub struct WaitlistPage {
    pub entries: Vec<WaitlistEntry>,
    pub next: Option<i64>,
}

impl Waitlist {
    /// Lists entries in the order of joining, in one round trip that scans a bounded number of rows.
    ///
    /// # Errors
    /// [`ReadError`], but never `NotFound`.
    pub async fn list_waitlist(&self, query: &WaitlistQuery, page_size: u16) -> Result<WaitlistPage, ReadError> {
        let statuses: Option<Vec<String>> = query
            .statuses
            .as_ref()
            .map(|statuses| statuses.iter().map(|status| status.into_str().to_owned()).collect());
        let list = || {
            sqlx::query_file_as!(
                ListedRow,
                "src/waitlist/list.sql",
                query.conversation_id.as_ref().map(ConversationId::as_str),
                query.customer_id.map(|id| id.0),
                query.venue_id.map(|id| id.0),
                query.date,
                query.start_time,
                statuses.as_deref(),
                query.after,
                SCANNED_MAX,
                // the page, and the row after it if there is one
                i64::from(page_size) + 1,
            )
        };
        let mut rows = self.database.fetch_all(list).await?;
        let full = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|last| full || last.scan_number == SCANNED_MAX).map(|last| last.queue_number);
        let matching = rows.into_iter().filter(|row| row.matches);
        let entries = matching.map(|row| row.entry().read()).collect::<Result<_, _>>()?;
        Ok(WaitlistPage { entries, next })
    }
}

/// A row of `list.sql`.
struct ListedRow {
    scan_number: i64,
    matches: bool,
    queue_number: i64,
    waitlist_entry_id: Uuid,
    status: String,
    venue_id: Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    starts_at: DateTime<Utc>,
    time_zone: String,
    party_size: i32,
    position: i32,
    customer_id: Uuid,
    conversation_id: String,
    booking_id: Option<Uuid>,
    offer_expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    from_time: Option<NaiveTime>,
    until_time: Option<NaiveTime>,
    areas: Option<Vec<String>>,
    offered_total_cents: Option<i64>,
    offered_currency: Option<String>,
    offered_area: Option<String>,
}

impl ListedRow {
    fn entry(self) -> WaitlistEntryRow {
        WaitlistEntryRow {
            waitlist_entry_id: self.waitlist_entry_id,
            status: self.status,
            venue_id: self.venue_id,
            slot_date: self.slot_date,
            start_time: self.start_time,
            starts_at: self.starts_at,
            time_zone: self.time_zone,
            party_size: self.party_size,
            position: self.position,
            customer_id: self.customer_id,
            conversation_id: self.conversation_id,
            booking_id: self.booking_id,
            offer_expires_at: self.offer_expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            from_time: self.from_time,
            until_time: self.until_time,
            areas: self.areas,
            offered_total_cents: self.offered_total_cents,
            offered_currency: self.offered_currency,
            offered_area: self.offered_area,
        }
    }
}
