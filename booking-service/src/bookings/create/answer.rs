//! The answer of `create_booking.sql`.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::Corrupted::{self, Column};
use uuid::Uuid;

use crate::{
    bookings::row::BookingRow,
    domain::{PhoneRegion, Refusal, SlotRefusal},
};

/// What the statement did; the statement's own comment says what each means.
pub enum Outcome {
    Created(BookingRow),
    Replayed {
        fingerprint: Vec<u8>,
        row: BookingRow,
    },
    /// The national telephone number has to be read by this region.
    OtherPhoneRegion(PhoneRegion),
    Refused(Refusal),
    Contended,
}

/// The one row the statement answers: the outcome, and of the rest what belongs to it.
pub struct Answer {
    pub outcome: String,
    pub refusal: Option<String>,
    pub open_seats: Option<i32>,
    pub notice_minutes: Option<i32>,
    pub horizon_days: Option<i32>,
    pub min_party_size: Option<i32>,
    pub max_party_size: Option<i32>,
    pub offer_total_cents: Option<i64>,
    pub phone_region: Option<String>,
    pub fingerprint: Option<Vec<u8>>,
    pub booking_id: Option<Uuid>,
    pub confirmation_code: Option<String>,
    pub status: Option<String>,
    pub venue_id: Option<Uuid>,
    pub slot_date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub time_zone: Option<String>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub customer_id: Option<Uuid>,
    pub party_size: Option<i32>,
    pub price_per_person_cents: Option<i64>,
    pub total_cents: Option<i64>,
    pub deposit_due_cents: Option<i64>,
    pub paid_cents: Option<i64>,
    pub refunded_cents: Option<i64>,
    pub refund_due_cents: Option<i64>,
    pub currency: Option<String>,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<String>,
    pub conversation_id: Option<String>,
    pub special_requests_sealed: Option<Vec<u8>>,
    pub source: Option<String>,
    pub waitlist_entry_id: Option<Uuid>,
    pub version: Option<i64>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
}

impl Answer {
    pub fn outcome(mut self) -> Result<Outcome, Corrupted> {
        let fingerprint = self.fingerprint.take();
        match self.outcome.as_str() {
            "created" => Ok(Outcome::Created(self.booking().ok_or(Column("create_booking.booking_id"))?)),
            "replayed" => Ok(Outcome::Replayed {
                fingerprint: fingerprint.ok_or(Column("create_booking.fingerprint"))?,
                row: self.booking().ok_or(Column("create_booking.booking_id"))?,
            }),
            "refused" if self.refusal.as_deref() == Some("PHONE_REGION") => {
                let region = PhoneRegion::parse(self.phone_region.as_deref().unwrap_or_default());
                Ok(Outcome::OtherPhoneRegion(region.map_err(|_| Column("venues.phone_region"))?))
            }
            "refused" => Ok(Outcome::Refused(self.refusal()?)),
            "contended" => Ok(Outcome::Contended),
            _ => Err(Column("create_booking.outcome")),
        }
    }

    fn refusal(&self) -> Result<Refusal, Corrupted> {
        match self.refusal.as_deref().unwrap_or_default() {
            "VENUE_NOT_FOUND" => Ok(Refusal::VenueNotFound),
            "PRICE_CHANGED" => {
                let total_cents = self.offer_total_cents.ok_or(Column("create_booking.offer_total_cents"))?;
                Ok(Refusal::PriceChanged { total_cents })
            }
            slot => self.slot_refusal(SlotRefusal::from_column(slot).ok_or(Column("create_booking.refusal"))?),
        }
    }

    /// The refusal with the figure that explains it.
    fn slot_refusal(&self, refusal: SlotRefusal) -> Result<Refusal, Corrupted> {
        Ok(match refusal {
            SlotRefusal::SlotNotFound => Refusal::SlotNotFound,
            SlotRefusal::SlotClosed => Refusal::SlotClosed,
            SlotRefusal::SlotFull => {
                Refusal::SlotFull { open_seats: self.open_seats.ok_or(Column("create_booking.open_seats"))? }
            }
            SlotRefusal::InsufficientNotice => {
                let notice_minutes = self.notice_minutes.ok_or(Column("create_booking.notice_minutes"))?;
                Refusal::InsufficientNotice { notice_minutes }
            }
            SlotRefusal::TooFarAhead => {
                Refusal::TooFarAhead { horizon_days: self.horizon_days.ok_or(Column("create_booking.horizon_days"))? }
            }
            SlotRefusal::PartyTooSmall => {
                let min_party_size = self.min_party_size.ok_or(Column("create_booking.min_party_size"))?;
                Refusal::PartyTooSmall { min_party_size }
            }
            SlotRefusal::PartyTooLarge => {
                let max_party_size = self.max_party_size.ok_or(Column("create_booking.max_party_size"))?;
                Refusal::PartyTooLarge { max_party_size }
            }
        })
    }

    fn booking(self) -> Option<BookingRow> {
        Some(BookingRow {
            booking_id: self.booking_id?,
            confirmation_code: self.confirmation_code?,
            status: self.status?,
            venue_id: self.venue_id?,
            slot_date: self.slot_date?,
            start_time: self.start_time?,
            time_zone: self.time_zone?,
            starts_at: self.starts_at?,
            ends_at: self.ends_at?,
            customer_id: self.customer_id?,
            party_size: self.party_size?,
            price_per_person_cents: self.price_per_person_cents?,
            total_cents: self.total_cents?,
            deposit_due_cents: self.deposit_due_cents?,
            paid_cents: self.paid_cents?,
            refunded_cents: self.refunded_cents?,
            refund_due_cents: self.refund_due_cents?,
            currency: self.currency?,
            hold_expires_at: self.hold_expires_at,
            confirmed_at: self.confirmed_at,
            cancelled_at: self.cancelled_at,
            cancelled_by: self.cancelled_by,
            conversation_id: self.conversation_id?,
            special_requests_sealed: self.special_requests_sealed,
            source: self.source?,
            waitlist_entry_id: self.waitlist_entry_id,
            version: self.version?,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
        })
    }
}
