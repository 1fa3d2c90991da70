use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::postgres::DatabaseError;

use crate::{
    core::Core,
    domain::{PartySize, VenueId},
};

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

/// Slots of a venue.
pub struct Availability {
    pub time_zone: String,
    pub currency: String,
    pub slots: Vec<SlotAvailability>,
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
    /// Why the party cannot book it, as `slot_refusal` says; `None` when it can.
    pub refusal: Option<String>,
}

impl Core {
    /// Lists slots by date and start time, from behind the cursor, at most `limit`. `None` when
    /// there is no such venue.
    pub async fn list_availability(
        &self,
        query: &AvailabilityQuery,
        after: Option<SlotCursor>,
        limit: i64,
    ) -> Result<Option<Availability>, DatabaseError> {
        // Before every slot: no date a client can send is earlier.
        let (after_date, after_time) = after.unwrap_or((NaiveDate::default(), NaiveTime::MIN));
        let now = self.clock.now();
        let rows = self
            .database
            .fetch_all(|| {
                sqlx::query_file!(
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
                )
            })
            .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let (time_zone, currency) = (first.time_zone.clone(), first.currency.clone());
        let slots = rows
            .into_iter()
            .filter_map(|row| {
                Some(SlotAvailability {
                    date: row.slot_date?,
                    start_time: row.start_time?,
                    starts_at: row.starts_at?,
                    ends_at: row.ends_at?,
                    capacity: row.capacity?,
                    reserved: row.reserved?,
                    price_per_person_cents: row.price_per_person_cents?,
                    refusal: row.refusal,
                })
            })
            .collect();
        Ok(Some(Availability { time_zone, currency, slots }))
    }
}
