//! The plan of a run: venues with slots for every reservation, and dates in the future.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc};

use teppan_shared::time_zone::TimeZone;

use crate::{
    dialogues::{Dialogue, Reservation},
    ids::RunId,
};

/// The time zone of every venue of the tool.
pub const ZONE: &str = "America/Los_Angeles";
pub const PRICE_PER_PERSON_CENTS: i64 = 3500;
/// Beyond any notice: no slot starts before the day after tomorrow.
const FIRST_DAYS_AHEAD: u64 = 2;
/// Dates further apart than this start again at the first: together with the days above, all dates are within the 90
/// days of the default horizon.
const SPAN_WEEKS: i64 = 11;
/// The time that replaces one that cannot be read.
const USUAL_TIME: NaiveTime = NaiveTime::from_hms_opt(18, 0, 0).expect("a time");
/// Times are rounded down to this: a schedule has room for the 96 quarter hours of a day, not for 1,440 minutes.
const STEP_MINUTES: u32 = 15;

/// A slot that is booked: date and start time at the venue.
pub type Slot = (NaiveDate, NaiveTime);

/// A booking to be made.
#[derive(Debug, Clone)]
pub struct PlannedBooking {
    /// Index into [`Plan::venues`].
    pub venue: usize,
    pub slot: Slot,
    pub party_size: i32,
}

/// A restaurant of the file, as a venue.
#[derive(Debug, Clone)]
pub struct PlannedVenue {
    pub name: String,
    /// The seats that this run books, by slot.
    pub seats: BTreeMap<Slot, i32>,
}

/// Everything that is to be sent, and that must be found afterwards.
pub struct Plan {
    pub run: RunId,
    pub dialogues: Vec<Dialogue>,
    /// The booking of each dialogue.
    pub bookings: Vec<PlannedBooking>,
    pub venues: Vec<PlannedVenue>,
    /// The number of dates and times that were corrected.
    pub normalised: usize,
}

impl PlannedVenue {
    pub fn first_date(&self) -> Option<NaiveDate> {
        self.seats.keys().map(|(date, _)| *date).min()
    }

    pub fn last_date(&self) -> Option<NaiveDate> {
        self.seats.keys().map(|(date, _)| *date).max()
    }

    /// The start times, each with the seats that its fullest date needs.
    pub fn seats_by_start(&self) -> BTreeMap<NaiveTime, i32> {
        let mut capacities = BTreeMap::new();
        for ((_, start), seats) in &self.seats {
            let capacity = capacities.entry(*start).or_insert(0);
            *capacity = (*seats).max(*capacity);
        }
        capacities
    }
}

impl Plan {
    /// Plans the dialogues as of `now`. The same file gives the same plan during one day.
    pub fn new(run: RunId, dialogues: Vec<Dialogue>, now: DateTime<Utc>) -> Self {
        let calendar = Calendar::new(&dialogues, now.with_timezone(&zone()).date_naive());
        let mut plan = Self { run, dialogues: Vec::new(), bookings: Vec::new(), venues: Vec::new(), normalised: 0 };
        let mut indices = BTreeMap::new();
        for dialogue in dialogues {
            let Reservation { restaurant, city, party_size, .. } = &dialogue.reservation;
            let name = venue_name(restaurant, city);
            let venue = *indices.entry(name.clone()).or_insert_with(|| {
                plan.venues.push(PlannedVenue { name, seats: BTreeMap::new() });
                plan.venues.len() - 1
            });
            let (slot, as_given) = calendar.slot(&dialogue.reservation);
            plan.normalised += usize::from(!as_given);
            *plan.venues[venue].seats.entry(slot).or_insert(0) += party_size;
            plan.bookings.push(PlannedBooking { venue, slot, party_size: *party_size });
            plan.dialogues.push(dialogue);
        }
        plan
    }

    pub fn turns(&self) -> usize {
        self.dialogues.iter().map(|dialogue| dialogue.turns.len()).sum()
    }

    /// The sequence of the last message of a dialogue that has a score.
    pub fn last_scored(&self, dialogue: usize) -> Option<i64> {
        let turns = &self.dialogues[dialogue].turns;
        turns.iter().rposition(|turn| turn.emotion.is_some()).and_then(|turn| i64::try_from(turn + 1).ok())
    }

    /// The conversation of a dialogue, by its index.
    pub fn conversation(&self, dialogue: usize) -> String {
        self.run.conversation(&self.dialogues[dialogue].dialogue_id)
    }
}

fn venue_name(restaurant: &str, city: &str) -> String {
    let (restaurant, city) = (restaurant.trim(), city.trim());
    if city.is_empty() { restaurant.to_owned() } else { format!("{restaurant}, {city}") }
}

/// Moves the dates of the file into the future.
///
/// The earliest date moves by whole weeks to the first date of the same weekday that is far enough ahead. The other
/// dates keep their distance from it, and so their weekdays.
struct Calendar {
    earliest: NaiveDate,
    first: NaiveDate,
}

impl Calendar {
    fn new(dialogues: &[Dialogue], today: NaiveDate) -> Self {
        let from = today + Days::new(FIRST_DAYS_AHEAD);
        let dates = dialogues.iter().filter_map(|dialogue| parse_date(&dialogue.reservation.date));
        let earliest = dates.min().unwrap_or(from);
        let first = from + Days::new(earliest.weekday().days_since(from.weekday()).into());
        Self { earliest, first }
    }

