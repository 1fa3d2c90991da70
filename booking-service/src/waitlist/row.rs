//! A waitlist entry: the row of the statements, and the type that is read from it.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::Corrupted;
use uuid::Uuid;

use crate::domain::{BookingId, CustomerId, SlotKey, VenueId, WaitlistEntryId, WaitlistEntryStatus};

/// The columns of an entry, with columns of its slot, venue and booking.
pub struct WaitlistEntryRow {
    pub waitlist_entry_id: Uuid,
    pub status: String,
    pub venue_id: Uuid,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub time_zone: String,
    pub party_size: i32,
    pub position: i32,
    pub customer_id: Uuid,
    pub conversation_id: String,
    pub booking_id: Option<Uuid>,
    pub offer_expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// One customer in the queue for one slot.
pub struct WaitlistEntry {
    pub id: WaitlistEntryId,
    pub status: WaitlistEntryStatus,
    pub slot: SlotKey,
    pub starts_at: DateTime<Utc>,
    pub time_zone: String,
    pub party_size: i32,
    /// The queue position: 1 is next; 0 for an entry that does not wait.
    pub position: i32,
    pub customer_id: CustomerId,
    pub conversation_id: String,
    /// The booking that holds, or held, the offered seats.
    pub booking_id: Option<BookingId>,
    pub offer_expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl WaitlistEntryRow {
    pub fn read(self) -> Result<WaitlistEntry, Corrupted> {
        Ok(WaitlistEntry {
            id: WaitlistEntryId(self.waitlist_entry_id),
            status: read_status(&self.status)?,
            slot: SlotKey { venue_id: VenueId(self.venue_id), date: self.slot_date, start_time: self.start_time },
            starts_at: self.starts_at,
            time_zone: self.time_zone,
            party_size: self.party_size,
            position: self.position,
            customer_id: CustomerId(self.customer_id),
            conversation_id: self.conversation_id,
            booking_id: self.booking_id.map(BookingId),
            offer_expires_at: self.offer_expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

pub fn read_status(raw: &str) -> Result<WaitlistEntryStatus, Corrupted> {
    WaitlistEntryStatus::from_column(raw).ok_or(Corrupted::Column("waitlist_entries.status"))
}
