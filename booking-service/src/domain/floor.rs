//! The floor of a venue: its areas, how long parties stay, and which seats are taken when. Pure.
//!
//! The SQL functions of `0015_floors.sql` have the same rules for the statements that decide with them; tests compare
//! the two.

use std::ops::Range;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Refusal,
    table::{Combination, Table, TableSet, bits, keys, table_sets},
};

/// The most seats that an area without a limit can have taken.
pub const SEATS_WITHOUT_LIMIT: i32 = 32_767;

/// The key of an area, unique at its venue: such as `terrace`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AreaKey(String);

impl AreaKey {
    /// # Errors
    /// Anything but 1 to 40 lower-case letters, digits and hyphens that begin with a letter or digit.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=40).contains(&raw.len()) && raw.bytes().all(is_allowed) && !raw.starts_with('-') {
            Ok(Self(raw.to_owned()))
        } else {
            Err("must be 1 to 40 lower-case letters, digits and hyphens, such as terrace")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One area of a floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    pub area: AreaKey,
    pub name: String,
    /// How many guests can be seated at once; `None` if there is no limit.
    pub seats: Option<i32>,
    /// Without tables, only seats are counted.
    pub tables: Vec<Table>,
    /// Tables that may be joined.
    pub combinations: Vec<Combination>,
    /// Both, in the order in which parties get them; see [`table_sets`].
    pub table_sets: Vec<TableSet>,
}

impl Area {
    pub fn new(
        area: AreaKey,
        name: String,
        seats: Option<i32>,
        tables: Vec<Table>,
        combinations: Vec<Combination>,
    ) -> Self {
        let table_sets = table_sets(&tables, &combinations);
        Self { area, name, seats, tables, combinations, table_sets }
    }

    /// The largest party that the area can seat.
    fn largest_party(&self) -> i32 {
        let seats = self.seats.unwrap_or(SEATS_WITHOUT_LIMIT);
        self.table_sets.iter().map(|set| set.max_party_size).max().map_or(seats, |largest| largest.min(seats))
    }
}

/// How long parties stay that are not larger and arrive between these local times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SittingRule {
    pub max_party_size: Option<i32>,
    #[serde(with = "minute")]
    pub from_time: Option<NaiveTime>,
    /// Not included.
    #[serde(with = "minute")]
    pub until_time: Option<NaiveTime>,
    pub minutes: i32,
}

/// The floor as the venue sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub tick_minutes: i32,
    pub turn_minutes: i32,
    /// The first rule that fits counts; the last one fits every party.
    pub sittings: Vec<SittingRule>,
    /// In the order in which they are filled.
    pub areas: Vec<Area>,
}

/// The taken seats of one area on one day of ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaDay {
    pub area: AreaKey,
    pub day: i32,
    /// More than the area's seats while more are taken.
    pub seats: i32,
    pub taken: Vec<i32>,
    /// The taken tables of each tick, as bits; `None` if the area has no tables.
    pub tables: Option<Vec<i64>>,
}

/// Where a party sits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub area: AreaKey,
    /// The keys of its tables; empty in an area without tables.
    pub tables: Vec<String>,
}

/// The area, the tables and the time that a booking takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    /// `None`: the first area, in which bookings without an area are counted.
    pub area: Option<String>,
    pub tables: Vec<String>,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// A floor, and the seats that are taken during some time. Read as the JSON of the SQL function `floor_state`.
#[derive(Debug, Clone, Deserialize)]
pub struct FloorState {
    #[serde(flatten)]
    pub floor: Floor,
    /// The first tick of day 0 begins here.
    pub counts_from: DateTime<Utc>,
    pub days: Vec<AreaDay>,
}

/// The time for which a party takes seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sitting {
    pub starts_at: DateTime<Utc>,
    /// When the party leaves.
    pub ends_at: DateTime<Utc>,
    /// Until when the seats cannot be taken again.
    pub occupied_until: DateTime<Utc>,
}

