use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::Corrupted::{self, Column},
};
use uuid::Uuid;

use crate::{
    bookings::change::{ATTEMPTS_MAX, BookingTarget, ChangeBookingError},
    bookings::metrics::WaitlistChange,
    domain::{BookingStatus, CancellationInitiator, Etag, WaitlistEntryId, WaitlistEntryStatus},
    waitlist::Waitlist,
    waitlist::row::{WaitlistEntry, WaitlistEntryRow},
};

/// Why a customer has not left the queue. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum LeaveWaitlistError {
    #[error("there is no such entry")]
    NotFound,
    #[error("the entry has ended as {0:?}")]
    Closed(WaitlistEntryStatus),
    #[error("the entry changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Waitlist {
    /// Removes a customer from the queue, in one round trip. An open offer takes two more round trips: its booking is
    /// cancelled as CancelBooking does for the customer, and its seats are offered to the next customer. With
    /// `validate_only` nothing is written, and the entry is returned as it would be.
    ///
    /// # Errors
    /// [`LeaveWaitlistError`].
    pub async fn leave_waitlist(
        &self,
        id: WaitlistEntryId,
        validate_only: bool,
    ) -> Result<WaitlistEntry, LeaveWaitlistError> {
        let now = self.clock.now();
        let leave = || sqlx::query_file_as!(Answer, "src/waitlist/leave.sql", id.0, now, validate_only);
        // Each attempt after the first follows a concurrent change: seats were offered, or the offered booking changed.
        for _ in 0..ATTEMPTS_MAX {
            let answer = self.database.fetch_optional(leave).await?.ok_or(LeaveWaitlistError::NotFound)?;
            let version = answer.booking_version;
            match answer.outcome.as_str() {
                "LEFT" => {
                    // Not counted when an earlier call removed the customer.
                    self.metrics.waitlist(WaitlistChange::Left, u64::from(answer.updated_at == now && !validate_only));
                    return Ok(answer.entry().read()?);
                }
                "OFFERED" => {
                    let version = version.ok_or(Column("leave_waitlist.booking_version"))?;
                    if let Some(entry) = self.cancel_offer(answer.entry().read()?, version, validate_only).await? {
                        return Ok(entry);
                    }
                }
                "CLOSED" => return Err(LeaveWaitlistError::Closed(answer.entry().read()?.status)),
                "CONTENDED" => {}
                _ => return Err(Column("leave_waitlist.outcome").into()),
            }
        }
        Err(LeaveWaitlistError::Contended)
    }

    /// Cancels the offered booking at the version that was read, so an offer that was accepted meanwhile is not
    /// cancelled. Returns the entry after that; `None` when the booking has changed.
    async fn cancel_offer(
        &self,
        entry: WaitlistEntry,
        version: i64,
        validate_only: bool,
    ) -> Result<Option<WaitlistEntry>, LeaveWaitlistError> {
        let booking_id = entry.booking_id.ok_or(Column("waitlist_entries.booking_id"))?;
        let target = BookingTarget { booking_id, etag: Some(Etag::of(version)), validate_only };
        match self.bookings.cancel_booking(&target, CancellationInitiator::Customer).await {
            Ok(booking) => Ok(Some(WaitlistEntry {
                status: WaitlistEntryStatus::Left,
                updated_at: booking.booking.cancelled_at.ok_or(Column("bookings.cancelled_at"))?,
                offered: None,
                ..entry
            })),
            // The booking has started, so its hold has expired; the worker has not processed it yet.
            Err(ChangeBookingError::Refused { status: BookingStatus::Pending, .. }) => {
                Err(LeaveWaitlistError::Closed(WaitlistEntryStatus::Lapsed))
            }
            Err(ChangeBookingError::StaleEtag | ChangeBookingError::Refused { .. }) => Ok(None),
            Err(ChangeBookingError::NotFound) => Err(Column("waitlist_entries.booking_id").into()),
            Err(ChangeBookingError::Contended) => Err(LeaveWaitlistError::Contended),
            Err(ChangeBookingError::Corrupted(error)) => Err(error.into()),
            Err(ChangeBookingError::Database(error)) => Err(error.into()),
        }
    }
}

/// The one row of `leave.sql`.
struct Answer {
    outcome: String,
    booking_version: Option<i64>,
    waitlist_entry_id: Uuid,
    status: String,
    venue_id: Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    starts_at: DateTime<Utc>,
    time_zone: String,
    party_size: i32,
    position: i32,
    customer_id: Uuid,
    conversation_id: String,
    booking_id: Option<Uuid>,
    offer_expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    from_time: Option<NaiveTime>,
    until_time: Option<NaiveTime>,
    areas: Option<Vec<String>>,
    offered_total_cents: Option<i64>,
    offered_currency: Option<String>,
    offered_area: Option<String>,
}

impl Answer {
    fn entry(self) -> WaitlistEntryRow {
        WaitlistEntryRow {
            waitlist_entry_id: self.waitlist_entry_id,
            status: self.status,
            venue_id: self.venue_id,
            slot_date: self.slot_date,
            start_time: self.start_time,
            starts_at: self.starts_at,
            time_zone: self.time_zone,
            party_size: self.party_size,
            position: self.position,
            customer_id: self.customer_id,
            conversation_id: self.conversation_id,
            booking_id: self.booking_id,
            offer_expires_at: self.offer_expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            from_time: self.from_time,
            until_time: self.until_time,
            areas: self.areas,
            offered_total_cents: self.offered_total_cents,
            offered_currency: self.offered_currency,
            offered_area: self.offered_area,
        }
    }
}
