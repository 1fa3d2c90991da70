//! The read-only calls.

use std::sync::Arc;

use teppan_shared::{
    contract::booking::v1::{
        self as wire, BatchCheckAvailabilityRequest, BookingOrder, GetBookingRequest, GetVenueRequest,
        GetVenueResponse, ListAvailabilityRequest, ListAvailabilityResponse, ListBookingsRequest, SlotAvailability,
        SlotCheck, SlotQuery, UnavailableReason,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    rules::{self, Wish, deposit},
    state::{Booking, Model, date, time},
};

impl Model {
    pub(super) fn get_booking(&self, request: &GetBookingRequest) -> Answer {
        let named = |booking: &&Arc<Booking>| {
            if request.booking_id.is_empty() {
                booking.proto.confirmation_code == request.confirmation_code.to_uppercase()
            } else {
                booking.proto.booking_id == request.booking_id
            }
        };
        let found = self.bookings.iter().find(named).ok_or_else(|| Refused::not_found("BOOKING_NOT_FOUND"))?;
        Ok(Reply::Booking(found.proto.clone()))
    }

    /// All matching bookings, whatever the page size.
    pub(super) fn list_bookings(&self, request: &ListBookingsRequest) -> Reply {
        let matches = |booking: &wire::Booking| {
            (request.venue_id.is_empty() || booking.venue_id == request.venue_id)
                && (request.from_date.is_empty() || booking.date >= request.from_date)
                && (request.to_date.is_empty() || booking.date <= request.to_date)
                && (request.customer_id.is_empty() || booking.customer_id == request.customer_id)
                && (request.conversation_id.is_empty() || booking.conversation_id == request.conversation_id)
                && (request.statuses.is_empty() || request.statuses.contains(&booking.status))
        };
        let all = self.bookings.iter().map(|booking| &booking.proto);
        let mut bookings: Vec<_> = all.filter(|booking| matches(booking)).cloned().collect();
        bookings.sort_by_key(|booking| (booking.date.clone(), booking.start_time.clone(), booking.booking_id.clone()));
        if request.order() == BookingOrder::LatestFirst {
            bookings.reverse();
        }
        Reply::Bookings(bookings)
    }

    pub(super) fn get_venue(&self, request: &GetVenueRequest) -> Answer {
        let n = self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let venue = &self.venues[n];
        let schedule = venue.schedule.as_ref().map(|schedule| wire::WeeklySchedule {
            periods: schedule.periods.clone(),
            exceptions: schedule.exceptions.clone(),
            updated_at: Some(timestamp(schedule.updated_at)),
        });
        Ok(Reply::VenueAndSchedule(Box::new(GetVenueResponse { venue: Some(venue.proto.clone()), schedule })))
    }

    pub(super) fn list_availability(&self, request: &ListAvailabilityRequest) -> Answer {
        let n = self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let venue = &self.venues[n];
        let or = |text: &str, default| if text.is_empty() { default } else { date(text) };
        let from = or(&request.from_date, venue.today(self.now));
        let to = or(&request.to_date, venue.last_day(self.now).max(from));
        let listed = venue.slots.keys().filter(|(day, _)| (from..=to).contains(day));
        let slots = listed.map(|&slot| {
            let party_size = request.party_size.max(1);
            self.availability(Wish::new(&request.venue_id, slot, party_size))
        });
        let slots = slots.filter(|slot| slot.bookable || !request.bookable_only).collect();
        Ok(Reply::Availability(ListAvailabilityResponse {
            slots,
            next_page_token: String::new(),
            time_zone: venue.proto.time_zone.clone(),
            currency: venue.proto.currency.clone(),
        }))
    }

    pub(super) fn check(&self, request: &BatchCheckAvailabilityRequest) -> Reply {
        Reply::Checks(request.queries.iter().map(|query| self.check_one(query)).collect())
    }

    fn check_one(&self, query: &SlotQuery) -> SlotCheck {
        let slot = (date(&query.date), time(&query.start_time));
        let party_size = query.party_size.max(1);
        let availability = self.availability(Wish::new(&query.venue_id, slot, party_size));
        let venue = self.venue(&query.venue_id).map(|n| &self.venues[n].proto);
        let has_slot = availability.starts_at.is_some();
        let terms = venue.filter(|_| has_slot).map(rules::terms).unwrap_or_default();
        let total_cents = rules::total(&terms, availability.price_per_person_cents, party_size);
        SlotCheck {
            query: Some(query.clone()),
            availability: Some(availability),
            total_cents,
            deposit_cents: deposit(&terms, total_cents, party_size),
            currency: venue.map_or_else(String::new, |venue| venue.currency.clone()),
        }
    }

    fn availability(&self, wish: Wish) -> SlotAvailability {
        let reason = self.unavailable(wish);
        let mut proto = SlotAvailability {
            date: wish.slot.0.to_string(),
            start_time: wish.slot.1.format("%H:%M").to_string(),
            bookable: reason.is_none(),
            unavailable_reason: reason.unwrap_or(UnavailableReason::Unspecified).into(),
            ..Default::default()
        };
        let venue = self.venue(wish.venue_id).map(|n| &self.venues[n]);
        if let Some(slot) = venue.and_then(|venue| venue.slots.get(&wish.slot)) {
            proto.starts_at = Some(timestamp(slot.starts_at));
            let ends_at = venue.map(|venue| venue.visit_end(wish.slot, slot, wish.party_size));
            proto.ends_at = ends_at.map(timestamp);
            let open =
                |(area, open_seats): (&wire::Area, i32)| wire::AreaAvailability { area: area.area.clone(), open_seats };
            proto.areas = self.open_areas(wish).into_iter().map(open).collect();
            proto.capacity = slot.capacity;
            proto.open_seats = self.open_seats(wish);
            proto.price_per_person_cents = slot.price_cents;
        }
        proto
    }
}