impl Floor {
    /// When a party that arrives at a start leaves, and until when its seats are taken.
    pub fn sitting(&self, starts_at: DateTime<Utc>, start_time: NaiveTime, party_size: i32) -> Sitting {
        let ends_at = starts_at + TimeDelta::minutes(self.sitting_minutes(start_time, party_size).into());
        Sitting { starts_at, ends_at, occupied_until: ends_at + TimeDelta::minutes(self.turn_minutes.into()) }
    }

    fn sitting_minutes(&self, start_time: NaiveTime, party_size: i32) -> i32 {
        let fits = |rule: &&SittingRule| {
            rule.max_party_size.is_none_or(|most| party_size <= most)
                && rule.from_time.is_none_or(|from| start_time >= from)
                && rule.until_time.is_none_or(|until| start_time < until)
        };
        self.sittings.iter().find(fits).or(self.sittings.last()).map_or(120, |rule| rule.minutes)
    }

    /// The largest party that an area can seat.
    pub fn largest_party(&self) -> i32 {
        self.areas.iter().map(Area::largest_party).max().unwrap_or(0)
    }

    /// An area by its key. `None`: the first area.
    pub fn area(&self, key: Option<&str>) -> Option<&Area> {
        self.areas.iter().find(|it| key.is_none_or(|key| it.area.as_str() == key))
    }

    fn day_ticks(&self) -> i32 {
        24 * 60 / self.tick_minutes
    }
}

/// Ticks of a floor, counted from its `counts_from`.
type Ticks = Range<i32>;

/// The ticks that a time touches.
fn ticks(counts_from: DateTime<Utc>, tick_minutes: i32, since: DateTime<Utc>, until: DateTime<Utc>) -> Ticks {
    let (length, tick) = (i64::from(tick_minutes) * 60_000_000, |it: i64| i32::try_from(it).unwrap_or(i32::MAX));
    // Three hundred thousand years of microseconds fit.
    let micros = |at: DateTime<Utc>| (at - counts_from).num_microseconds().unwrap_or(i64::MAX);
    tick(micros(since).div_euclid(length))..tick(-(-micros(until)).div_euclid(length))
}

impl FloorState {
    fn ticks(&self, since: DateTime<Utc>, until: DateTime<Utc>) -> Ticks {
        ticks(self.counts_from, self.floor.tick_minutes, since, until)
    }

