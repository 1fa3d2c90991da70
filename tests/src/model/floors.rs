//! Who sits where, and when. Nothing is stored: everything is counted from the bookings, by looking at all of them.

use std::ops::Range;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use teppan_shared::contract::booking::v1::{self as wire, Area, Floor, SittingRule};

use super::{
    calls::Refused,
    rules::Wish,
    state::{Model, Slot, SlotTime, Venue, moment, time},
};

/// An area and the tables in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    pub area: String,
    pub tables: Vec<String>,
}

/// Ticks since 1970. They begin at full hours.
pub type Ticks = Range<i64>;

/// A booking at its place.
#[derive(Debug)]
struct Visit<'a> {
    tables: &'a [String],
    ticks: Ticks,
    guests: i32,
}

/// Tables that one party can have.
struct TableSet {
    tables: Vec<String>,
    parties: Range<i32>,
}

/// A party that looks for a place during some ticks. `but`: the booking that is changed; its own place counts as free.
#[derive(Debug, Clone)]
pub struct Seeker {
    party_size: i32,
    ticks: Ticks,
    but: Option<usize>,
}

/// The ticks in which a booking takes its place.
pub fn ticks_of(floor: &Floor, booking: &wire::Booking) -> Ticks {
    let from = booking.starts_at.as_ref().map(moment).unwrap_or_default();
    ticks(floor, from, leaves_at(booking))
}

impl Seeker {
    pub fn new(floor: &Floor, party_size: i32, from: DateTime<Utc>, until: DateTime<Utc>, but: Option<usize>) -> Self {
        Self { party_size, ticks: ticks(floor, from, until), but }
    }

    /// A booking that looks for a place for its own visit.
    pub fn of(floor: &Floor, n: usize, booking: &wire::Booking) -> Self {
        Self { party_size: booking.party_size, ticks: ticks_of(floor, booking), but: Some(n) }
    }
}

/// The time from the start to the end of a visit, by the first rule that fits.
fn minutes(floor: &Floor, start_time: NaiveTime, party_size: i32) -> i32 {
    let fits = |rule: &&SittingRule| {
        (rule.max_party_size == 0 || party_size <= rule.max_party_size)
            && (rule.from_time.is_empty() || start_time >= time(&rule.from_time))
            && (rule.until_time.is_empty() || start_time < time(&rule.until_time))
    };
    floor.sittings.iter().find(fits).map_or(0, |rule| rule.minutes)
}

/// Every tick that a time touches.
fn ticks(floor: &Floor, from: DateTime<Utc>, until: DateTime<Utc>) -> Ticks {
    let seconds = i64::from(floor.tick_minutes) * 60;
    let last = (until - TimeDelta::microseconds(1)).timestamp().div_euclid(seconds);
    from.timestamp().div_euclid(seconds)..last + 1
}

/// Tables and combinations: those that seat the fewest guests first, then those of fewer tables, then those that are
/// named first.
fn table_sets(area: &Area) -> Vec<TableSet> {
    let in_order = |keys: &[String]| {
        let tables = area.tables.iter().map(|it| it.table.clone());
        tables.filter(|table| keys.contains(table)).collect::<Vec<_>>()
    };
    let single = area
        .tables
        .iter()
        .map(|it| TableSet { tables: vec![it.table.clone()], parties: it.min_party_size..it.max_party_size + 1 });
    let joined = area
        .combinations
        .iter()
        .map(|it| TableSet { tables: in_order(&it.tables), parties: it.min_party_size..it.max_party_size + 1 });
    let mut sets: Vec<_> = single.chain(joined).collect();
    sets.sort_by_key(|set| (set.parties.end, set.tables.len()));
    sets
}

/// The seats of an area. One without a limit has as many as a small integer can count.
pub fn seats(area: &Area) -> i32 {
    area.seats.unwrap_or(32_767)
}

/// The largest party that an area can ever seat.
fn largest_party(area: &Area) -> i32 {
    let largest = table_sets(area).iter().map(|set| set.parties.end - 1).max();
    largest.map_or(seats(area), |largest| largest.min(seats(area)))
}

/// The place of a booking on a floor; a booking without an area is counted in the first one.
pub fn area_of<'a>(floor: &'a Floor, booking: &'a wire::Booking) -> &'a str {
    if booking.area.is_empty() { floor.areas.first().map_or("", |area| &area.area) } else { &booking.area }
}

