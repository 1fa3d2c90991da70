use chrono::{DateTime, Utc};
use teppan_shared::read_error::{Corrupted, ReadError};

use crate::{
    core::Core,
    domain::{PartySize, SlotKey, SlotRefusal},
    list_availability::SlotAvailability,
};

/// A slot, and the party that would take it.
pub struct SlotQuery {
    pub slot: SlotKey,
    pub party_size: PartySize,
}

/// What was found for one query.
pub enum SlotCheck {
    /// There is no such venue.
    NoVenue,
    /// The venue has no such slot, or none so far ahead.
    NoSlot {
        currency: String,
        refusal: SlotRefusal,
    },
    Slot {
        currency: String,
        slot: SlotAvailability,
        total_cents: i64,
        deposit_due_cents: i64,
    },
}

impl Core {
    /// Checks slots of any venues at one moment, in one round trip: an answer for each query, in the
    /// same order.
    ///
    /// # Errors
    /// [`ReadError`]; that something is not there is an answer.
    pub async fn batch_check_availability(&self, queries: &[SlotQuery]) -> Result<Vec<SlotCheck>, ReadError> {
        let venue_ids: Vec<_> = queries.iter().map(|query| query.slot.venue_id.0).collect();
        let dates: Vec<_> = queries.iter().map(|query| query.slot.date).collect();
        let start_times: Vec<_> = queries.iter().map(|query| query.slot.start_time).collect();
        let party_sizes: Vec<_> = queries.iter().map(|query| query.party_size.get()).collect();
        let now = self.clock.now();
        let rows = self
            .database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    CheckRow,
                    "queries/batch_check_availability.sql",
                    &venue_ids,
                    &dates,
                    &start_times,
                    &party_sizes,
                    now,
                )
            })
            .await?;
        queries.iter().zip(rows).map(|(query, row)| Ok(row.check(query)?)).collect()
    }
}

/// A row of the statement, which says what it means.
struct CheckRow {
    venue_found: bool,
    currency: Option<String>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    capacity: Option<i32>,
    reserved: Option<i32>,
    price_per_person_cents: Option<i64>,
    total_cents: Option<i64>,
    deposit_due_cents: Option<i64>,
    refusal: Option<String>,
}

impl CheckRow {
    fn check(mut self, query: &SlotQuery) -> Result<SlotCheck, Corrupted> {
        if !self.venue_found {
            return Ok(SlotCheck::NoVenue);
        }
        let unreadable = Corrupted::Column("batch_check_availability.refusal");
        let refusal = match &self.refusal {
            Some(raw) => Some(SlotRefusal::from_column(raw).ok_or(unreadable)?),
            None => None,
        };
        let currency = self.currency.take().unwrap_or_default();
        match (self.slot(query, refusal), refusal) {
            (Some((slot, total_cents, deposit_due_cents)), _) => {
                Ok(SlotCheck::Slot { currency, slot, total_cents, deposit_due_cents })
            }
            (None, Some(refusal)) => Ok(SlotCheck::NoSlot { currency, refusal }),
            (None, None) => Err(Corrupted::Column("batch_check_availability.refusal")),
        }
    }

    /// The slot, the price of the party and its deposit.
    fn slot(self, query: &SlotQuery, refusal: Option<SlotRefusal>) -> Option<(SlotAvailability, i64, i64)> {
        let slot = SlotAvailability {
            date: query.slot.date,
            start_time: query.slot.start_time,
            starts_at: self.starts_at?,
            ends_at: self.ends_at?,
            capacity: self.capacity?,
            reserved: self.reserved?,
            price_per_person_cents: self.price_per_person_cents?,
            refusal,
        };
        Some((slot, self.total_cents?, self.deposit_due_cents?))
    }
}
