use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::Corrupted::{self, Column},
    telemetry,
};
use uuid::Uuid;

use crate::{
    change_booking::{ATTEMPTS_MAX, came_in_between},
    core::Core,
    domain::{EventId, OutboxDestination, WaitlistEntryId, WaitlistEntryStatus},
    waitlist_entry_row::{WaitlistEntry, WaitlistEntryRow},
};

/// Why a customer has not left the queue. Whatever it is, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum LeaveWaitlistError {
    #[error("there is no such entry")]
    NotFound,
    #[error("the entry has ended as {0:?}")]
    Closed(WaitlistEntryStatus),
    #[error("the entry changed under every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Core {
    /// Takes a customer out of the queue, in one round trip. A standing offer is given up: its booking is
    /// cancelled and its seats pass on.
    ///
    /// # Errors
    /// [`LeaveWaitlistError`]; whatever it is, nothing was written.
    pub async fn leave_waitlist(&self, id: WaitlistEntryId) -> Result<WaitlistEntry, LeaveWaitlistError> {
        let (event_id, traceparent) = (EventId::generate(), telemetry::current_traceparent());
        let (destinations, now) = (self.destinations(false), self.clock.now());
        let leave = || {
            sqlx::query_file_as!(
                Answer,
                "queries/leave_waitlist.sql",
                id.0,
                event_id.0,
                traceparent.as_deref(),
                &destinations,
                now,
            )
        };
        for attempt in 1..=ATTEMPTS_MAX {
            let answer = match self.database.fetch_optional(leave).await {
                Ok(answer) => answer.ok_or(LeaveWaitlistError::NotFound)?,
                Err(error) if attempt < ATTEMPTS_MAX && came_in_between(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let gave_up_offer = answer.gave_up_offer;
            match answer.outcome.as_str() {
                "LEFT" => {
                    if gave_up_offer {
                        self.live.nudge();
                        self.outbox.nudge(OutboxDestination::EventStream);
                        self.waitlist.seats_came_free();
                    }
                    return Ok(answer.entry().read()?);
                }
                "CLOSED" => return Err(LeaveWaitlistError::Closed(answer.entry().read()?.status)),
                "CONTENDED" => {}
                _ => return Err(Column("leave_waitlist.outcome").into()),
            }
        }
        Err(LeaveWaitlistError::Contended)
    }
}

/// The one row of the statement, which says what it means.
struct Answer {
    outcome: String,
    gave_up_offer: bool,
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
        }
    }
}
