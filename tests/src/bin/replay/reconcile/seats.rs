//! Checks that the reserved seats of each slot are those of the bookings. Only this run books at its venues.

use std::{collections::BTreeMap, sync::Arc};

use teppan_shared::contract::booking::v1::{ListAvailabilityRequest, SlotAvailability};
use teppan_tests::tool::Trace;

use crate::{
    calls::{Caller, Failure, Method, request},
    connections::Clients,
    plan::{Plan, PlannedVenue},
    prepare::wire_time,
    progress::Progress,
};

/// Small pages, so that venues with many slots need more than one.
const PAGE_SIZE: i32 = 50;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seats {
    /// Seats of the bookings to be made.
    pub expected: i64,
    /// Reserved seats.
    pub reserved: i64,
    pub slots: usize,
    /// Slots whose seats differ, or that are missing.
    pub different: usize,
}

impl Seats {
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.reserved += other.reserved;
        self.slots += other.slots;
        self.different += other.different;
    }
}

/// Reads the slots of one venue, by its index and id, and compares their seats.
pub async fn check(
    caller: Caller,
    clients: Clients,
    plan: Arc<Plan>,
    progress: Progress,
    (index, venue_id): (usize, String),
) -> (Seats, Vec<String>) {
    let venue = &plan.venues[index];
    let outcome = match read(&caller, &clients, venue, &venue_id).await {
        Ok(slots) => compare(&venue_id, venue, &slots),
        Err(failure) => {
            let expected = venue.seats.values().copied().map(i64::from).sum();
            let counts = Seats { expected, different: venue.seats.len(), ..Default::default() };
            (counts, vec![format!("venue {venue_id}: {failure}")])
        }
    };
    progress.advance(1);
    outcome
}

async fn read(
    caller: &Caller,
    clients: &Clients,
    venue: &PlannedVenue,
    venue_id: &str,
) -> Result<Vec<SlotAvailability>, Failure> {
    let trace = Trace::start();
    let date = |date: Option<chrono::NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
    let mut slots = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = ListAvailabilityRequest {
            venue_id: venue_id.to_owned(),
            from_date: date(venue.first_date()),
            to_date: date(venue.last_date()),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = caller.call(Method::ListAvailability, || {
            let (mut schedule, list) = (clients.schedule.clone(), list.clone());
            async move { schedule.list_availability(request(trace, list)).await }
        });
        let page = page.await?;
        slots.extend(page.slots);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(slots);
        }
    }
}

fn compare(venue_id: &str, venue: &PlannedVenue, slots: &[SlotAvailability]) -> (Seats, Vec<String>) {
    let mut expected: BTreeMap<(String, String), i32> =
        venue.seats.iter().map(|((date, start), seats)| ((date.to_string(), wire_time(*start)), *seats)).collect();
    let mut counts = Seats { slots: slots.len(), ..Default::default() };
    counts.expected = expected.values().copied().map(i64::from).sum();
    let mut differences = Vec::new();
    for slot in slots {
        let reserved = slot.capacity - slot.open_seats;
        let seats = expected.remove(&(slot.date.clone(), slot.start_time.clone())).unwrap_or(0);
        counts.reserved += i64::from(reserved);
        if reserved != seats {
            counts.different += 1;
            let SlotAvailability { date, start_time, .. } = slot;
            differences.push(format!(
                "venue {venue_id}, slot {date} {start_time}: {reserved} seats reserved, {seats} booked in this run"
            ));
        }
    }
    for ((date, start_time), _) in expected {
        counts.different += 1;
        differences.push(format!("venue {venue_id}, slot {date} {start_time}: missing"));
    }
    (counts, differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn venue(seats: i32) -> PlannedVenue {
        let slot = ("2026-12-05".parse().expect("a date"), "18:00:00".parse().expect("a time"));
        PlannedVenue { name: "Teppan Garden".to_owned(), seats: BTreeMap::from([(slot, seats)]) }
    }

    fn slot(start_time: &str, open_seats: i32) -> SlotAvailability {
        let (date, start_time) = ("2026-12-05".to_owned(), start_time.to_owned());
        SlotAvailability { date, start_time, capacity: 5, open_seats, ..Default::default() }
    }

    #[test]
    fn seats_are_compared_slot_by_slot() {
        let (counts, differences) = compare("venue", &venue(3), &[slot("12:00", 5), slot("18:00", 2)]);
        assert_eq!(counts, Seats { expected: 3, reserved: 3, slots: 2, different: 0 });
        assert!(differences.is_empty());
    }

    #[test]
    fn one_seat_too_many_and_one_too_few_do_not_cancel_out() {
        let (counts, _) = compare("venue", &venue(3), &[slot("12:00", 4), slot("18:00", 3)]);
        assert_eq!(counts, Seats { expected: 3, reserved: 3, slots: 2, different: 2 });
    }

    #[test]
    fn a_missing_slot_is_found() {
        let (counts, differences) = compare("venue", &venue(3), &[]);
        assert_eq!(counts.different, 1);
        assert!(differences[0].ends_with("missing"));
    }
}
