//! The answer of the statements that change a booking.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::Corrupted::{self, Column};
use uuid::Uuid;

use crate::{
    bookings::row::BookingRow,
    domain::{BookingChange, BookingStatus, ChangeRefusal, Refusal, SlotKey, SlotRefusal, VenueId},
};

/// What the statement did.
pub enum Outcome {
    Changed(BookingRow),
    /// It had come to that before.
    Unchanged(BookingRow),
    StaleEtag,
    Refused {
        status: BookingStatus,
        refusal: ChangeRefusal,
    },
    /// To be run again.
    Contended,
}

/// The one row the statements answer: the outcome, a figure that explains it, and the booking.
pub struct ChangeAnswer {
    pub outcome: String,
    pub figure: Option<i64>,
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

impl ChangeAnswer {
    pub fn outcome(self, change: BookingChange) -> Result<Outcome, Corrupted> {
        match self.outcome.as_str() {
            "CHANGED" | "DONE" => Ok(Outcome::Changed(self.booking())),
            "UNCHANGED" => Ok(Outcome::Unchanged(self.booking())),
            "ETAG_MISMATCH" => Ok(Outcome::StaleEtag),
            "CONTENDED" => Ok(Outcome::Contended),
            refusal => {
                let status = BookingStatus::from_column(&self.status).ok_or(Column("bookings.status"))?;
                let refusal = match refusal {
                    "WRONG_STATUS" => change.refused_in(status),
                    "HOLD_EXPIRED" => ChangeRefusal::HoldExpired,
                    "STARTED" => ChangeRefusal::NotAllowed,
                    "NOT_STARTED" => ChangeRefusal::NotStarted,
                    slot => ChangeRefusal::Slot(self.slot(), self.slot_refusal(slot)?),
                };
                Ok(Outcome::Refused { status, refusal })
            }
        }
    }

    fn slot(&self) -> SlotKey {
        SlotKey { venue_id: VenueId(self.venue_id), date: self.slot_date, start_time: self.start_time }
    }

    /// The refusal with the figure that explains it.
    fn slot_refusal(&self, refusal: &str) -> Result<Refusal, Corrupted> {
        let cents = || self.figure.ok_or(Column("reschedule_booking.figure"));
        let figure = || cents().and_then(|it| i32::try_from(it).map_err(|_| Column("reschedule_booking.figure")));
        if refusal == "PRICE_CHANGED" {
            return Ok(Refusal::PriceChanged { total_cents: cents()? });
        }
        SlotRefusal::from_column(refusal).ok_or(Column("reschedule_booking.outcome"))?.explained(figure)
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
