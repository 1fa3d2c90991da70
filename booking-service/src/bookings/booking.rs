//! A booking: the row of `bookings`, which is derived from its events.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use teppan_shared::{read_error::Corrupted, sealing::KeyRing};

use super::details::BookingDetails;
use crate::domain::{
    BookingId, BookingStatus, CancellationInitiator, CustomerId, Occupancy, SlotKey, Terms, VenueId, WaitlistEntryId,
};

/// A stored booking, with its venue's time zone. Amounts are minor units of `currency`.
///
/// This is the only list of the columns: statements return `bookings.*`, and take rows as the JSON of this type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Booking {
    pub booking_id: BookingId,
    pub confirmation_code: String,
    pub status: BookingStatus,
    pub venue_id: VenueId,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: CustomerId,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    /// The whole deposit; the amount still due also depends on `paid_cents`.
    pub deposit_cents: i64,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub refund_due_cents: i64,
    pub disputed_cents: i64,
    pub kept_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub unpaid_hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancelled_by: Option<CancellationInitiator>,
    pub conversation_id: String,
    #[serde(serialize_with = "optional_hex")]
    pub details_sealed: Option<Vec<u8>>,
    /// When the personal data was erased.
    pub erased_at: Option<DateTime<Utc>>,
    pub source: String,
    /// The waitlist entry whose offer this booking is.
    pub waitlist_entry_id: Option<WaitlistEntryId>,
    /// The area of the venue's floor; `None` for a booking that was made without a floor.
    pub area: Option<String>,
    /// Until when the seats of the area are taken; `None` without an area.
    pub occupied_until: Option<DateTime<Utc>>,
    /// The keys of the tables; `None` without tables.
    pub tables: Option<Vec<String>>,
    /// The terms under which it was made; `None`: made by a version that did not keep them.
    pub terms: Option<Json<Terms>>,
    /// What the venue keeps of money that late changes freed; `None`: nothing.
    pub retained_cents: Option<i64>,
    /// The largest price that was paid for when the customer changed it late; `None`: never.
    pub refund_base_cents: Option<i64>,
    /// The largest part of the paid amount that a cancellation by the customer gives back, in percent; `None`: as the
    /// terms say.
    pub refund_percent_max: Option<i32>,
    /// When the guest said that the party comes; `None` again after a move to another time.
    pub guest_confirmed_at: Option<DateTime<Utc>>,
    /// When the party was seated.
    pub seated_at: Option<DateTime<Utc>>,
    /// The part of `paid_cents` that is for tips and extras beyond the price; `None`: nothing.
    pub extras_cents: Option<i64>,
    /// What the guests owe who did not come; `None`: nothing, or it is no no-show.
    pub no_show_fee_cents: Option<i64>,
    pub version: i64,
    #[serde(serialize_with = "hex")]
    pub event_hash: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub time_zone: String,
}

/// A booking with its details in plain text.
pub struct OpenBooking {
    pub booking: Booking,
    /// `None` after erasure.
    pub details: Option<BookingDetails>,
}

impl Booking {
    pub fn slot(&self) -> SlotKey {
        SlotKey { venue_id: self.venue_id, date: self.slot_date, start_time: self.start_time }
    }

    /// Opens the sealed column.
    pub fn open(self, ring: &KeyRing) -> Result<OpenBooking, Corrupted> {
        let details = self.details(ring)?;
        Ok(OpenBooking { booking: self, details })
    }

    /// The details; `None` after erasure.
    pub fn details(&self, ring: &KeyRing) -> Result<Option<BookingDetails>, Corrupted> {
        self.details_sealed.as_deref().map(|sealed| BookingDetails::open(ring, self.booking_id, sealed)).transpose()
    }

    /// The area, the tables and the time that the booking takes while it is live.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            area: self.area.clone(),
            tables: self.tables.clone().unwrap_or_default(),
            since: self.starts_at,
            until: self.occupied_until.unwrap_or(self.ends_at),
        }
    }

    /// What was paid without tips and extras: for the price, or in error.
    pub fn paid_without_extras_cents(&self) -> i64 {
        self.paid_cents - self.extras_cents.unwrap_or(0)
    }

    /// What the venue may keep, besides extras, while the booking stands: the price and what late changes retained, or
    /// the fee of a no-show if it is larger. So one amount pays for both, and money that was owed pays the fee first.
    pub fn may_keep_cents(&self) -> i64 {
        self.price_and_retained_cents().max(self.no_show_fee_cents.unwrap_or(0))
    }

    /// What the venue may keep of a booking that is no no-show.
    pub fn price_and_retained_cents(&self) -> i64 {
        self.total_cents + self.retained_cents.unwrap_or(0)
    }

    /// The part of the fee of a no-show that the venue does not have yet. Disputed money does not pay it.
    pub fn no_show_fee_due_cents(&self) -> i64 {
        self.no_show_fee_cents.map_or(0, |fee_cents| (fee_cents - self.paid_without_extras_cents()).max(0))
    }

    /// The part of the deposit that is still due; 0 unless the booking is pending.
    pub fn deposit_due_cents(&self) -> i64 {
        let is_pending = self.status == BookingStatus::Pending;
        if is_pending { (self.deposit_cents - self.paid_without_extras_cents()).max(0) } else { 0 }
    }

    /// The columns with impossible values; the constraints of the table check the same.
    pub fn impossible(&self) -> Vec<&'static str> {
        let price = self.price_per_person_cents.checked_mul(self.party_size.into());
        let checks = [
            ("party_size", (1..=50).contains(&self.party_size)),
            ("total_cents", price.is_some_and(|price| self.total_cents >= price)),
            ("deposit_cents", (0..=self.total_cents).contains(&self.deposit_cents)),
            ("paid_cents", self.paid_cents >= 0),
            ("refunded_cents", self.refunded_cents >= 0),
            ("refund_due_cents", (0..=self.paid_cents).contains(&self.refund_due_cents)),
            ("disputed_cents", self.disputed_cents >= 0),
            ("kept_cents", self.kept_cents >= 0),
            ("retained_cents", self.retained_cents.is_none_or(|cents| cents > 0)),
            ("extras_cents", self.extras_cents.is_none_or(|cents| (1..=self.paid_cents).contains(&cents))),
            (
                "no_show_fee_cents",
                self.no_show_fee_cents.is_none_or(|cents| cents > 0 && self.status == BookingStatus::NoShow),
            ),
            ("refund_base_cents", self.refund_base_cents.is_none_or(|base| base >= self.retained_cents.unwrap_or(0))),
            ("refund_percent_max", self.refund_percent_max.is_none_or(|percent| (0..=99).contains(&percent))),
            ("occupied_until", self.area.is_some() == self.occupied_until.is_some()),
            ("tables", self.tables.as_ref().is_none_or(|tables| self.area.is_some() && !tables.is_empty())),
            ("hold_expires_at", (self.status == BookingStatus::Pending) == self.hold_expires_at.is_some()),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }
}

#[expect(clippy::ptr_arg, reason = "serde passes a reference to the field")]
fn hex<S: serde::Serializer>(bytes: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_hex(bytes))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn optional_hex<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_deref().map(to_hex).serialize(serializer)
}

/// Bytes as text that PostgreSQL reads.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::from("\\x"), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads bytes that PostgreSQL wrote into JSON; `None` for other text.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}
