use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{FromRow, postgres::PgRow, types::Json};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use super::booking::Booking;
use crate::{
    bookings::Bookings, domain::BookingId, payments::row::Payment, slots::row::SlotRow, venues::policy::VenuePolicy,
};

const LOAD: &str = include_str!("load.sql");

/// What a change of a booking is decided by.
#[derive(Debug, Clone, FromRow)]
pub struct Loaded {
    #[sqlx(flatten)]
    pub booking: Booking,
    /// An earlier run of this change was committed, and its answer was lost.
    pub is_done: bool,
    pub venue: Json<VenuePolicy>,
    pub slot: Option<Json<SlotRow>>,
    /// The slot to move to.
    pub target: Option<Json<SlotRow>>,
    /// Seats of the booking's slot that come free are offered.
    pub anybody_waits: bool,
    /// Of a change by Stripe: the charge, when it is known, and the refunds of it that count, the newest first.
    pub charge: Option<Json<Payment>>,
    pub refunds: Option<Json<Vec<Payment>>>,
    /// Until when other payments that the bank decides about keep the hold.
    pub others_hold_until: Option<DateTime<Utc>>,
    /// What the idempotency key led to earlier.
    pub prior_fingerprint: Option<Vec<u8>>,
    pub prior_payment: Option<Json<Payment>>,
}

/// What to load besides the booking; the statement's own comment says what each is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    pub event_id: Option<Uuid>,
    pub date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub reference: Option<&'a str>,
    pub charge_id: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl Bookings {
    pub(crate) async fn load(&self, booking_ids: &[Uuid], wanted: Wanted<'_>) -> Result<Vec<Loaded>, DatabaseError> {
        let load = || {
            sqlx::query(LOAD)
                .bind(booking_ids)
                .bind(wanted.event_id)
                .bind(wanted.date)
                .bind(wanted.start_time)
                .bind(wanted.reference)
                .bind(wanted.charge_id)
                .bind(wanted.key)
                .try_map(|row: PgRow| Loaded::from_row(&row))
        };
        self.database.fetch_all(load).await
    }

    pub(crate) async fn load_one(&self, id: BookingId, wanted: Wanted<'_>) -> Result<Option<Loaded>, DatabaseError> {
        Ok(self.load(&[id.0], wanted).await?.pop())
    }
}
