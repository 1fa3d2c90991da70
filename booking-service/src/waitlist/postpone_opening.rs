use chrono::TimeDelta;
use teppan_shared::postgres::DatabaseError;

use crate::{
    core::Core,
    domain::{SlotKey, VenueId},
};

/// How long a slot whose offer failed lets others go first.
const PAUSE: TimeDelta = TimeDelta::seconds(5);

impl Core {
    /// Puts off the slot whose offer has just failed, and tells which it was; `None` when nothing is due.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says. What was left undone is found again.
    pub async fn postpone_opening(&self) -> Result<Option<SlotKey>, DatabaseError> {
        let now = self.clock.now();
        let postpone = || sqlx::query_file!("src/waitlist/postpone_opening.sql", now, now + PAUSE);
        let postponed = self.database.fetch_optional(postpone).await?;
        Ok(postponed.map(|row| SlotKey {
            venue_id: VenueId(row.venue_id),
            date: row.slot_date,
            start_time: row.start_time,
        }))
    }
}
