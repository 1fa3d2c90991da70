//! Compares the reserved seats of slots with the seats that their live bookings take by their events.

use chrono::{NaiveDate, NaiveTime};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    domain::{SlotKey, VenueId},
    verification::Verification,
    verification::finding::Finding,
};

/// Slots in one page; the statement also reads the bookings of each.
const PAGE_SIZE: i64 = 200;

/// A page of verified slots.
#[derive(Debug, Default)]
pub struct SlotPage {
    pub count: u64,
    /// The slots whose reserved seats differ from the seats of their bookings.
    pub miscounted: Vec<Miscount>,
    /// The last slot of the page; `None` after the last page.
    pub reached: Option<SlotKey>,
}

/// A slot whose reserved seats differ from the seats of its live bookings.
#[derive(Debug, Clone)]
pub struct Miscount {
    pub slot: SlotKey,
    pub reserved: i32,
    pub booked: i64,
    pub capacity: i32,
    /// Identifies the version of the row that was read.
    pub(super) row_version: String,
}

impl Miscount {
    pub fn finding(&self) -> Finding {
        Finding::of_slot(self.slot, self.reserved, self.booked, self.capacity)
    }
}

struct Row {
    venue_id: Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    reserved: i32,
    capacity: i32,
    booked: i64,
    row_version: String,
}

impl Row {
    fn key(&self) -> SlotKey {
        SlotKey { venue_id: VenueId(self.venue_id), date: self.slot_date, start_time: self.start_time }
    }
}

impl Verification {
    /// Verifies the next page of slots after this one, of one venue or of all. It only reads, in one snapshot.
    /// `wrong_slot_bookings` are bookings whose row names another slot than their events.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn verify_slots(
        &self,
        after: Option<SlotKey>,
        venue_id: Option<VenueId>,
        wrong_slot_bookings: &[Uuid],
    ) -> Result<SlotPage, DatabaseError> {
        // No slot is older than 1970.
        let first = (venue_id.map_or(Uuid::nil(), |id| id.0), NaiveDate::default(), NaiveTime::MIN);
        let after = after.map_or(first, |slot| (slot.venue_id.0, slot.date, slot.start_time));
        let last = venue_id.map_or(Uuid::max(), |id| id.0);
        let slots = || {
            sqlx::query_file_as!(
                Row,
                "src/verification/slots.sql",
                after.0,
                after.1,
                after.2,
                last,
                PAGE_SIZE,
                wrong_slot_bookings
            )
        };
        let rows = self.database.fetch_all(slots).await?;
        let count = rows.len();
        let reached = rows.last().filter(|_| i64::try_from(count) == Ok(PAGE_SIZE)).map(Row::key);
        let is_miscounted = |row: &Row| i64::from(row.reserved) != row.booked;
        let miscounted = rows.into_iter().filter(is_miscounted).map(|row| Miscount {
            slot: row.key(),
            reserved: row.reserved,
            booked: row.booked,
            capacity: row.capacity,
            row_version: row.row_version,
        });
        Ok(SlotPage { count: count.try_into().unwrap_or(u64::MAX), miscounted: miscounted.collect(), reached })
    }
}
