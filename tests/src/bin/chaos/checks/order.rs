//! Linearizability: the versions of a booking and the sequences of a conversation are an order of the calls that
//! agrees with real time, and the seats of a slot are never promised to two guests at once.

use std::{collections::HashMap, time::Duration};

use super::{Checked, Evidence, Findings};
use crate::ledger::{Answer, Entry, Outcome};

/// A call that saw this position of its subject.
pub struct Positioned<'a> {
    pub entry: &'a Entry,
    pub position: i64,
}

/// Calls that contradict real time: each began after another one had ended, and saw an earlier position.
pub fn contradictions<'a>(calls: &[Positioned<'a>]) -> Vec<(&'a Entry, i64, i64)> {
    let mut by_end: Vec<_> = calls.iter().collect();
    by_end.sort_by_key(|call| call.entry.ended);
    let mut by_begin: Vec<_> = calls.iter().collect();
    by_begin.sort_by_key(|call| call.entry.began);
    let (mut ended, mut newest, mut found) = (by_end.into_iter().peekable(), i64::MIN, Vec::new());
    for call in by_begin {
        while let Some(earlier) = ended.next_if(|earlier| earlier.entry.ended < call.entry.began) {
            newest = newest.max(earlier.position);
        }
        if call.position < newest {
            found.push((call.entry, call.position, newest));
        }
    }
    found
}

/// The version of a booking that a call returned. A recognised repetition may return the booking as it was.
fn version(entry: &Entry) -> Option<i64> {
    match &entry.outcome {
        Outcome::Acknowledged(Answer::Booking(seen)) if !seen.replayed => Some(seen.version),
        _ => None,
    }
}

/// Each booking's versions follow real time.
pub fn of_bookings(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "a booking's versions follow real time");
    let mut by_booking: HashMap<&str, Vec<Positioned<'_>>> = HashMap::new();
    for entry in evidence.entries {
        if let Some(position) = version(entry) {
            by_booking.entry(&entry.subject).or_default().push(Positioned { entry, position });
        }
    }
    for (booking_id, calls) in by_booking {
        let found = contradictions(&calls);
        findings.check(found.is_empty(), booking_id, || {
            let (entry, seen, newest) = found[0];
            format!("{} saw version {seen} of {booking_id} after version {newest} had been answered", entry.call)
        });
    }
    findings.done()
}

/// The time in which a guest surely has seats: from the answer to the booking until a call that may free them begins.
struct Sold<'a> {
    slot: &'a str,
    seats: i32,
    from: Duration,
    until: Duration,
}

/// At the venue without deposits, where only calls free seats.
pub fn no_seat_is_sold_twice(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "no seat is sold twice");
    let mut by_slot: HashMap<&str, Vec<(Duration, i32)>> = HashMap::new();
    for Sold { slot, seats, from, until } in sold(evidence.entries, &evidence.venues.firm) {
        let changes = by_slot.entry(slot).or_default();
        changes.extend([(from, seats), (until, -seats)]);
    }
    for (slot, mut changes) in by_slot {
        // Seats that are freed at a moment are free at it.
        changes.sort();
        let (mut taken, mut most, mut at) = (0, 0, Duration::ZERO);
        for (moment, seats) in changes {
            taken += seats;
            if taken > most {
                (most, at) = (taken, moment);
            }
        }
        findings.check(most <= evidence.venues.seats, slot, || {
            let (seats, at) = (evidence.venues.seats, at.as_secs_f64());
            format!("{most} of {seats} seats of {slot} were promised at {at:.3} s")
        });
    }
    findings.done()
}

fn sold<'a>(entries: &'a [Entry], venue_id: &str) -> Vec<Sold<'a>> {
    let mut first_change: HashMap<&str, Duration> = HashMap::new();
    for entry in entries {
        let changes = matches!(entry.call, "CancelBooking" | "RescheduleBooking");
        let did_nothing = matches!(entry.outcome, Outcome::Refused(_)) && entry.attempts == 1;
        if changes && !did_nothing {
            let began = first_change.entry(&entry.subject).or_insert(entry.began);
            *began = entry.began.min(*began);
        }
    }
    let created = entries.iter().filter(|entry| entry.call == "CreateBooking");
    let sold = created.filter_map(|entry| match &entry.outcome {
        Outcome::Acknowledged(Answer::Booking(seen)) if !seen.replayed && seen.slot.starts_with(venue_id) => {
            let until = first_change.get(&*entry.subject).copied().unwrap_or(Duration::MAX);
            let sold = Sold { slot: &seen.slot, seats: seen.party_size, from: entry.ended, until };
            (sold.from < until).then_some(sold)
        }
        _ => None,
    });
    sold.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Seen;

    fn entry(call: &'static str, subject: &str, began: u64, ended: u64) -> Entry {
        let seen =
            Seen { version: 1, status: "CONFIRMED".into(), slot: "firm d t".into(), party_size: 4, replayed: false };
        Entry {
            call,
            key: "".into(),
            subject: subject.into(),
            began: Duration::from_millis(began),
            ended: Duration::from_millis(ended),
            attempts: 1,
            outcome: Outcome::Acknowledged(Answer::Booking(seen)),
        }
    }

    #[test]
    fn only_calls_that_do_not_overlap_have_an_order() {
        let (first, second, third) = (entry("a", "", 0, 10), entry("b", "", 5, 20), entry("c", "", 21, 30));
        let positions = |one, two, three| {
            let calls = [(&first, one), (&second, two), (&third, three)];
            contradictions(&calls.map(|(entry, position)| Positioned { entry, position })).len()
        };
        assert_eq!(positions(1, 2, 3), 0);
        assert_eq!(positions(2, 1, 3), 0);
        assert_eq!(positions(1, 3, 2), 1);
        assert_eq!(positions(2, 1, 1), 1);
    }

    #[test]
    fn seats_are_sold_from_the_answer_until_a_call_may_free_them() {
        let entries = [
            entry("CreateBooking", "one", 0, 10),
            entry("CancelBooking", "one", 50, 60),
            entry("CreateBooking", "two", 70, 80),
        ];
        let sold = sold(&entries, "firm");
        let times: Vec<_> = sold.iter().map(|sold| (sold.from.as_millis(), sold.until)).collect();
        assert_eq!(times, [(10, Duration::from_millis(50)), (80, Duration::MAX)]);
    }
}
