use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use crate::{
    core::Core,
    domain::{PartySize, SlotRefusal, VenueId},
};

/// How far apart the dates of one request may be.
pub const RANGE_DAYS_MAX: i32 = 366;

/// Where a page of slots starts: behind the slot of this date and time.
pub type SlotCursor = (NaiveDate, NaiveTime);

/// Which slots are asked for.
pub struct AvailabilityQuery {
    pub venue_id: VenueId,
    /// Default: today at the venue.
    pub from_date: Option<NaiveDate>,
    /// Default: the venue's horizon.
    pub to_date: Option<NaiveDate>,
    pub party_size: PartySize,
    pub bookable_only: bool,
}

/// Slots of a venue, and where the next page starts if there is one.
pub struct Availability {
    pub time_zone: String,
    pub currency: String,
    pub slots: Vec<SlotAvailability>,
    pub next: Option<SlotCursor>,
}

/// One slot, as a party of the size asked for finds it.
pub struct SlotAvailability {
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub reserved: i32,
    pub price_per_person_cents: i64,
    /// Why the party cannot book it; `None` when it can.
    pub refusal: Option<SlotRefusal>,
}

impl Core {
    /// Lists slots by date and start time, from behind the cursor.
    ///
    /// # Errors
    /// [`ReadError`]; not found is the venue.
    pub async fn list_availability(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        page_size: u16,
    ) -> Result<Availability, ReadError> {
        let mut rows = self.slot_rows(query, after, page_size).await?;
        let more = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        // Without slots there is one row, which says that the venue is there.
        let first = rows.first().ok_or(ReadError::NotFound)?;
        let (time_zone, currency) = (first.time_zone.clone(), first.currency.clone());
        let slots = rows.into_iter().filter_map(|row| row.slot().transpose()).collect::<Result<Vec<_>, _>>()?;
        let next = slots.last().filter(|_| more).map(|last| (last.date, last.start_time));
        Ok(Availability { time_zone, currency, slots, next })
    }

    /// The page, and the slot after it if there is one.
    async fn slot_rows(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        page_size: u16,
    ) -> Result<Vec<SlotRow>, DatabaseError> {
        // No slot is earlier: they are laid out from today on.
        let (after_date, after_time) = after.unwrap_or((NaiveDate::default(), NaiveTime::MIN));
        let limit = i64::from(page_size) + 1;
        let now = self.clock.now();
        self.database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    SlotRow,
                    "queries/list_availability.sql",
                    query.venue_id.0,
                    query.from_date,
                    query.to_date,
                    after_date,
                    after_time,
                    query.party_size.get(),
                    query.bookable_only,
                    limit,
                    now,
                    RANGE_DAYS_MAX,
                )
            })
            .await
    }
}

/// A row of the statement, which says what it means.
struct SlotRow {
    time_zone: String,
    currency: String,
    slot_date: Option<NaiveDate>,
    start_time: Option<NaiveTime>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    capacity: Option<i32>,
    reserved: Option<i32>,
    price_per_person_cents: Option<i64>,
    refusal: Option<String>,
}

impl SlotRow {
    /// The slot in the row; `None` in the row of a page without any.
    fn slot(self) -> Result<Option<SlotAvailability>, Corrupted> {
        let refusal = match self.refusal {
            Some(raw) => Some(SlotRefusal::from_column(&raw).ok_or(Corrupted::Column("list_availability.refusal"))?),
            None => None,
        };
        let slot = || {
            Some(SlotAvailability {
                date: self.slot_date?,
                start_time: self.start_time?,
                starts_at: self.starts_at?,
                ends_at: self.ends_at?,
                capacity: self.capacity?,
                reserved: self.reserved?,
                price_per_person_cents: self.price_per_person_cents?,
                refusal,
            })
        };
        Ok(slot())
    }
}