    /// The days of an area, each with the indexes of the ticks of a time.
    fn days_of<'a>(&'a self, area: &'a Area, ticks: &'a Ticks) -> impl Iterator<Item = (&'a AreaDay, Range<usize>)> {
        let day_ticks = self.floor.day_ticks();
        self.days.iter().filter(|day| day.area == area.area).map(move |day| {
            let index = |tick: i32| usize::try_from((tick - day.day * day_ticks).clamp(0, day_ticks)).unwrap_or(0);
            (day, index(ticks.start)..index(ticks.end))
        })
    }

    /// The seats of an area that are not taken in any tick of a time.
    fn free_seats(&self, area: &Area, since: DateTime<Utc>, until: DateTime<Utc>) -> i32 {
        let (seats, ticks) = (area.seats.unwrap_or(SEATS_WITHOUT_LIMIT), self.ticks(since, until));
        let of_day =
            |(day, ticks): (&AreaDay, Range<usize>)| Some(day.seats.min(seats) - day.taken.get(ticks)?.iter().max()?);
        self.days_of(area, &ticks).filter_map(of_day).min().unwrap_or(seats)
    }

    /// The tables of an area that are taken in some tick of a time, as bits.
    fn taken_tables(&self, area: &Area, since: DateTime<Utc>, until: DateTime<Utc>) -> i64 {
        let ticks = self.ticks(since, until);
        let of_day = |(day, ticks): (&AreaDay, Range<usize>)| {
            day.tables.as_ref()?.get(ticks).map(|taken| taken.iter().fold(0, |all, it| all | it))
        };
        self.days_of(area, &ticks).filter_map(of_day).fold(0, |all, it| all | it)
    }

    /// The largest party that an area can seat for all of a time: at least `party_size` if that party fits, and less if
    /// it does not.
    fn open_seats(&self, area: &Area, since: DateTime<Utc>, until: DateTime<Utc>, party_size: i32) -> i32 {
        let seats = self.free_seats(area, since, until).max(0);
        if area.table_sets.is_empty() {
            return seats;
        }
        let taken = self.taken_tables(area, since, until);
        let free = || area.table_sets.iter().filter(|set| set.tables & taken == 0);
        let largest = free().map(|set| set.max_party_size).max().unwrap_or(0);
        let most = if free().any(|set| set.fits(party_size)) { largest } else { largest.min(party_size - 1) };
        seats.min(most)
    }

    /// The largest party that each area can seat, as far as this party is concerned, in the order of the areas.
    pub fn open_areas(&self, sitting: &Sitting, party_size: i32) -> Vec<(AreaKey, i32)> {
        let open = |area: &Area| self.open_seats(area, sitting.starts_at, sitting.occupied_until, party_size);
        self.floor.areas.iter().map(|area| (area.area.clone(), open(area))).collect()
    }

    /// The place for a party: in the wanted area, or in the first that has one. It gets the tables that it has already,
    /// if they still fit it, otherwise the first free set.
    ///
    /// # Errors
    /// `AreaNotFound`; `AreaFull` with the largest party that an area can seat.
    pub fn place(
        &self,
        wanted: Option<&AreaKey>,
        sitting: &Sitting,
        party_size: i32,
        own_tables: &[String],
    ) -> Result<Place, Refusal> {
        let (since, until) = (sitting.starts_at, sitting.occupied_until);
        let areas = || self.floor.areas.iter().filter(|it| wanted.is_none_or(|wanted| *wanted == it.area));
        areas().next().ok_or(Refusal::AreaNotFound)?;
        let open_seats = |area: &Area| self.open_seats(area, since, until, party_size);
        let Some(area) = areas().find(|area| party_size <= open_seats(area)) else {
            return Err(Refusal::AreaFull { open_seats: areas().map(open_seats).max().unwrap_or(0) });
        };
        let taken = self.taken_tables(area, since, until);
        let fits = |set: &&TableSet| set.tables & taken == 0 && set.fits(party_size);
        let own = bits(&area.tables, own_tables);
        let kept = area.table_sets.iter().filter(fits).find(|set| set.tables == own);
        let chosen = kept.or_else(|| area.table_sets.iter().find(fits)).map_or(0, |set| set.tables);
        Ok(Place { area: area.area.clone(), tables: keys(&area.tables, chosen) })
    }

    /// Whether an area has these seats, and its tables are free, for all of a time.
    pub fn has_room(&self, at: &Occupancy, seats: i32) -> bool {
        let Some(area) = self.floor.area(at.area.as_deref()) else { return false };
        let tables = bits(&area.tables, &at.tables);
        seats <= self.free_seats(area, at.since, at.until)
            && tables & self.taken_tables(area, at.since, at.until) == 0
            && usize::try_from(tables.count_ones()) == Ok(at.tables.len())
    }

    /// The state after seats and tables of an area were taken (`seats` above 0) or freed (below 0) for a time.
    #[must_use]
    pub fn after(&self, at: &Occupancy, seats: i32) -> Self {
        let (mut state, ticks, day_ticks) = (self.clone(), self.ticks(at.since, at.until), self.floor.day_ticks());
        let Some(area) = self.floor.area(at.area.as_deref()) else { return state };
        let with_tables = bits(&area.tables, &at.tables);
        for day in state.days.iter_mut().filter(|day| day.area == area.area) {
            let first = day.day * day_ticks;
            for (taken, _) in day.taken.iter_mut().zip(first..).filter(|(_, tick)| ticks.contains(tick)) {
                *taken = (*taken + seats).max(0);
            }
            let tables = day.tables.iter_mut().flatten().zip(first..).filter(|(_, tick)| ticks.contains(tick));
            for (taken, _) in tables {
                *taken = if seats > 0 { *taken | with_tables } else { *taken & !with_tables };
            }
        }
        state
    }
}

/// Local times as JSON, to the minute.
mod minute {
    use chrono::NaiveTime;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub fn serialize<S: Serializer>(time: &Option<NaiveTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.format("%H:%M").to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveTime>, D::Error> {
        let raw = Option::<String>::deserialize(deserializer)?;
        raw.map(|raw| super::super::parse_start_time(&raw).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests;
