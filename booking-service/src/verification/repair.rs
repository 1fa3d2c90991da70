//! Rebuilds rows from events in the table bookings_rebuilt, and replaces the rows in force on request.

use serde_json::json;
use sqlx::{Row as _, postgres::PgRow};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    bookings::change::{ATTEMPTS_MAX, is_overtaken},
    verification::Verification,
    verification::bookings::VerifiedBooking,
    verification::slots::Miscount,
};

/// Each run creates the table again, so its rows need not survive a crash: it is unlogged.
const DROP: &str = "DROP TABLE IF EXISTS bookings_rebuilt";
/// The table has the constraints of bookings. `differs` lists the columns in which a row differs from the one in force.
const CREATE: &str = "
    CREATE UNLOGGED TABLE IF NOT EXISTS bookings_rebuilt (
        LIKE bookings INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        differs text[] NOT NULL,
        PRIMARY KEY (booking_id)
    )";
/// sqlx cannot check these three at compile time: the migrations do not contain the table bookings_rebuilt.
const REBUILD: &str = include_str!("rebuild_bookings.sql");
const SWAP: &str = include_str!("swap_booking.sql");
const DIFFERING: &str = "
    SELECT booking_id
    FROM bookings_rebuilt
    WHERE booking_id > $1 AND differs <> '{}'
    ORDER BY booking_id
    LIMIT 500";

/// The result of replacing one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    Repaired,
    /// The booking changed after its events were read, or no longer exists: nothing was written.
    ChangedMeanwhile,
    /// The row violates a constraint: for example, its slot or its customer does not exist.
    Refused,
}

impl Verification {
    /// Creates an empty table for rebuilt rows; drops the table of an earlier run.
    ///
    /// # Errors
    /// [`DatabaseError`], for example when this database user must not create tables.
    pub async fn begin_rebuild(&self) -> Result<(), DatabaseError> {
        self.drop_rebuilt().await?;
        self.database.fetch_all(|| sqlx::query(CREATE).try_map(|_: PgRow| Ok(()))).await?;
        Ok(())
    }

    /// Drops the table for rebuilt rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn drop_rebuilt(&self) -> Result<(), DatabaseError> {
        self.database.fetch_all(|| sqlx::query(DROP).try_map(|_: PgRow| Ok(()))).await?;
        Ok(())
    }

    /// Writes the rows that the events of these bookings give into bookings_rebuilt, and returns their number. Bookings
    /// whose events cannot be trusted are left out.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn rebuild(&self, bookings: &[VerifiedBooking]) -> Result<u64, DatabaseError> {
        let rows: Vec<_> = bookings
            .iter()
            .filter_map(|booking| booking.derived.as_ref())
            .map(|(booking, differs)| {
                json!({ "booking_id": booking.booking_id, "columns": booking, "differs": differs })
            })
            .collect();
        let count = rows.len().try_into().unwrap_or(u64::MAX);
        let rows = serde_json::Value::Array(rows);
        self.database.fetch_all(|| sqlx::query(REBUILD).bind(&rows).try_map(|_: PgRow| Ok(()))).await?;
        Ok(count)
    }

    /// The next rebuilt bookings after this id whose rows differ, ordered by id.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn rebuilt_differing(&self, after: Uuid) -> Result<Vec<Uuid>, DatabaseError> {
        let differing = || sqlx::query(DIFFERING).bind(after).try_map(|row: PgRow| row.try_get::<Uuid, _>(0));
        self.database.fetch_all(differing).await
    }

    /// Replaces the row of one booking by its rebuilt row, in one statement and transaction. Repeating the call has no
    /// further effect.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn swap_booking(&self, booking_id: Uuid) -> Result<Swapped, DatabaseError> {
        let swap = || sqlx::query(SWAP).bind(booking_id).try_map(|row: PgRow| row.try_get::<Uuid, _>(0));
        for attempt in 1..=ATTEMPTS_MAX {
            match self.database.fetch_optional(swap).await {
                Ok(Some(_)) => return Ok(Swapped::Repaired),
                Ok(None) => return Ok(Swapped::ChangedMeanwhile),
                Err(error) if attempt < ATTEMPTS_MAX && is_overtaken(&error) => {}
                Err(error) if error.violates_a_constraint() => return Ok(Swapped::Refused),
                Err(error) => return Err(error),
            }
        }
        Ok(Swapped::ChangedMeanwhile)
    }

    /// Sets the reserved seats of a slot to the seats that its live bookings take. Does nothing if the slot has changed
    /// since it was verified, or if its capacity is too small. Returns whether the slot was changed.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn repair_slot(&self, found: &Miscount) -> Result<bool, DatabaseError> {
        let Ok(booked) = i32::try_from(found.booked) else { return Ok(false) };
        let repair = || {
            sqlx::query_file!(
                "src/verification/repair_slot.sql",
                found.slot.venue_id.0,
                found.slot.date,
                found.slot.start_time,
                booked,
                found.row_version,
            )
        };
        Ok(self.database.fetch_optional(repair).await?.is_some())
    }
}
