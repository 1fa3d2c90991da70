use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{FromRow, postgres::PgRow, types::Json};
use teppan_shared::{error_chain::error_chain, postgres::DatabaseError};
use uuid::Uuid;

use super::booking::Booking;
use crate::{
    bookings::Bookings,
    domain::{BookingId, FloorState, Occupancy, Terms, Visit},
    payments::row::Payment,
    slots::row::SlotRow,
    venues::policy::VenuePolicy,
};

const LOAD: &str = include_str!("load.sql");

/// The data from which a change of a booking is decided.
#[derive(Debug, Clone, FromRow)]
pub struct Loaded {
    #[sqlx(flatten)]
    pub booking: Booking,
    /// Whether an earlier run of this change was committed, and its answer was lost.
    pub is_done: bool,
    pub venue: Json<VenuePolicy>,
    pub slot: Option<Json<SlotRow>>,
    /// The slot to move to.
    pub target: Option<Json<SlotRow>>,
    /// The venue's floor, with the days of the slot to move to.
    pub floor: Option<Json<FloorState>>,
    /// Whether entries wait for the booking's slot.
    pub has_waiting_entries: bool,
    /// For the booking of an offer: whether its customer has another open offer, for the slot to move to.
    pub is_target_offered: bool,
    /// Other bookings of its customer around the slot to move to.
    pub visits: Option<Json<Vec<Visit>>>,
    /// When it was cancelled, completed or marked as a no-show, if that is its status.
    pub ended_at: Option<DateTime<Utc>>,
    /// For a change by Stripe: the charge, if it is known, and its succeeded refunds, the newest first.
    pub charge: Option<Json<Payment>>,
    pub refunds: Option<Json<Vec<Payment>>>,
    /// Until when other payments that the bank is processing extend the hold.
    pub others_hold_until: Option<DateTime<Utc>>,
    /// The earlier call with this idempotency key: its fingerprint and payment.
    pub prior_fingerprint: Option<Vec<u8>>,
    pub prior_payment: Option<Json<Payment>>,
}

impl Loaded {
    /// The terms that hold: those of the booking, or, if it was made before they were kept, the venue's.
    pub fn terms(&self) -> Terms {
        self.booking.terms.as_deref().copied().unwrap_or_else(|| self.venue.terms())
    }

    /// Whether the venue's floor has the seats that the booking took before it expired; true without a floor.
    pub fn has_area_for_it_again(&self) -> bool {
        let (Some(floor), booking) = (self.floor.as_ref(), &self.booking) else { return true };
        // Newer time zone rules may have moved the slot meanwhile.
        let since = self.slot.as_ref().map_or(booking.starts_at, |slot| slot.starts_at);
        let until = since + (booking.occupied_until.unwrap_or(booking.ends_at) - booking.starts_at);
        floor.has_room(&Occupancy { since, until, ..booking.occupancy() }, booking.party_size)
    }
}

/// What to load besides the booking; the comment of `load.sql` describes each field.
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
        Ok(self.load_rows(booking_ids, wanted).await?.into_iter().collect::<Result<_, _>>()?)
    }

    async fn load_rows(
        &self,
        booking_ids: &[Uuid],
        wanted: Wanted<'_>,
    ) -> Result<Vec<Result<Loaded, sqlx::Error>>, DatabaseError> {
        let load = || {
            sqlx::query(LOAD)
                .bind(booking_ids)
                .bind(wanted.event_id)
                .bind(wanted.date)
                .bind(wanted.start_time)
                .bind(wanted.reference)
                .bind(wanted.charge_id)
                .bind(wanted.key)
                .try_map(|row: PgRow| Ok(Loaded::from_row(&row)))
        };
        self.database.fetch_all(load).await
    }

    /// Loads bookings for a worker: the readable bookings, and the number of unreadable ones, which are logged. So an
    /// unreadable booking does not stop the others.
    pub(crate) async fn load_readable(&self, booking_ids: &[Uuid]) -> Result<(Vec<Loaded>, u64), DatabaseError> {
        let mut loaded = Vec::with_capacity(booking_ids.len());
        let mut unreadable = 0;
        for row in self.load_rows(booking_ids, Wanted::default()).await? {
            match row {
                Ok(row) => loaded.push(row),
                Err(error) => {
                    tracing::error!(error = error_chain(&error), "a booking cannot be read");
                    unreadable += 1;
                }
            }
        }
        Ok((loaded, unreadable))
    }

    pub(crate) async fn load_one(&self, id: BookingId, wanted: Wanted<'_>) -> Result<Option<Loaded>, DatabaseError> {
        Ok(self.load(&[id.0], wanted).await?.pop())
    }
}
