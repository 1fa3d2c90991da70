use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use itertools::izip;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use crate::{
    domain::{PartySize, SlotRefusal, VenueId},
    slots::Slots,
};

/// The most days between the first and the last date of a request.
pub const RANGE_DAYS_MAX: i32 = 366;

/// A cursor position: the page starts after the slot of this date and time.
pub type SlotCursor = (NaiveDate, NaiveTime);

/// The requested slots.
pub struct AvailabilityQuery {
    pub venue_id: VenueId,
    /// Default: today at the venue.
    pub from_date: Option<NaiveDate>,
    /// Default: the venue's horizon.
    pub to_date: Option<NaiveDate>,
    pub party_size: PartySize,
    pub bookable_only: bool,
}

/// Slots of a venue, and the position after which the next page starts, if there is one.
pub struct Availability {
    pub time_zone: String,
    pub currency: String,
    pub slots: Vec<SlotAvailability>,
    pub next: Option<SlotCursor>,
}

/// One slot, and its availability for a party of the requested size.
pub struct SlotAvailability {
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub reserved: i32,
    pub price_per_person_cents: i64,
    /// Why the party cannot book the slot; `None` if it can.
    pub refusal: Option<SlotRefusal>,
}

impl Slots {
    /// Lists slots by date and start time, after the cursor position.
    ///
    /// # Errors
    /// [`ReadError`]; `NotFound` if there is no such venue.
    pub async fn list_availability(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        page_size: u16,
    ) -> Result<Availability, ReadError> {
        let row = self.availability_row(query, after, page_size).await?.ok_or(ReadError::NotFound)?;
        let mut found = row.read()?;
        let more = found.slots.len() > page_size.into();
        found.slots.truncate(page_size.into());
        found.next = found.slots.last().filter(|_| more).map(|last| (last.date, last.start_time));
        Ok(found)
    }

    /// The page, and the slot after it if there is one.
    async fn availability_row(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        page_size: u16,
    ) -> Result<Option<AvailabilityRow>, DatabaseError> {
        // Every slot is after this position.
        let (after_date, after_time) = after.unwrap_or((NaiveDate::default(), NaiveTime::MIN));
        let limit = i64::from(page_size) + 1;
        let now = self.clock.now();
        self.database
            .fetch_optional(|| {
                sqlx::query_file_as!(
                    AvailabilityRow,
                    "src/slots/list_availability.sql",
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

/// The row of `list_availability.sql`.
struct AvailabilityRow {
    time_zone: String,
    currency: String,
    slot_dates: Vec<NaiveDate>,
    start_times: Vec<NaiveTime>,
    starts_at: Vec<DateTime<Utc>>,
    ends_at: Vec<DateTime<Utc>>,
    capacities: Vec<i32>,
    reserved: Vec<i32>,
    prices_per_person_cents: Vec<i64>,
    refusals: Vec<Option<String>>,
}

impl AvailabilityRow {
    /// All slots of the row; the caller sets `next`.
    fn read(self) -> Result<Availability, Corrupted> {
        let lengths = [
            self.slot_dates.len(),
            self.start_times.len(),
            self.starts_at.len(),
            self.ends_at.len(),
            self.capacities.len(),
            self.reserved.len(),
            self.prices_per_person_cents.len(),
            self.refusals.len(),
        ];
        Corrupted::unless_even("list_availability.slots", &lengths)?;
        let slots = izip!(
            self.slot_dates,
            self.start_times,
            self.starts_at,
            self.ends_at,
            self.capacities,
            self.reserved,
            self.prices_per_person_cents,
            self.refusals,
        )
        .map(|(date, start_time, starts_at, ends_at, capacity, reserved, price_per_person_cents, refusal)| {
            let refusal = read_refusal(refusal.as_deref())?;
            Ok(SlotAvailability {
                date,
                start_time,
                starts_at,
                ends_at,
                capacity,
                reserved,
                price_per_person_cents,
                refusal,
            })
        })
        .collect::<Result<_, Corrupted>>()?;
        Ok(Availability { time_zone: self.time_zone, currency: self.currency, slots, next: None })
    }
}

/// Reads a result of the SQL function `slot_refusal`.
pub fn read_refusal(raw: Option<&str>) -> Result<Option<SlotRefusal>, Corrupted> {
    raw.map(|raw| SlotRefusal::from_column(raw).ok_or(Corrupted::Column("slot_refusal"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slots: usize) -> AvailabilityRow {
        AvailabilityRow {
            time_zone: "Europe/Berlin".to_owned(),
            currency: "EUR".to_owned(),
            slot_dates: vec![NaiveDate::default(); slots],
            start_times: vec![NaiveTime::MIN; slots],
            starts_at: vec![DateTime::UNIX_EPOCH; slots],
            ends_at: vec![DateTime::UNIX_EPOCH; slots],
            capacities: vec![20; slots],
            reserved: vec![4; slots],
            prices_per_person_cents: vec![3500; slots],
            refusals: vec![None; slots],
        }
    }

    #[test]
    fn a_row_whose_columns_have_different_lengths_is_corrupted() {
        assert_eq!(row(2).read().map(|found| found.slots.len()).ok(), Some(2));
        let mut longer = row(2);
        longer.refusals.push(None);
        let mut shorter = row(2);
        shorter.start_times.pop();
        for uneven in [longer, shorter] {
            assert!(matches!(uneven.read(), Err(Corrupted::Column("list_availability.slots"))));
        }
    }
}
