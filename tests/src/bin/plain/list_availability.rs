//! ListAvailability: the slots of a venue, a row each.

use booking_service::domain::{PartySize, VenueId, parse_date};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use teppan_shared::{
    contract::booking::v1::{ListAvailabilityRequest, ListAvailabilityResponse, SlotAvailability, UnavailableReason},
    page::{self, PageSizes},
    wire::timestamp,
};

use crate::{
    Plain,
    error::{CallError, slot_refused},
    schedule::invalid,
};

const SIZES: PageSizes = PageSizes { default: 500, max: 2000 };

/// The policy of a venue.
#[derive(sqlx::FromRow)]
struct Venue {
    time_zone: String,
    currency: String,
    min_party_size: i32,
    max_party_size: i32,
    notice_minutes: i32,
    horizon_days: i32,
}

#[derive(sqlx::FromRow)]
struct Slot {
    slot_date: NaiveDate,
    start_time: NaiveTime,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    capacity: i32,
    reserved: i32,
    price_per_person_cents: i64,
}

impl Plain {
    pub async fn list_availability(
        &self,
        request: ListAvailabilityRequest,
    ) -> Result<ListAvailabilityResponse, CallError> {
        let venue_id = VenueId::parse(&request.venue_id).map_err(invalid("venue_id"))?;
        let party_size = PartySize::parse(request.party_size.max(1)).map_err(invalid("party_size"))?.get();
        let size = SIZES.parse(request.page_size).map_err(invalid("page_size"))?;
        let filters = (&request.venue_id, &request.from_date, &request.to_date, request.party_size);
        let after: Option<(NaiveDate, NaiveTime)> = page::decode_token(&filters, &request.page_token)
            .map_err(|_| invalid("page_token")("must be the next_page_token of an earlier answer"))?;
        let venue: Option<Venue> = sqlx::query_as(
            "SELECT time_zone, currency, min_party_size, max_party_size, notice_minutes, horizon_days
             FROM venues WHERE venue_id = $1",
        )
        .bind(venue_id.0)
        .fetch_optional(&self.pool)
        .await?;
        let venue = venue.ok_or_else(|| slot_refused("VENUE_NOT_FOUND"))?;

        let today = Utc::now().date_naive();
        let horizon = today + Days::new(venue.horizon_days.unsigned_abs().into());
        let from = date_or(&request.from_date, today, "from_date")?;
        let to = date_or(&request.to_date, horizon, "to_date")?;
        let (after_date, after_time) = after.unwrap_or((NaiveDate::default(), NaiveTime::MIN));
        let mut slots: Vec<Slot> = sqlx::query_as(
            "SELECT slot_date, start_time, starts_at, ends_at, capacity, reserved, price_per_person_cents
             FROM slots
             WHERE venue_id = $1 AND slot_date BETWEEN $2 AND $3 AND (slot_date, start_time) > ($4, $5)
             ORDER BY slot_date, start_time
             LIMIT $6",
        )
        .bind(venue_id.0)
        .bind(from)
        .bind(to)
        .bind(after_date)
        .bind(after_time)
        .bind(i64::from(size) + 1)
        .fetch_all(&self.pool)
        .await?;

        let has_more = slots.len() > size.into();
        slots.truncate(size.into());
        let next = slots.last().filter(|_| has_more).map(|slot| (slot.slot_date, slot.start_time));
        let found = slots.iter().map(|slot| slot.encode(&venue, party_size, horizon));
        let slots = found.filter(|slot| slot.bookable || !request.bookable_only).collect();
        Ok(ListAvailabilityResponse {
            slots,
            next_page_token: next.map_or_else(String::new, |cursor| page::encode_token(&filters, &cursor)),
            time_zone: venue.time_zone,
            currency: venue.currency,
        })
    }
}

impl Slot {
    fn encode(&self, venue: &Venue, party_size: i32, horizon: NaiveDate) -> SlotAvailability {
        let reason = if party_size < venue.min_party_size {
            UnavailableReason::PartyTooSmall
        } else if party_size > venue.max_party_size {
            UnavailableReason::PartyTooLarge
        } else if self.slot_date > horizon {
            UnavailableReason::TooFarAhead
        } else if self.starts_at < Utc::now() + TimeDelta::minutes(venue.notice_minutes.into()) {
            UnavailableReason::InsufficientNotice
        } else if self.reserved + party_size > self.capacity {
            UnavailableReason::SlotFull
        } else {
            UnavailableReason::Unspecified
        };
        SlotAvailability {
            date: self.slot_date.to_string(),
            start_time: self.start_time.format("%H:%M").to_string(),
            starts_at: Some(timestamp(self.starts_at)),
            ends_at: Some(timestamp(self.ends_at)),
            capacity: self.capacity,
            open_seats: self.capacity - self.reserved,
            price_per_person_cents: self.price_per_person_cents,
            bookable: reason == UnavailableReason::Unspecified,
            unavailable_reason: reason.into(),
            areas: Vec::new(),
        }
    }
}

fn date_or(text: &str, default: NaiveDate, field: &'static str) -> Result<NaiveDate, CallError> {
    if text.is_empty() { Ok(default) } else { parse_date(text).map_err(invalid(field)) }
}
