use chrono::{DateTime, Utc};
use itertools::izip;
use teppan_shared::read_error::{Corrupted, ReadError};

use crate::{
    domain::{AreaKey, PartySize, SlotKey, SlotRefusal},
    slots::Slots,
    slots::list_availability::{SlotAvailability, read_refusal},
};

/// A slot, and the party size for which it is checked.
pub struct SlotQuery {
    pub slot: SlotKey,
    pub party_size: PartySize,
}

/// The answer to one query.
pub enum SlotCheck {
    /// There is no such venue.
    NoVenue,
    /// The venue has no such slot, or the date is beyond its horizon.
    NoSlot {
        currency: String,
        refusal: SlotRefusal,
    },
    Slot {
        currency: String,
        slot: SlotAvailability,
        total_cents: i64,
        deposit_cents: i64,
    },
}

impl Slots {
    /// Checks slots of any venues at one moment, in one round trip. Returns an answer for each query, in the same
    /// order.
    ///
    /// # Errors
    /// [`ReadError`], but never `NotFound`: a missing venue or slot is an answer.
    pub async fn batch_check_availability(&self, queries: &[SlotQuery]) -> Result<Vec<SlotCheck>, ReadError> {
        let venue_ids: Vec<_> = queries.iter().map(|query| query.slot.venue_id.0).collect();
        let dates: Vec<_> = queries.iter().map(|query| query.slot.date).collect();
        let start_times: Vec<_> = queries.iter().map(|query| query.slot.start_time).collect();
        let party_sizes: Vec<_> = queries.iter().map(|query| query.party_size.get()).collect();
        let now = self.clock.now();
        let checks = self
            .database
            .fetch_one(|| {
                sqlx::query_file_as!(
                    Checks,
                    "src/slots/batch_check_availability.sql",
                    &venue_ids,
                    &dates,
                    &start_times,
                    &party_sizes,
                    now,
                )
            })
            .await?;
        Ok(checks.answers_to(queries)?)
    }
}

/// The result of the SQL function `open_areas`.
#[derive(serde::Deserialize)]
struct OpenAreas {
    ends_at: DateTime<Utc>,
    areas: Vec<(AreaKey, i32)>,
}

/// The row of `batch_check_availability.sql`.
struct Checks {
    venue_found: Vec<bool>,
    currencies: Vec<Option<String>>,
    starts_at: Vec<Option<DateTime<Utc>>>,
    ends_at: Vec<Option<DateTime<Utc>>>,
    capacities: Vec<Option<i32>>,
    reserved: Vec<Option<i32>>,
    prices_per_person_cents: Vec<Option<i64>>,
    totals_cents: Vec<Option<i64>>,
    deposits_cents: Vec<Option<i64>>,
    refusals: Vec<Option<String>>,
    /// [`OpenAreas`] of each slot whose venue has a floor.
    areas: Vec<Option<serde_json::Value>>,
}

impl Checks {
    /// One answer for each query.
    fn answers_to(self, queries: &[SlotQuery]) -> Result<Vec<SlotCheck>, Corrupted> {
        let lengths = [
            queries.len(),
            self.venue_found.len(),
            self.currencies.len(),
            self.starts_at.len(),
            self.ends_at.len(),
            self.capacities.len(),
            self.reserved.len(),
            self.prices_per_person_cents.len(),
            self.totals_cents.len(),
            self.deposits_cents.len(),
            self.refusals.len(),
            self.areas.len(),
        ];
        Corrupted::unless_even("batch_check_availability.queries", &lengths)?;
        let slots = izip!(self.starts_at, self.ends_at, self.capacities, self.reserved, self.prices_per_person_cents);
        let prices = izip!(self.totals_cents, self.deposits_cents);
        izip!(queries, self.venue_found, self.currencies, slots, prices, self.refusals, self.areas)
            .map(|(query, venue_found, currency, slot, prices, refusal, areas)| {
                if !venue_found {
                    return Ok(SlotCheck::NoVenue);
                }
                let currency = currency.unwrap_or_default();
                let refusal = read_refusal(refusal.as_deref())?;
                let areas: Option<OpenAreas> =
                    areas.map(serde_json::from_value).transpose().map_err(|_| Corrupted::Column("open_areas"))?;
                let slot = slot_of(query, slot, refusal).map(|slot| match areas {
                    None => slot,
                    Some(OpenAreas { ends_at, areas }) => slot.with_areas(ends_at, areas, query.party_size),
                });
                match (slot, prices, refusal) {
                    (Some(slot), (Some(total_cents), Some(deposit_cents)), _) => {
                        Ok(SlotCheck::Slot { currency, slot, total_cents, deposit_cents })
                    }
                    (_, _, Some(refusal)) => Ok(SlotCheck::NoSlot { currency, refusal }),
                    (_, _, None) => Err(Corrupted::Column("slot_refusal")),
                }
            })
            .collect()
    }
}

/// Start, end, capacity, reserved seats and price of a slot, if the slot exists.
type SlotColumns = (Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<i32>, Option<i32>, Option<i64>);

fn slot_of(query: &SlotQuery, columns: SlotColumns, refusal: Option<SlotRefusal>) -> Option<SlotAvailability> {
    let (starts_at, ends_at, capacity, reserved, price_per_person_cents) = columns;
    Some(SlotAvailability {
        date: query.slot.date,
        start_time: query.slot.start_time,
        starts_at: starts_at?,
        ends_at: ends_at?,
        capacity: capacity?,
        reserved: reserved?,
        price_per_person_cents: price_per_person_cents?,
        refusal,
        areas: Vec::new(),
    })
}