/// The refusal of a party for which no area has a place.
pub fn area_full(open_seats: i32) -> Refused {
    Refused::precondition("SLOT_FULL").with("open_seats", open_seats).with("limit", "area")
}

/// Until when a booking takes its place.
pub fn leaves_at(booking: &wire::Booking) -> DateTime<Utc> {
    booking.occupied_until.or(booking.ends_at).as_ref().map(moment).unwrap_or_default()
}

impl Venue {
    /// The capacity of a slot for a single party: at most the largest one that one of these areas can seat.
    pub fn capacity_for_one(&self, slot: &Slot, areas: &[String]) -> i32 {
        let Some(floor) = &self.floor else { return slot.capacity };
        let wanted = floor.areas.iter().filter(|area| areas.is_empty() || areas.contains(&area.area));
        slot.capacity.min(wanted.map(largest_party).max().unwrap_or(slot.capacity))
    }

    /// When a party leaves that comes to a slot.
    pub fn visit_end(&self, key: SlotTime, slot: &Slot, party_size: i32) -> DateTime<Utc> {
        let by_floor = |floor: &Floor| slot.starts_at + TimeDelta::minutes(minutes(floor, key.1, party_size).into());
        self.floor.as_ref().map_or(slot.ends_at, by_floor)
    }
}

impl Model {
    /// The floor of a wish, and the party that looks for a place on it.
    fn floor_of(&self, wish: Wish) -> Option<(&Floor, Seeker)> {
        let venue = &self.venues[self.venue(wish.venue_id)?];
        let (floor, slot) = (venue.floor.as_ref()?, venue.slots.get(&wish.slot)?);
        let ends_at = venue.visit_end(wish.slot, slot, wish.party_size);
        let until = ends_at + TimeDelta::minutes(floor.turn_minutes.into());
        Some((floor, Seeker::new(floor, wish.party_size, slot.starts_at, until, wish.but)))
    }

    /// Those who sit in an area while a party looks for a place.
    fn visits<'a>(&'a self, floor: &'a Floor, area: &'a Area, seeker: &'a Seeker) -> impl Iterator<Item = Visit<'a>> {
        let here = self.bookings.iter().enumerate().filter(move |(n, booking)| {
            Some(*n) != seeker.but
                && booking.live()
                && !booking.is_uncounted
                && booking.proto.venue_id == floor.venue_id
        });
        let visits =
            here.filter(move |(_, booking)| area_of(floor, &booking.proto) == area.area).map(|(_, booking)| {
                let (tables, guests) = (&booking.proto.tables, booking.proto.party_size);
                Visit { tables, ticks: ticks_of(floor, &booking.proto), guests }
            });
        visits.filter(|visit| visit.ticks.start < seeker.ticks.end && visit.ticks.end > seeker.ticks.start)
    }

    /// The seats that are free in every tick. Below 0 if the area was made smaller.
    pub fn free_seats(&self, floor: &Floor, area: &Area, seeker: &Seeker) -> i32 {
        let visits: Vec<_> = self.visits(floor, area, seeker).collect();
        let guests =
            |tick| visits.iter().filter(|visit| visit.ticks.contains(&tick)).map(|visit| visit.guests).sum::<i32>();
        seats(area) - seeker.ticks.clone().map(guests).max().unwrap_or(0)
    }

    /// The tables and combinations that nobody has.
    fn free_sets(&self, floor: &Floor, area: &Area, seeker: &Seeker) -> Vec<TableSet> {
        let taken: Vec<&String> = self.visits(floor, area, seeker).flat_map(|visit| visit.tables).collect();
        let is_free = |set: &TableSet| set.tables.iter().all(|table| !taken.contains(&table));
        table_sets(area).into_iter().filter(is_free).collect()
    }

    /// The largest party that an area can seat; if this party gets no table, less than this party.
    pub fn open_in(&self, floor: &Floor, area: &Area, seeker: &Seeker) -> i32 {
        let open = self.free_seats(floor, area, seeker).max(0);
        if area.tables.is_empty() {
            return open;
        }
        let free = self.free_sets(floor, area, seeker);
        let largest = free.iter().map(|set| set.parties.end - 1).max().unwrap_or(0);
        let fits = free.iter().any(|set| set.parties.contains(&seeker.party_size));
        open.min(if fits { largest } else { largest.min(seeker.party_size - 1) })
    }

