//! The answer of `create_booking.sql`.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use super::Refusal;
use crate::booking_row::BookingRow;

/// What the statement did; the statement's own comment says what each means.
pub enum Outcome {
    Created(BookingRow),
    Replayed { fingerprint: Vec<u8>, row: BookingRow },
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
    pub currency: Option<String>,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub conversation_id: Option<String>,
    pub special_requests_sealed: Option<Vec<u8>>,
    pub source: Option<String>,
    pub version: Option<i64>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
}

impl Answer {
    pub fn outcome(mut self) -> Outcome {
        let fingerprint = self.fingerprint.take().unwrap_or_default();
        match self.outcome.as_str() {
            "refused" => Outcome::Refused(self.refusal()),
            "created" => self.booking().map_or(Outcome::Contended, Outcome::Created),
            "replayed" => self.booking().map_or(Outcome::Contended, |row| Outcome::Replayed { fingerprint, row }),
            _ => Outcome::Contended,
        }
    }

    fn refusal(&self) -> Refusal {
        match self.refusal.as_deref() {
            Some("SLOT_NOT_FOUND") => Refusal::SlotNotFound,
            Some("SLOT_CLOSED") => Refusal::SlotClosed,
            Some("SLOT_FULL") => Refusal::SlotFull { open_seats: self.open_seats.unwrap_or(0) },
            Some("INSUFFICIENT_NOTICE") => {
                Refusal::InsufficientNotice { notice_minutes: self.notice_minutes.unwrap_or(0) }
            }
            Some("TOO_FAR_AHEAD") => Refusal::TooFarAhead { horizon_days: self.horizon_days.unwrap_or(0) },
            Some("PARTY_TOO_SMALL") => Refusal::PartyTooSmall { min_party_size: self.min_party_size.unwrap_or(0) },
            Some("PARTY_TOO_LARGE") => Refusal::PartyTooLarge { max_party_size: self.max_party_size.unwrap_or(0) },
            Some("PRICE_CHANGED") => Refusal::PriceChanged { total_cents: self.offer_total_cents.unwrap_or(0) },
            _ => Refusal::VenueNotFound,
        }
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
            currency: self.currency?,
            hold_expires_at: self.hold_expires_at,
            confirmed_at: self.confirmed_at,
            conversation_id: self.conversation_id?,
            special_requests_sealed: self.special_requests_sealed,
            source: self.source?,
            version: self.version?,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
        })
    }
}
