//! The state of a booking when one of its events is delivered.
//!
//! Reminders are scheduled for the booking as it is now, not as it was after the event: a late or repeated delivery
//! then asks for the newest times too. A change that commits after this read has a higher version, and its own event,
//! which is delivered later; so the reminders always end as the booking does. conversation-service ignores a version
//! that is older than one that it has seen.

use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::conversation::v1::Reminders,
    postgres::{Database, DatabaseError},
    wire::timestamp,
};
use uuid::Uuid;

use crate::domain::BookingStatus;

/// A booking as it is now.
#[derive(Debug)]
pub struct BookingNow {
    pub version: i64,
    pub status: BookingStatus,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub customer_id: Uuid,
    pub time_zone: String,
    /// Empty if its guest needs no reminder.
    pub reminder_minutes: Vec<i32>,
}

impl BookingNow {
    /// `None` if there is no such booking.
    pub async fn read(database: &Database, booking_id: &str) -> Result<Option<Self>, DatabaseError> {
        let Ok(booking_id) = Uuid::try_parse(booking_id) else { return Ok(None) };
        database.fetch_optional(|| sqlx::query_file_as!(BookingNow, "src/outbox/booking_now.sql", booking_id)).await
    }

    pub fn reminders(&self) -> Reminders {
        Reminders {
            event_starts_at: Some(timestamp(self.starts_at)),
            minutes_before: self.reminder_minutes.clone(),
            revision: self.version,
        }
    }
}