    /// The slot of a reservation, and whether its date and time needed no correction.
    fn slot(&self, reservation: &Reservation) -> (Slot, bool) {
        let (date, time) = (parse_date(&reservation.date), parse_time(&reservation.time));
        let start = time.map_or(USUAL_TIME, to_step);
        let distance = date.map_or(0, |date| (date - self.earliest).num_days()).rem_euclid(SPAN_WEEKS * 7);
        let mut moved = self.first + TimeDelta::days(distance);
        if zone().from_local_datetime(&moved.and_time(start)).earliest().is_none() {
            // Clocks skip this start on that day; a day later it exists.
            moved = moved + Days::new(1);
        }
        ((moved, start), date.is_some() && time == Some(start))
    }
}

fn zone() -> TimeZone {
    TimeZone::parse(ZONE).expect("a zone")
}

fn parse_date(raw: &str) -> Option<NaiveDate> {
    raw.trim().parse().ok()
}

/// Reads `18:00`, `18:00:00`, `6:30 pm` and `6pm`.
fn parse_time(raw: &str) -> Option<NaiveTime> {
    let mut text: String = raw.to_lowercase().chars().filter(|c| !c.is_whitespace() && *c != '.').collect();
    if let Some(half) = text.len().checked_sub(2)
        && matches!(text.get(half..), Some("am" | "pm"))
        && !text.contains(':')
    {
        text.insert_str(half, ":00");
    }
    ["%H:%M", "%H:%M:%S", "%I:%M%p"].iter().find_map(|format| NaiveTime::parse_from_str(&text, format).ok())
}

fn to_step(time: NaiveTime) -> NaiveTime {
    NaiveTime::from_hms_opt(time.hour(), time.minute() / STEP_MINUTES * STEP_MINUTES, 0).unwrap_or(USUAL_TIME)
}

#[cfg(test)]
mod tests {
    use chrono::Weekday;

    use super::*;
    use crate::dialogues::{Speaker, Turn};

    fn dialogue(id: usize, restaurant: &str, date: &str, time: &str, party_size: i32) -> Dialogue {
        let turn = |role| Turn { role, text: "Own words.".to_owned(), emotion: None };
        let (date, time) = (date.to_owned(), time.to_owned());
        let (restaurant, city) = (restaurant.to_owned(), "Berlin".to_owned());
        Dialogue {
            dialogue_id: id.to_string(),
            turns: vec![turn(Speaker::User), turn(Speaker::Assistant)],
            reservation: Reservation { restaurant, city, date, time, party_size },
            reserved_at_turn: 1,
        }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 6, 3, 20, 0, 0).single().expect("a Wednesday")
    }

    #[test]
    fn dates_move_ahead_and_keep_their_weekdays_and_distances() {
        let file = [("2019-03-01", "18:00"), ("2019-03-09", "18:00"), ("2021-01-01", "18:00")];
        let dialogues = file.iter().enumerate().map(|(id, (date, time))| dialogue(id, "Garden", date, time, 2));
        let plan = Plan::new(RunId::random(), dialogues.collect(), now());
        let dates: Vec<_> = plan.bookings.iter().map(|booking| booking.slot.0).collect();
        assert_eq!(dates[0].weekday(), Weekday::Fri);
        assert_eq!(dates[1] - dates[0], TimeDelta::days(8));
        for (date, (original, _)) in dates.iter().zip(file) {
            assert_eq!(Some(date.weekday()), parse_date(original).map(|date| date.weekday()));
            assert!((2..=90).contains(&(*date - now().date_naive()).num_days()), "{date}");
        }
        assert_eq!(plan.normalised, 0);
    }

    #[test]
    fn each_restaurant_becomes_one_venue_with_seats_for_all_its_bookings() {
        let dialogues = vec![
            dialogue(0, "Garden", "2019-03-01", "18:00", 2),
            dialogue(1, "Garden ", "2019-03-01", "18:00", 3),
            dialogue(2, "Garden", "2019-03-02", "18:00", 4),
            dialogue(3, "Counter", "2019-03-01", "12:15", 1),
        ];
        let plan = Plan::new(RunId::random(), dialogues, now());
        assert_eq!(plan.venues.len(), 2);
        let capacities: Vec<_> = plan.venues[0].seats_by_start().into_values().collect();
        assert_eq!(capacities, [5]);
        assert_eq!(plan.venues[0].seats.values().copied().collect::<Vec<_>>(), [5, 4]);
    }

    #[test]
    fn unusual_dates_and_times_are_corrected_and_counted() {
        let odd = [("soon", "18:00"), ("2019-03-01", "tonight"), ("2019-03-01", "6:40 p.m."), ("2019-03-01", "9AM")];
        let dialogues = odd.iter().enumerate().map(|(id, (date, time))| dialogue(id, "Garden", date, time, 2));
        let plan = Plan::new(RunId::random(), dialogues.collect(), now());
        let starts: Vec<_> = plan.bookings.iter().map(|booking| booking.slot.1.to_string()).collect();
        assert_eq!(starts, ["18:00:00", "18:00:00", "18:30:00", "09:00:00"]);
        assert_eq!(plan.normalised, 3);
        assert!(plan.bookings.iter().all(|booking| booking.slot.0 == plan.bookings[1].slot.0));
    }
}
