//! A booking as it is stored and as it is read.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{KeyRing, Place},
};
use uuid::Uuid;

use crate::domain::{BookingId, BookingStatus, CancellationInitiator, CustomerId, VenueId, WaitlistEntryId};

/// The columns of a booking, and its venue's time zone.
pub struct BookingRow {
    pub booking_id: Uuid,
    pub confirmation_code: String,
    pub status: String,
    pub venue_id: Uuid,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub time_zone: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_due_cents: i64,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<String>,
    pub conversation_id: String,
    pub special_requests_sealed: Option<Vec<u8>>,
    pub source: String,
    pub waitlist_entry_id: Option<Uuid>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A booking. Amounts are minor units of `currency`.
pub struct Booking {
    pub id: BookingId,
    pub confirmation_code: String,
    pub status: BookingStatus,
    pub venue_id: VenueId,
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub time_zone: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: CustomerId,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_due_cents: i64,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<CancellationInitiator>,
    pub conversation_id: String,
    pub special_requests: Option<String>,
    pub source: String,
    /// The entry whose offer this is.
    pub waitlist_entry_id: Option<WaitlistEntryId>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Where a booking's special requests are sealed.
pub fn special_requests_place(booking_id: &BookingId) -> Place<'_> {
    Place { table: "bookings", column: "special_requests_sealed", row: booking_id.0.as_bytes() }
}

impl BookingRow {
    /// The booking, its sealed column opened.
    pub fn open(self, ring: &KeyRing) -> Result<Booking, Corrupted> {
        let id = BookingId(self.booking_id);
        let special_requests = match &self.special_requests_sealed {
            Some(sealed) => Some(ring.open_text(special_requests_place(&id), sealed)?),
            None => None,
        };
        let cancelled_by = match &self.cancelled_by {
            Some(raw) => {
                Some(CancellationInitiator::from_column(raw).ok_or(Corrupted::Column("bookings.cancelled_by"))?)
            }
            None => None,
        };
        Ok(Booking {
            id,
            confirmation_code: self.confirmation_code,
            status: BookingStatus::from_column(&self.status).ok_or(Corrupted::Column("bookings.status"))?,
            venue_id: VenueId(self.venue_id),
            date: self.slot_date,
            start_time: self.start_time,
            time_zone: self.time_zone,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            customer_id: CustomerId(self.customer_id),
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
            cancelled_by,
            conversation_id: self.conversation_id,
            special_requests,
            source: self.source,
            waitlist_entry_id: self.waitlist_entry_id.map(WaitlistEntryId),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
