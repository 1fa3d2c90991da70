//! A booking as it is stored, and how it is answered.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{Postgres, Transaction};
use teppan_shared::{
    contract::booking::v1::{Booking, BookingStatus, Contact},
    sealing::{AssociatedData, KeyRing},
    wire::timestamp,
};
use uuid::Uuid;

use crate::error::CallError;

/// The row of a booking with its venue's time zone.
#[derive(sqlx::FromRow)]
pub struct BookingRow {
    pub booking_id: Uuid,
    pub confirmation_code: String,
    pub status: String,
    pub venue_id: Uuid,
    pub slot_date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub party_size: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub deposit_cents: i64,
    pub currency: String,
    pub hold_expires_at: Option<DateTime<Utc>>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub conversation_id: String,
    pub details_sealed: Vec<u8>,
    pub source: String,
    pub created_at: DateTime<Utc>,
    pub time_zone: String,
}

/// The personal data of a booking, sealed as one value.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Details {
    pub name: String,
    pub email: String,
    pub phone: String,
    pub special_requests: String,
}

impl Details {
    pub fn seal(&self, ring: &KeyRing, booking_id: Uuid) -> Vec<u8> {
        ring.seal(about(&booking_id), &serde_json::to_vec(self).expect("texts"))
    }
}

fn about(booking_id: &Uuid) -> AssociatedData<'_> {
    AssociatedData { table: "bookings", column: "details_sealed", row: booking_id.as_bytes() }
}

impl BookingRow {
    pub async fn load(transaction: &mut Transaction<'_, Postgres>, booking_id: Uuid) -> Result<Self, CallError> {
        let row = sqlx::query_as(
            "SELECT b.*, v.time_zone FROM bookings b JOIN venues v USING (venue_id) WHERE booking_id = $1",
        )
        .bind(booking_id)
        .fetch_one(&mut **transaction)
        .await?;
        Ok(row)
    }

    pub async fn insert(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<(), CallError> {
        sqlx::query(
            "INSERT INTO bookings (booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at,
                 ends_at, customer_id, party_size, price_per_person_cents, total_cents, deposit_cents, currency,
                 hold_expires_at, confirmed_at, conversation_id, details_sealed, source, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        )
        .bind(self.booking_id)
        .bind(&self.confirmation_code)
        .bind(&self.status)
        .bind(self.venue_id)
        .bind(self.slot_date)
        .bind(self.start_time)
        .bind(self.starts_at)
        .bind(self.ends_at)
        .bind(self.customer_id)
        .bind(self.party_size)
        .bind(self.price_per_person_cents)
        .bind(self.total_cents)
        .bind(self.deposit_cents)
        .bind(&self.currency)
        .bind(self.hold_expires_at)
        .bind(self.confirmed_at)
        .bind(&self.conversation_id)
        .bind(&self.details_sealed)
        .bind(&self.source)
        .bind(self.created_at)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The first event of the booking: ids and figures, no personal data.
    pub fn created_event(&self) -> serde_json::Value {
        serde_json::json!({
            "booking_id": self.booking_id,
            "venue_id": self.venue_id,
            "date": self.slot_date,
            "start_time": self.start_time,
            "booking_version": "1",
            "status": format!("BOOKING_STATUS_{}", self.status),
            "occurred_at": self.created_at,
            "customer_id": self.customer_id,
            "conversation_id": self.conversation_id,
            "confirmation_code": self.confirmation_code,
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "time_zone": self.time_zone,
            "party_size": self.party_size,
            "price_per_person_cents": self.price_per_person_cents.to_string(),
            "total_cents": self.total_cents.to_string(),
            "deposit_cents": self.deposit_cents.to_string(),
            "currency": self.currency,
            "hold_expires_at": self.hold_expires_at,
        })
    }

    pub fn encode(self, ring: &KeyRing) -> Option<Booking> {
        let opened = ring.open(about(&self.booking_id), &self.details_sealed).ok()?;
        let details: Details = serde_json::from_slice(&opened).ok()?;
        let is_pending = self.status == "PENDING";
        let status = if is_pending { BookingStatus::Pending } else { BookingStatus::Confirmed };
        Some(Booking {
            booking_id: self.booking_id.to_string(),
            confirmation_code: self.confirmation_code,
            status: status.into(),
            venue_id: self.venue_id.to_string(),
            date: self.slot_date.to_string(),
            start_time: self.start_time.format("%H:%M").to_string(),
            starts_at: Some(timestamp(self.starts_at)),
            ends_at: Some(timestamp(self.ends_at)),
            time_zone: self.time_zone,
            party_size: self.party_size,
            total_cents: self.total_cents,
            deposit_cents: self.deposit_cents,
            deposit_due_cents: if is_pending { self.deposit_cents } else { 0 },
            currency: self.currency,
            hold_expires_at: self.hold_expires_at.map(timestamp),
            etag: "1".to_owned(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.created_at)),
            customer_id: self.customer_id.to_string(),
            conversation_id: self.conversation_id,
            special_requests: details.special_requests,
            contact: Some(Contact { name: details.name, email: details.email, phone: details.phone }),
            source: self.source,
            price_per_person_cents: self.price_per_person_cents,
            version: 1,
            confirmed_at: self.confirmed_at.map(timestamp),
            ..Default::default()
        })
    }
}
