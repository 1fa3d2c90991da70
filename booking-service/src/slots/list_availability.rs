use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use itertools::izip;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use crate::{
    domain::{AreaKey, FloorState, PartySize, Refusal, SlotFacts, SlotRefusal, SlotRules, VenueId},
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
    /// The areas of the venue's floor with their open seats, in order.
    pub areas: Vec<(AreaKey, i32)>,
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
        let now = self.clock.now();
        let row = self.availability_row(query, after, page_size, now).await?.ok_or(ReadError::NotFound)?;
        let mut found = row.read(query.party_size, now)?;
        let more = found.slots.len() > page_size.into();
        found.slots.truncate(page_size.into());
        found.next = found.slots.last().filter(|_| more).map(|last| (last.date, last.start_time));
        if query.bookable_only {
            found.slots.retain(|slot| slot.refusal.is_none());
        }
        Ok(found)
    }

    /// The page, and the slot after it if there is one.
    async fn availability_row(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        page_size: u16,
        now: DateTime<Utc>,
    ) -> Result<Option<AvailabilityRow>, DatabaseError> {
        let (after_date, after_time) = after.unzip();
        let limit = i64::from(page_size) + 1;
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
    min_party_size: i32,
    max_party_size: i32,
    notice_minutes: i32,
    horizon_days: i32,
    /// The date at the venue.
    today: NaiveDate,
    /// Dates and start times.
    local_starts: Vec<NaiveDateTime>,
    starts_at: Vec<DateTime<Utc>>,
    ends_at: Vec<DateTime<Utc>>,
    capacities: Vec<i32>,
    reserved: Vec<i32>,
    prices_per_person_cents: Vec<i64>,
    are_open: Vec<bool>,
    floor: Option<serde_json::Value>,
}

impl AvailabilityRow {
    /// All slots of the row, for a party of this size; the caller sets `next`.
    fn read(self, party_size: PartySize, now: DateTime<Utc>) -> Result<Availability, Corrupted> {
        let lengths = [
            self.local_starts.len(),
            self.starts_at.len(),
            self.ends_at.len(),
            self.capacities.len(),
            self.reserved.len(),
            self.prices_per_person_cents.len(),
            self.are_open.len(),
        ];
        Corrupted::unless_even("list_availability.slots", &lengths)?;
        let Self { min_party_size, max_party_size, notice_minutes, horizon_days, today, .. } = self;
        let rules = SlotRules { min_party_size, max_party_size, notice_minutes, horizon_days }.at(now, today);
        let floor = read_floor(self.floor)?;
        let slots = izip!(
            self.local_starts,
            self.starts_at,
            self.ends_at,
            self.capacities,
            self.reserved,
            self.prices_per_person_cents,
            self.are_open,
        )
        .map(|(local_start, starts_at, ends_at, capacity, reserved, price_per_person_cents, is_open)| {
            let (date, start_time) = (local_start.date(), local_start.time());
            let facts = SlotFacts { starts_at, is_open, open_seats: capacity - reserved };
            let refusal = rules.refusal(Some(facts), date, party_size.get());
            let of_slot = |refusal: Refusal| refusal.of_slot().ok_or(Corrupted::Column("slot_refusal"));
            let refusal = refusal.map(of_slot).transpose()?;
            let slot = SlotAvailability {
                date,
                start_time,
                starts_at,
                ends_at,
                capacity,
                reserved,
                price_per_person_cents,
                refusal,
                areas: Vec::new(),
            };
            Ok(slot.on(floor.as_ref(), party_size))
        })
        .collect::<Result<_, Corrupted>>()?;
        Ok(Availability { time_zone: self.time_zone, currency: self.currency, slots, next: None })
    }
}

impl SlotAvailability {
    /// The slot for a party that also needs seats of the venue's floor.
    pub fn on(self, floor: Option<&FloorState>, party_size: PartySize) -> Self {
        let Some(state) = floor else { return self };
        let sitting = state.floor.sitting(self.starts_at, self.start_time, party_size.get());
        self.with_areas(sitting.ends_at, state.open_areas(&sitting, party_size.get()), party_size)
    }

    /// The slot with the open seats of the areas until the end of the visit.
    pub fn with_areas(self, ends_at: DateTime<Utc>, areas: Vec<(AreaKey, i32)>, party_size: PartySize) -> Self {
        let is_full = areas.iter().all(|(_, open)| *open < party_size.get());
        let refusal = self.refusal.or(is_full.then_some(SlotRefusal::SlotFull));
        Self { ends_at, refusal, areas, ..self }
    }
}

/// Reads a result of the SQL function `floor_state`.
pub fn read_floor(raw: Option<serde_json::Value>) -> Result<Option<FloorState>, Corrupted> {
    raw.map(serde_json::from_value).transpose().map_err(|_| Corrupted::Column("floor_state"))
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
            min_party_size: 1,
            max_party_size: 8,
            notice_minutes: 0,
            horizon_days: 60,
            today: NaiveDate::default(),
            local_starts: vec![NaiveDateTime::default(); slots],
            starts_at: vec![DateTime::UNIX_EPOCH; slots],
            ends_at: vec![DateTime::UNIX_EPOCH; slots],
            capacities: vec![20; slots],
            reserved: vec![4; slots],
            prices_per_person_cents: vec![3500; slots],
            are_open: vec![true; slots],
            floor: None,
        }
    }

    #[test]
    fn a_row_whose_columns_have_different_lengths_is_corrupted() {
        let read = |row: AvailabilityRow| row.read(PartySize::parse(2).expect("a size"), DateTime::UNIX_EPOCH);
        assert_eq!(read(row(2)).map(|found| found.slots.len()).ok(), Some(2));
        let mut longer = row(2);
        longer.are_open.push(true);
        let mut shorter = row(2);
        shorter.local_starts.pop();
        for uneven in [longer, shorter] {
            assert!(matches!(read(uneven), Err(Corrupted::Column("list_availability.slots"))));
        }
    }
}
