//! The calls at the door, and the guest's word that the party comes.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use teppan_shared::{
    contract::booking::v1::{
        self as wire, BookingStatus, ConfirmBookingRequest, ListFloorRequest, ListFloorResponse, PartiesOfArea,
        SeatBookingRequest,
    },
    wire::timestamp,
};

use super::{
    bookings::Target,
    calls::{Answer, Refused, Reply},
    rules,
    state::{Model, moment},
};

/// The `source` of a party that stands at the door.
pub const WALK_IN: &str = "walk_in";

impl Model {
    /// Records that the guest of a confirmed booking comes.
    pub(super) fn confirm_by_guest(&mut self, request: &ConfirmBookingRequest) -> Answer {
        let said = |booking: &wire::Booking| {
            booking.status() == BookingStatus::Confirmed && booking.guest_confirmed_at.is_some()
        };
        let (n, proto) = match self.target(&request.booking_id, &request.etag, said)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        let is_over = proto.ends_at.as_ref().is_some_and(|ends_at| moment(ends_at) <= self.now);
        match proto.status() {
            BookingStatus::Confirmed if !is_over => {}
            BookingStatus::Expired => return Err(rules::not_in(&proto, "HOLD_EXPIRED")),
            _ => return Err(rules::not_in(&proto, "BOOKING_NOT_CONFIRMABLE")),
        }
        let now = self.now;
        Ok(self.change(n, "teppan.booking.updated.v1", |booking| booking.guest_confirmed_at = Some(timestamp(now))))
    }

    /// Seats a party, or takes that back.
    pub(super) fn seat_booking(&mut self, request: &SeatBookingRequest) -> Answer {
        const EARLY_MINUTES: i64 = 120;
        let is_so = |booking: &wire::Booking| booking.seated_at.is_none() == request.undo;
        let (n, proto) = match self.target(&request.booking_id, &request.etag, is_so)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        let [starts_at, ends_at] = [&proto.starts_at, &proto.ends_at].map(|at| at.as_ref().map(moment));
        let now = self.now;
        if proto.status() != BookingStatus::Confirmed || !request.undo && ends_at <= Some(now) {
            return Err(rules::not_in(&proto, "BOOKING_NOT_SEATABLE"));
        }
        if !request.undo && starts_at > Some(now + TimeDelta::minutes(EARLY_MINUTES)) {
            return Err(rules::not_in(&proto, "TOO_EARLY_TO_SEAT").with("early_minutes", EARLY_MINUTES));
        }
        let seated_at = (!request.undo).then(|| timestamp(now));
        Ok(self.change(n, "teppan.booking.seated.v1", |booking| booking.seated_at = seated_at))
    }

    /// Who sits at a venue, comes next or is late.
    pub(super) fn list_floor(&self, request: &ListFloorRequest) -> Answer {
        self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let minutes = if request.window_minutes == 0 { 60 } else { request.window_minutes };
        let until = self.now + TimeDelta::minutes(minutes.into());
        let here = self.bookings.iter().filter(|it| it.live() && it.proto.venue_id == request.venue_id);
        let mut here: Vec<_> = here.map(|booking| booking.proto.clone()).collect();
        here.sort_by_key(|booking| (booking.date.clone(), booking.start_time.clone(), booking.booking_id.clone()));
        let mut areas: BTreeMap<String, PartiesOfArea> = BTreeMap::new();
        for booking in here {
            let [starts_at, ends_at] =
                [&booking.starts_at, &booking.ends_at].map(|at| at.as_ref().map(moment).unwrap_or_default());
            let is_late = starts_at + TimeDelta::minutes(10) <= self.now;
            let is_seated = booking.seated_at.is_some();
            let is_there = match (is_seated, is_late) {
                (true, _) => self.now < ends_at + TimeDelta::hours(4),
                (false, true) => self.now < ends_at,
                (false, false) => starts_at < until,
            };
            if !is_there {
                continue;
            }
            let area = booking.area.clone();
            let of_area = areas.entry(area.clone()).or_insert_with(|| PartiesOfArea { area, ..Default::default() });
            let (list, guests) = match (is_seated, is_late) {
                (true, _) => (&mut of_area.seated, &mut of_area.seated_guests),
                (false, true) => (&mut of_area.late, &mut of_area.late_guests),
                (false, false) => (&mut of_area.arriving, &mut of_area.arriving_guests),
            };
            *guests += booking.party_size;
            list.push(booking);
        }
        let areas = areas.into_values().collect();
        Ok(Reply::Parties(Box::new(ListFloorResponse { at: Some(timestamp(self.now)), areas, truncated: false })))
    }
}
