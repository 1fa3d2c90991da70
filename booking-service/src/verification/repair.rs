//! Rows made anew from events, beside those in force, and put in force when that is asked for.

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

/// It is made anew by each run, so that nothing of it has to survive a crash.
const DROP: &str = "DROP TABLE IF EXISTS bookings_rebuilt";
/// Its rows keep the constraints of the table in force, and each says in which columns it differs.
const CREATE: &str = "
    CREATE UNLOGGED TABLE IF NOT EXISTS bookings_rebuilt (
        LIKE bookings INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        differs text[] NOT NULL,
        PRIMARY KEY (booking_id)
    )";
/// These three cannot be checked when the program is compiled: their table is not in the migrations.
const REBUILD: &str = include_str!("rebuild_bookings.sql");
const SWAP: &str = include_str!("swap_booking.sql");
const DIFFERING: &str = "
    SELECT booking_id
    FROM bookings_rebuilt
    WHERE booking_id > $1 AND differs <> '{}'
    ORDER BY booking_id
    LIMIT 500";

/// What became of a row that was to be put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    Repaired,
    /// Somebody changed it since, or it is not there any more: it is left as it is.
    ChangedMeanwhile,
    /// The table does not take it: its slot or its customer is not there, for example.
    Refused,
}

impl Verification {
    /// Makes an empty table for rebuilt rows; one that an earlier run left is dropped.
    ///
    /// # Errors
    /// When the database gave no answer, or does not let this user make tables.
    pub async fn begin_rebuild(&self) -> Result<(), DatabaseError> {
        self.drop_rebuilt().await?;
        self.database.fetch_all(|| sqlx::query(CREATE).try_map(|_: PgRow| Ok(()))).await?;
        Ok(())
    }

    /// Removes the table for rebuilt rows.
    ///
    /// # Errors
    /// When the database gave no answer.
    pub async fn drop_rebuilt(&self) -> Result<(), DatabaseError> {
        self.database.fetch_all(|| sqlx::query(DROP).try_map(|_: PgRow| Ok(()))).await?;
        Ok(())
    }

    /// Writes the rows that events make of these bookings beside those in force. Returns how many; bookings
    /// whose events are not to be trusted are left out.
    ///
    /// # Errors
    /// When the database gave no answer.
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

    /// The next rebuilt bookings after this one whose rows differ, by id.
    ///
    /// # Errors
    /// When the database gave no answer.
    pub async fn rebuilt_differing(&self, after: Uuid) -> Result<Vec<Uuid>, DatabaseError> {
        let differing = || sqlx::query(DIFFERING).bind(after).try_map(|row: PgRow| row.try_get::<Uuid, _>(0));
        self.database.fetch_all(differing).await
    }

    /// Puts the rebuilt row of one booking in force, in one statement that is a transaction of its own. Doing it
    /// twice does it once.
    ///
    /// # Errors
    /// When the database gave no answer.
    pub async fn swap_booking(&self, booking_id: Uuid) -> Result<Swapped, DatabaseError> {
        let swap = || sqlx::query(SWAP).bind(booking_id).try_map(|row: PgRow| row.try_get::<Uuid, _>(0));
        for attempt in 1..=ATTEMPTS_MAX {
            match self.database.fetch_optional(swap).await {
                Ok(Some(_)) => return Ok(Swapped::Repaired),
                Ok(None) => return Ok(Swapped::ChangedMeanwhile),
                Err(error) if attempt < ATTEMPTS_MAX && is_overtaken(&error) => {}
                // Class 23: a constraint stands against it.
                Err(DatabaseError::Failed(sqlx::Error::Database(error)))
                    if error.code().is_some_and(|code| code.starts_with("23")) =>
                {
                    return Ok(Swapped::Refused);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Swapped::ChangedMeanwhile)
    }

    /// Sets the seats that a slot counts to those that its live bookings take, unless it has changed since it
    /// was looked at, or has not so much room. Returns whether that was done.
    ///
    /// # Errors
    /// When the database gave no answer.
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
