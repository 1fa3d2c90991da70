//! Checks that every booking is stored once, as requested.

use std::collections::HashSet;

use teppan_shared::contract::booking::v1::{Booking, CreateBookingRequest, GetBookingRequest};
use teppan_tests::tool::Trace;

use super::Verdict;
use crate::{
    calls::{Caller, Method, request},
    connections::Clients,
    plan::{PRICE_PER_PERSON_CENTS, Plan},
    play::{self, Played},
    progress::Progress,
};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Bookings {
    pub expected: usize,
    pub found: usize,
    pub missing: usize,
    /// Dialogues that got the booking of another dialogue.
    pub shared: usize,
    /// Found with another venue, date, time, party, price or conversation.
    pub different: usize,
}

impl Bookings {
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.found += other.found;
        self.missing += other.missing;
        self.shared += other.shared;
        self.different += other.different;
    }
}

/// The request, and the booking that was made.
pub struct Expected {
    asked: CreateBookingRequest,
    booking_id: Option<String>,
}

pub fn expected(plan: &Plan, dialogue: usize, venue_ids: &[String], booking_id: Option<String>) -> Expected {
    Expected { asked: play::booking(plan, dialogue, venue_ids), booking_id }
}

/// Reads one booking and compares it with its request.
pub async fn check(
    caller: Caller,
    clients: Clients,
    expected: Expected,
    progress: Progress,
) -> (Bookings, Vec<String>) {
    let Expected { asked, booking_id } = expected;
    let found = read(&caller, &clients, booking_id).await;
    progress.advance(1);
    compare(&asked, found)
}

async fn read(caller: &Caller, clients: &Clients, booking_id: Option<String>) -> Result<Booking, String> {
    let booking_id = booking_id.ok_or("was not made")?;
    let get = GetBookingRequest { booking_id: booking_id.clone(), ..Default::default() };
    let trace = Trace::start();
    let found = caller.call(Method::GetBooking, || {
        let (mut bookings, get) = (clients.bookings.clone(), get.clone());
        async move { bookings.get_booking(request(trace, get)).await }
    });
    let found = found.await.map_err(|failure| format!("{booking_id}: {failure}"))?;
    found.booking.filter(|booking| booking.booking_id == booking_id).ok_or_else(|| format!("{booking_id}: missing"))
}

fn compare(asked: &CreateBookingRequest, found: Result<Booking, String>) -> (Bookings, Vec<String>) {
    let mut counts = Bookings { expected: 1, ..Default::default() };
    let conversation = &asked.conversation_id;
    match found {
        Err(why) => {
            counts.missing = 1;
            (counts, vec![format!("booking of conversation {conversation}: {why}")])
        }
        Ok(booking) => {
            counts.found = 1;
            let other = others(asked, &booking);
            if other.is_empty() {
                return (counts, Vec::new());
            }
            counts.different = 1;
            let difference = format!("booking {} of conversation {conversation}: other {other}", booking.booking_id);
            (counts, vec![difference])
        }
    }
}

/// The names of the fields that differ from the request.
fn others(asked: &CreateBookingRequest, booking: &Booking) -> String {
    let total_cents = i64::from(asked.party_size) * PRICE_PER_PERSON_CENTS;
    let same = [
        ("venue", asked.venue_id == booking.venue_id),
        ("date", asked.date == booking.date),
        ("start time", asked.start_time == booking.start_time),
        ("party size", asked.party_size == booking.party_size),
        ("total", total_cents == booking.total_cents),
        ("conversation", asked.conversation_id == booking.conversation_id),
    ];
    same.iter().filter(|(_, same)| !same).map(|(field, _)| *field).collect::<Vec<_>>().join(", ")
}

/// Checks that no two dialogues got the same booking.
pub fn none_is_shared(played: &[Played], verdict: &mut Verdict) {
    let mut seen = HashSet::new();
    for booking_id in played.iter().filter_map(|played| played.booking_id.as_ref()) {
        if !seen.insert(booking_id) {
            verdict.bookings.shared += 1;
            verdict.differences.push(format!("booking {booking_id}: returned to more than one dialogue"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> CreateBookingRequest {
        CreateBookingRequest {
            venue_id: "venue".to_owned(),
            date: "2026-12-05".to_owned(),
            start_time: "18:00".to_owned(),
            party_size: 2,
            conversation_id: "chat".to_owned(),
            ..Default::default()
        }
    }

    fn made() -> Booking {
        let CreateBookingRequest { venue_id, date, start_time, party_size, conversation_id, .. } = asked();
        let total_cents = 2 * PRICE_PER_PERSON_CENTS;
        Booking { venue_id, date, start_time, party_size, conversation_id, total_cents, ..Default::default() }
    }

    #[test]
    fn a_booking_is_compared_field_by_field() {
        assert_eq!(compare(&asked(), Ok(made())).1, Vec::<String>::new());
        let later = Booking { start_time: "18:30".to_owned(), ..made() };
        let (counts, differences) = compare(&asked(), Ok(later));
        assert_eq!((counts.found, counts.different), (1, 1));
        assert!(differences[0].ends_with("other start time"), "{differences:?}");
    }

    #[test]
    fn a_booking_that_cannot_be_read_counts_as_missing() {
        assert_eq!(compare(&asked(), Err("was not made".to_owned())).0.missing, 1);
    }

    #[test]
    fn a_booking_returned_to_two_dialogues_is_found() {
        let played = || Played { booking_id: Some("one".to_owned()), failure: None };
        let mut verdict = Verdict::default();
        none_is_shared(&[played(), played()], &mut verdict);
        assert_eq!((verdict.bookings.shared, verdict.is_clean()), (1, false));
    }
}
