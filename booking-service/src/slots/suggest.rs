use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use itertools::izip;
use sqlx::types::Json;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use crate::{
    domain::{AreaKey, FloorState, NearStart, SlotFacts, SlotRules, StartWish, Terms, VenueId, VenueStarts},
    slots::{Slots, list_availability::read_floor},
};

/// A start that the party can book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    pub venue_id: VenueId,
    pub venue_name: Arc<str>,
    pub date: NaiveDate,
    pub start_time: NaiveTime,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub open_seats: i32,
    pub price_per_person_cents: i64,
    pub total_cents: i64,
    pub currency: Arc<str>,
    pub minutes_from_wished: i32,
    /// The area of the venue's floor; `None` if it has none.
    pub area: Option<AreaKey>,
}

/// The suggestions, the best first, and the venues that do not exist.
pub struct Suggestions {
    pub suggestions: Vec<Suggestion>,
    pub unknown_venues: Vec<VenueId>,
}

impl Slots {
    /// Suggests the bookable starts of these venues that are nearest to the wished time, at one moment and in one round
    /// trip. [`StartWish::nearest`] defines their order.
    ///
    /// # Errors
    /// [`ReadError`], but never `NotFound`: a missing venue is an answer.
    pub async fn suggest_slots(&self, venues: &[VenueId], wish: &StartWish) -> Result<Suggestions, ReadError> {
        let now = self.clock.now();
        let mut rows = self.suggestion_rows(venues, wish, now).await?;
        let known: HashSet<_> = rows.iter().map(|row| row.venue_id).collect();
        let unknown_venues = venues.iter().filter(|venue| !known.contains(&venue.0)).copied().collect();
        rows.sort_by_key(|row| venues.iter().position(|venue| venue.0 == row.venue_id));
        let floors = rows.iter_mut().map(|row| read_floor(row.floor.take())).collect::<Result<Vec<_>, _>>()?;
        for (row, floor) in rows.iter_mut().zip(&floors) {
            row.leave_to_areas(floor.as_ref(), wish.party_size);
        }
        let starts = rows.iter().map(|row| row.starts(now)).collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<(Arc<str>, Arc<str>)> =
            rows.iter().map(|row| (row.name.as_str().into(), row.currency.as_str().into())).collect();
        let suggestion = |near: NearStart| {
            let suggestion = rows[near.venue].suggestion(near, wish, &texts[near.venue]);
            suggestion.placed(floors[near.venue].as_ref(), wish.party_size)
        };
        Ok(Suggestions { suggestions: wish.nearest(&starts).into_iter().map(suggestion).collect(), unknown_venues })
    }

    async fn suggestion_rows(
        &self,
        venues: &[VenueId],
        wish: &StartWish,
        now: DateTime<Utc>,
    ) -> Result<Vec<VenueRow>, DatabaseError> {
        let venue_ids: Vec<_> = venues.iter().map(|venue| venue.0).collect();
        let (first, last) = (wish.first(), wish.last());
        self.database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    VenueRow,
                    "src/slots/suggest.sql",
                    &venue_ids,
                    first.date(),
                    first.time(),
                    last.date(),
                    last.time(),
                    now,
                )
            })
            .await
    }
}

/// A row of `suggest.sql`.
struct VenueRow {
    venue_id: Uuid,
    name: String,
    currency: String,
    min_party_size: i32,
    max_party_size: i32,
    notice_minutes: i32,
    horizon_days: i32,
    terms: Json<Terms>,
    /// The date at the venue.
    today: NaiveDate,
    local_starts: Vec<NaiveDateTime>,
    starts_at: Vec<DateTime<Utc>>,
    ends_at: Vec<DateTime<Utc>>,
    open_seats: Vec<i32>,
    prices_per_person_cents: Vec<i64>,
    are_open: Vec<bool>,
    floor: Option<serde_json::Value>,
}

impl Suggestion {
    /// The suggestion with the area that the party would get.
    fn placed(self, floor: Option<&FloorState>, party_size: i32) -> Self {
        let Some(state) = floor else { return self };
        let sitting = state.floor.sitting(self.starts_at, self.start_time, party_size);
        Self { area: state.place(None, &sitting, party_size, &[]).ok().map(|place| place.area), ..self }
    }
}

impl VenueRow {
    /// Limits the open seats of each slot to those of the area with the most, and ends each visit as the floor says.
    fn leave_to_areas(&mut self, floor: Option<&FloorState>, party_size: i32) {
        let Some(state) = floor else { return };
        let slots = izip!(&self.local_starts, &self.starts_at, &mut self.ends_at, &mut self.open_seats);
        for (local_start, starts_at, ends_at, open_seats) in slots {
            let sitting = state.floor.sitting(*starts_at, local_start.time(), party_size);
            let most = state.open_areas(&sitting, party_size).into_iter().map(|(_, open)| open).max();
            *open_seats = most.unwrap_or(0).min(*open_seats);
            *ends_at = sitting.ends_at;
        }
    }

    /// The slots, in the order of the arrays.
    fn starts(&self, now: DateTime<Utc>) -> Result<VenueStarts, Corrupted> {
        let lengths = [
            self.local_starts.len(),
            self.starts_at.len(),
            self.ends_at.len(),
            self.open_seats.len(),
            self.prices_per_person_cents.len(),
            self.are_open.len(),
        ];
        Corrupted::unless_even("suggest.slots", &lengths)?;
        let Self { min_party_size, max_party_size, notice_minutes, horizon_days, today, .. } = *self;
        let rules = SlotRules { min_party_size, max_party_size, notice_minutes, horizon_days }.at(now, today);
        let slots = izip!(&self.local_starts, &self.starts_at, &self.open_seats, &self.are_open);
        let slots = slots.map(|(local_start, starts_at, open_seats, is_open)| {
            (*local_start, SlotFacts { starts_at: *starts_at, is_open: *is_open, open_seats: *open_seats })
        });
        Ok(VenueStarts { rules, slots: slots.collect() })
    }

    /// The suggestion of one of the slots; `starts` has checked that every array has it.
    fn suggestion(&self, near: NearStart, wish: &StartWish, (name, currency): &(Arc<str>, Arc<str>)) -> Suggestion {
        let (local_start, price) = (self.local_starts[near.slot], self.prices_per_person_cents[near.slot]);
        Suggestion {
            venue_id: VenueId(self.venue_id),
            venue_name: Arc::clone(name),
            date: local_start.date(),
            start_time: local_start.time(),
            starts_at: self.starts_at[near.slot],
            ends_at: self.ends_at[near.slot],
            open_seats: self.open_seats[near.slot],
            price_per_person_cents: price,
            total_cents: self.terms.total_cents(price, wish.party_size),
            currency: Arc::clone(currency),
            minutes_from_wished: near.minutes,
            area: None,
        }
    }
}
