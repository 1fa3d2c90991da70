//! The answer of `move_money.sql`.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::Corrupted::{self, Column};
use uuid::Uuid;

use crate::{
    bookings::row::BookingRow,
    payments::row::{Payment, PaymentRow},
};

/// What the statement did; the statement's own comment says what each means.
pub enum Moved {
    /// The payment is there when it is a new one.
    Changed(Option<Payment>, BookingRow),
    Replayed {
        fingerprint: Vec<u8>,
        payment: Payment,
        row: BookingRow,
    },
    StaleEtag,
    CurrencyMismatch {
        currency: String,
    },
    RefundExceedsPaid {
        paid_cents: i64,
    },
    Contended,
}

/// The one row the statement answers: the outcome, the payment if there is one, and the booking.
pub struct MoveAnswer {
    pub outcome: String,
    pub fingerprint: Option<Vec<u8>>,
    pub payment_id: Option<Uuid>,
    pub kind: Option<String>,
    pub method: Option<String>,
    pub payment_status: Option<String>,
    pub amount_cents: Option<i64>,
    pub external_reference: Option<String>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub recorded_at: Option<DateTime<Utc>>,
    pub payment_updated_at: Option<DateTime<Utc>>,
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

impl MoveAnswer {
    pub fn outcome(mut self) -> Result<Moved, Corrupted> {
        match self.outcome.as_str() {
            "CHANGED" => Ok(Moved::Changed(self.payment()?, self.booking())),
            "REPLAYED" => Ok(Moved::Replayed {
                fingerprint: self.fingerprint.take().ok_or(Column("move_money.fingerprint"))?,
                payment: self.payment()?.ok_or(Column("move_money.payment_id"))?,
                row: self.booking(),
            }),
            "ETAG_MISMATCH" => Ok(Moved::StaleEtag),
            "CURRENCY_MISMATCH" => Ok(Moved::CurrencyMismatch { currency: self.currency }),
            "REFUND_EXCEEDS_PAID" => Ok(Moved::RefundExceedsPaid { paid_cents: self.paid_cents }),
            "CONTENDED" => Ok(Moved::Contended),
            _ => Err(Column("move_money.outcome")),
        }
    }

    fn payment(&mut self) -> Result<Option<Payment>, Corrupted> {
        let Some(payment_id) = self.payment_id else { return Ok(None) };
        let mut row = || {
            Some(PaymentRow {
                payment_id,
                booking_id: self.booking_id,
                kind: self.kind.take()?,
                method: self.method.take()?,
                status: self.payment_status.take()?,
                amount_cents: self.amount_cents?,
                currency: self.currency.clone(),
                external_reference: self.external_reference.take()?,
                occurred_at: self.occurred_at?,
                created_at: self.recorded_at?,
                updated_at: self.payment_updated_at?,
                // Of a charge through Stripe alone.
                disputed_cents: 0,
            })
        };
        row().ok_or(Column("move_money.payment_id"))?.try_into().map(Some)
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