    /// The tables that a party gets in an area, none in an area without tables; `None` if it has no place there. The
    /// party keeps its own tables if they fit it.
    pub fn tables_in(&self, floor: &Floor, area: &Area, seeker: &Seeker, own: &Place) -> Option<Vec<String>> {
        if self.open_in(floor, area, seeker) < seeker.party_size {
            return None;
        }
        let free = self.free_sets(floor, area, seeker);
        let fits = || free.iter().filter(|set| set.parties.contains(&seeker.party_size));
        let kept = fits().find(|set| own.area == area.area && set.tables == own.tables);
        Some(kept.or_else(|| fits().next()).map_or_else(Vec::new, |set| set.tables.clone()))
    }

    /// The areas of the floor in which a party would sit, with what is open there.
    pub fn open_areas(&self, wish: Wish) -> Vec<(&Area, i32)> {
        let Some((floor, seeker)) = self.floor_of(wish) else { return Vec::new() };
        let wanted = floor.areas.iter().filter(|area| wish.area.is_empty() || area.area == wish.area);
        wanted.map(|area| (area, self.open_in(floor, area, &seeker))).collect()
    }

    /// The refusal of a party for which an existing slot has seats, but the floor of its venue has no place.
    pub fn refused_by_floor(&self, wish: Wish) -> Option<Refused> {
        if self.floor_of(wish).is_none() {
            return (!wish.area.is_empty()).then(|| Refused::not_found("AREA_NOT_FOUND"));
        }
        let Some(open) = self.open_areas(wish).into_iter().map(|(_, open)| open).max() else {
            return Some(Refused::not_found("AREA_NOT_FOUND"));
        };
        (open < wish.party_size).then(|| area_full(open))
    }

    /// The first area that has a place for the party, and its tables there.
    pub fn place(&self, wish: Wish, own: &Place) -> Option<Place> {
        let (floor, seeker) = self.floor_of(wish)?;
        let wanted = floor.areas.iter().filter(|area| wish.area.is_empty() || area.area == wish.area);
        let mut places = wanted.filter_map(|area| {
            self.tables_in(floor, area, &seeker, own).map(|tables| Place { area: area.area.clone(), tables })
        });
        places.next()
    }

    /// Whether a booking that takes no seats any more could take its own place again.
    pub fn has_its_place(&self, n: usize) -> bool {
        self.has_its_place_until(n, leaves_at(&self.bookings[n].proto))
    }

    /// The same for another end of its visit.
    pub fn has_its_place_until(&self, n: usize, until: DateTime<Utc>) -> bool {
        let proto = &self.bookings[n].proto;
        let venue = self.venue(&proto.venue_id).map(|n| &self.venues[n]);
        let Some(floor) = venue.and_then(|venue| venue.floor.as_ref()) else { return true };
        let Some(area) = floor.areas.iter().find(|area| area.area == area_of(floor, proto)) else { return false };
        let from = proto.starts_at.as_ref().map(moment).unwrap_or_default();
        let seeker = Seeker::new(floor, proto.party_size, from, until, Some(n));
        self.can_have(&seeker, floor, area, &proto.tables).is_ok()
            && self.free_seats(floor, area, &seeker) >= proto.party_size
    }

    /// Whether a booking could have these tables of an area.
    ///
    /// # Errors
    /// The refusal of AssignTables: unknown tables, or those that others have.
    pub fn can_have(&self, seeker: &Seeker, floor: &Floor, area: &Area, tables: &[String]) -> Result<(), Refused> {
        let taken: Vec<&String> = self.visits(floor, area, seeker).flat_map(|visit| visit.tables).collect();
        let named = |refuses: &dyn Fn(&String) -> bool| {
            let refused: Vec<_> = tables.iter().filter(|table| refuses(table)).cloned().collect();
            (!refused.is_empty()).then(|| refused.join(","))
        };
        if let Some(unknown) = named(&|table| area.tables.iter().all(|it| it.table != *table)) {
            return Err(Refused::not_found("TABLE_NOT_FOUND").with("tables", unknown.as_str()));
        }
        match named(&|table| taken.contains(&table)) {
            Some(taken) => Err(Refused::precondition("TABLE_TAKEN").with("tables", taken.as_str())),
            None => Ok(()),
        }
    }
}
