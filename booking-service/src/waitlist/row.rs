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
    pub from_time: Option<NaiveTime>,
    pub until_time: Option<NaiveTime>,
    pub areas: Option<Vec<String>>,
    pub offered_total_cents: Option<i64>,
    pub offered_currency: Option<String>,
    pub offered_area: Option<String>,
}

/// One customer in the queue for one slot, or for every slot of a window.
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
    /// The starts that the customer waits for; `None`: only that of the slot.
    pub window: Option<(NaiveTime, NaiveTime)>,
    /// The areas in which the customer would sit; empty: any.
    pub areas: Vec<String>,
    /// While an offer is open.
    pub offered: Option<Offered>,
}

/// What an open offer holds.
pub struct Offered {
    pub total_cents: i64,
    pub currency: String,
    /// Empty without a floor.
    pub area: String,
}

impl WaitlistEntryRow {
    pub fn read(self) -> Result<WaitlistEntry, Corrupted> {
        let offered = self.offered_total_cents.zip(self.offered_currency);
        let area = self.offered_area.unwrap_or_default();
        Ok(WaitlistEntry {
            window: self.from_time.zip(self.until_time),
            areas: self.areas.unwrap_or_default(),
            offered: offered.map(|(total_cents, currency)| Offered { total_cents, currency, area }),
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
    raw.parse().map_err(|_| Corrupted::Column("waitlist_entries.status"))
}
