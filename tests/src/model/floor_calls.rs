//! The calls that change floors and tables.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, AssignTablesRequest, BookingStatus, Floor, GetFloorRequest, SetFloorRequest, SetFloorResponse,
    },
    wire::timestamp,
};

use super::{
    bookings::Target,
    calls::{Answer, Refused, Reply},
    floors::{Place, Seeker, area_full, area_of, leaves_at},
    rules,
    state::{Model, date},
};

impl Model {
    /// Replaces a floor. No booking changes, and none loses its area or table.
    pub(super) fn set_floor(&mut self, request: &SetFloorRequest) -> Answer {
        let wanted = request.floor.clone().unwrap_or_default();
        let n = self.venue(&wanted.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let current = self.venues[n].floor.clone().unwrap_or_else(|| no_floor(&wanted.venue_id));
        let wanted = if wanted.areas.is_empty() { no_floor(&wanted.venue_id) } else { with_defaults(wanted) };
        if (Floor { updated_at: None, ..current.clone() }) == wanted {
            return Ok(Reply::FloorSet(SetFloorResponse { floor: Some(current), ..Default::default() }));
        }
        let upcoming: Vec<_> = self.upcoming(n).collect();
        let area = |name: &str| wanted.areas.iter().find(|area| area.area == name);
        if upcoming.iter().any(|booking| !booking.area.is_empty() && area(&booking.area).is_none()) {
            return Err(Refused::precondition("AREA_HAS_BOOKINGS"));
        }
        let keeps = |booking: &wire::Booking, table: &String| {
            area(&booking.area).is_some_and(|area| area.tables.iter().any(|it| it.table == *table))
        };
        if upcoming.iter().any(|booking| booking.tables.iter().any(|table| !keeps(booking, table))) {
            return Err(Refused::precondition("TABLE_HAS_BOOKINGS"));
        }
        let lacks_table = |booking: &&&wire::Booking| {
            booking.tables.is_empty() && area(area_of(&wanted, booking)).is_some_and(|area| !area.tables.is_empty())
        };
        let counted = |counted: usize| i32::try_from(counted).unwrap_or(i32::MAX);
        let mut done = SetFloorResponse {
            floor: Some(wanted.clone()),
            bookings_counted: counted(upcoming.len()),
            bookings_without_table: counted(upcoming.iter().filter(lacks_table).count()),
        };
        let first = self.first_counted(n);
        for booking in &mut self.bookings {
            if booking.proto.venue_id == wanted.venue_id {
                let is_uncounted = date(&booking.proto.date) < first;
                Arc::make_mut(booking).is_uncounted = is_uncounted;
            }
        }
        let venue = Arc::make_mut(&mut self.venues[n]);
        if wanted.areas.is_empty() {
            // Nothing is counted where there is no floor.
            (done.bookings_counted, done.bookings_without_table) = (0, 0);
            venue.floor = None;
        } else {
            let floor = Floor { updated_at: Some(timestamp(self.now)), ..wanted };
            done.floor = Some(floor.clone());
            venue.floor = Some(floor);
        }
        Ok(Reply::FloorSet(done))
    }

    /// The first date of bookings that a new floor counts. The visits of earlier ones are over.
    fn first_counted(&self, n: usize) -> NaiveDate {
        self.venues[n].today(self.now) - TimeDelta::days(2)
    }

    /// The live bookings of a venue whose visits are not over.
    fn upcoming(&self, n: usize) -> impl Iterator<Item = &wire::Booking> {
        let venue = &self.venues[n];
        let first = self.first_counted(n);
        let live = self.bookings.iter().filter(|booking| booking.live()).map(|booking| &booking.proto);
        live.filter(move |booking| {
            booking.venue_id == venue.proto.venue_id && date(&booking.date) >= first && leaves_at(booking) > self.now
        })
    }

    pub(super) fn get_floor(&self, request: &GetFloorRequest) -> Answer {
        let n = self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        Ok(Reply::Floor(self.venues[n].floor.clone().unwrap_or_else(|| no_floor(&request.venue_id))))
    }

    /// The venue overrules: the tables need not fit the party, but nobody else may have them.
    pub(super) fn assign_tables(&mut self, request: &AssignTablesRequest) -> Answer {
        let has_them = |booking: &wire::Booking| {
            let same = |table: &String| booking.tables.contains(table);
            (request.area.is_empty() || booking.area == request.area)
                && !booking.tables.is_empty()
                && (request.tables.is_empty()
                    || booking.tables.len() == request.tables.len() && request.tables.iter().all(same))
        };
        let (n, proto) = match self.target(&request.booking_id, &request.etag, has_them)? {
            Target::Reached(proto) => return Ok(Reply::Booking(proto)),
            Target::Open(n, proto) => (n, proto),
        };
        if !matches!(proto.status(), BookingStatus::Pending | BookingStatus::Confirmed) {
            return Err(rules::not_in(&proto, "TABLES_NOT_ASSIGNABLE"));
        }
        let no_area = || Refused::not_found("AREA_NOT_FOUND");
        let venue = self.venue(&proto.venue_id).map(|n| &self.venues[n]);
        let floor = venue.and_then(|venue| venue.floor.as_ref()).ok_or_else(no_area)?;
        let own_area = area_of(floor, &proto);
        let wanted = if request.area.is_empty() { own_area } else { &request.area };
        let area = floor.areas.iter().find(|area| area.area == wanted).ok_or_else(no_area)?;
        if area.tables.is_empty() {
            return Err(Refused::precondition("AREA_HAS_NO_TABLES"));
        }
        let seeker = Seeker::of(floor, n, &proto);
        let tables = if request.tables.is_empty() {
            let first = self.tables_in(floor, area, &seeker, &Place::default());
            first.ok_or_else(|| area_full(self.open_in(floor, area, &seeker)))?
        } else {
            self.can_have(&seeker, floor, area, &request.tables)?;
            // In its own area the party is counted already.
            if area.area != own_area && self.free_seats(floor, area, &seeker) < proto.party_size {
                return Err(area_full(0));
            }
            let in_order = area.tables.iter().map(|it| it.table.clone());
            in_order.filter(|table| request.tables.contains(table)).collect()
        };
        let (area, until) = (area.area.clone(), timestamp(leaves_at(&proto)));
        Arc::make_mut(&mut self.bookings[n]).is_uncounted = false;
        Ok(self.change(n, "teppan.booking.tables_assigned.v1", |booking| {
            (booking.area, booking.tables) = (area, tables);
            booking.occupied_until = Some(until);
        }))
    }
}

fn no_floor(venue_id: &str) -> Floor {
    Floor { venue_id: venue_id.to_owned(), ..Default::default() }
}

fn with_defaults(mut floor: Floor) -> Floor {
    if floor.tick_minutes == 0 {
        floor.tick_minutes = 15;
    }
    for area in &mut floor.areas {
        if area.name.is_empty() {
            area.name.clone_from(&area.area);
        }
        area.tables.iter_mut().for_each(|it| it.min_party_size = it.min_party_size.max(1));
        area.combinations.iter_mut().for_each(|it| it.min_party_size = it.min_party_size.max(1));
    }
    floor
}
