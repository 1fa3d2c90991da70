//! The floor of a venue: its areas, how long parties stay, and which seats are taken when. Pure.
//!
//! The SQL functions of `0011_floors.sql` have the same rules for the statements that decide with them; tests compare
//! the two.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Refusal;

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

    /// The seats of the largest area.
    pub fn largest_area(&self) -> i32 {
        self.areas.iter().map(|area| area.seats.unwrap_or(SEATS_WITHOUT_LIMIT)).max().unwrap_or(0)
    }

    fn day_ticks(&self) -> i32 {
        24 * 60 / self.tick_minutes
    }
}

/// Ticks of a floor, counted from its `counts_from`.
type Ticks = std::ops::Range<i32>;

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

    /// The seats of an area that are open for all of a time.
    fn open_seats(&self, area: &Area, since: DateTime<Utc>, until: DateTime<Utc>) -> i32 {
        let (seats, day_ticks) = (area.seats.unwrap_or(SEATS_WITHOUT_LIMIT), self.floor.day_ticks());
        let (ticks, days) = (self.ticks(since, until), self.days.iter().filter(|day| day.area == area.area));
        let of_day = |day: &AreaDay| {
            let index = |tick: i32| usize::try_from((tick - day.day * day_ticks).clamp(0, day_ticks)).unwrap_or(0);
            let taken = day.taken.get(index(ticks.start)..index(ticks.end))?.iter().max()?;
            Some(day.seats.min(seats) - taken)
        };
        days.filter_map(of_day).min().unwrap_or(seats)
    }

    /// The open seats of each area for a sitting, in the order of the areas.
    pub fn open_areas(&self, sitting: &Sitting) -> Vec<(AreaKey, i32)> {
        let open = |area: &Area| self.open_seats(area, sitting.starts_at, sitting.occupied_until).max(0);
        self.floor.areas.iter().map(|area| (area.area.clone(), open(area))).collect()
    }

    /// The area for a party: the wanted one, or the first that has the seats.
    ///
    /// # Errors
    /// `AreaNotFound`; `AreaFull` with the most seats that an area has open.
    pub fn place(&self, wanted: Option<&AreaKey>, sitting: &Sitting, party_size: i32) -> Result<AreaKey, Refusal> {
        let open = self.open_areas(sitting);
        let mut candidates = open.into_iter().filter(|(area, _)| wanted.is_none_or(|wanted| wanted == area)).peekable();
        candidates.peek().ok_or(Refusal::AreaNotFound)?;
        let mut most = 0;
        for (area, open_seats) in candidates {
            if party_size <= open_seats {
                return Ok(area);
            }
            most = most.max(open_seats);
        }
        Err(Refusal::AreaFull { open_seats: most })
    }

    /// Whether an area has open seats for all of a time. `None`: the first area.
    pub fn has_seats(&self, area: Option<&str>, since: DateTime<Utc>, until: DateTime<Utc>, seats: i32) -> bool {
        let mut areas = self.floor.areas.iter();
        let area = areas.find(|it| area.is_none_or(|area| it.area.as_str() == area));
        area.is_some_and(|area| seats <= self.open_seats(area, since, until))
    }

    /// The state after seats of an area were taken (above 0) or freed (below 0) for a time. `None`: the first area.
    #[must_use]
    pub fn after(&self, area: Option<&str>, since: DateTime<Utc>, until: DateTime<Utc>, seats: i32) -> Self {
        let (mut state, ticks, day_ticks) = (self.clone(), self.ticks(since, until), self.floor.day_ticks());
        let area = area.or(self.floor.areas.first().map(|first| first.area.as_str()));
        for day in state.days.iter_mut().filter(|day| Some(day.area.as_str()) == area) {
            let first = day.day * day_ticks;
            for (taken, _) in day.taken.iter_mut().zip(first..).filter(|(_, tick)| ticks.contains(tick)) {
                *taken = (*taken + seats).max(0);
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
