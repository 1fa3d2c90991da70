use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow as _, Row as _, postgres::PgRow};
use teppan_shared::read_error::ReadError;
use uuid::Uuid;

use super::booking::{Booking, OpenBooking};
use crate::{
    bookings::Bookings,
    domain::{Attendance, ExpectedParty, OVERSTAY, VenueId},
};

const LIST_FLOOR: &str = include_str!("list_floor.sql");

/// The most bookings of one answer. Their contacts, wishes and notes stay below the 4 MiB that gRPC clients accept.
pub const FLOOR_BOOKINGS_MAX: usize = 200;

/// Whose floor, when, and how far ahead.
pub struct FloorQuery {
    pub venue_id: VenueId,
    /// Default: now.
    pub at: Option<DateTime<Utc>>,
    pub window_minutes: u16,
}

/// The parties that are at a venue at a moment, and those that are expected, by their starts.
pub struct FloorParties {
    pub at: DateTime<Utc>,
    pub parties: Vec<(Attendance, OpenBooking)>,
    /// There are more bookings.
    pub truncated: bool,
}

impl Bookings {
    /// Lists who is at a venue and who is expected, in one round trip.
    ///
    /// # Errors
    /// [`ReadError`]; `NotFound`: there is no such venue.
    pub async fn list_floor(&self, query: &FloorQuery) -> Result<FloorParties, ReadError> {
        let at = query.at.unwrap_or_else(|| self.clock.now());
        let until = at + TimeDelta::minutes(query.window_minutes.into());
        let limit = i64::try_from(FLOOR_BOOKINGS_MAX + 1).unwrap_or(i64::MAX);
        let list = || {
            sqlx::query(LIST_FLOOR).bind(query.venue_id.0).bind(at).bind(until).bind(at - OVERSTAY).bind(limit).try_map(
                |row: PgRow| {
                    let booking_id: Option<Uuid> = row.try_get("booking_id")?;
                    booking_id.map(|_| Booking::from_row(&row)).transpose()
                },
            )
        };
        let rows = self.database.fetch_all(list).await?;
        if rows.is_empty() {
            return Err(ReadError::NotFound);
        }
        let bookings: Vec<Booking> = rows.into_iter().flatten().collect();
        let truncated = bookings.len() > FLOOR_BOOKINGS_MAX;
        let mut parties = Vec::new();
        for booking in bookings.into_iter().take(FLOOR_BOOKINGS_MAX) {
            let Booking { starts_at, ends_at, seated_at, .. } = booking;
            let party = ExpectedParty { starts_at, ends_at, seated_at };
            if let Some(attendance) = party.attendance(at, until) {
                parties.push((attendance, booking.open(&self.ring)?));
            }
        }
        Ok(FloorParties { at, parties, truncated })
    }
}
