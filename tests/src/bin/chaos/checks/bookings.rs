//! Bookings: nothing acknowledged is lost, a key has one booking, and every answer is a state that the booking had.

use std::collections::{HashMap, HashSet};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use secrecy::SecretString;
use sqlx::FromRow;
use teppan_shared::{
    contract::booking::v1::{Booking, BookingStatus, GetBookingRequest, ListBookingsRequest, WaitlistEntryStatus},
    wire::Timestamp,
};
use uuid::Uuid;

use super::{Checked, Evidence, Findings, rows};
use crate::{
    clients::{End, Patience, within},
    ledger::{Answer, Entry, Outcome, Seen},
};

/// Bookings that are read again through the API.
const READ_AGAIN: usize = 300;
const PAGE: i32 = 200;

/// A booking in the database.
#[derive(FromRow)]
pub struct Row {
    pub booking_id: String,
    pub conversation_id: String,
    pub status: String,
    pub slot: String,
    pub party_size: i32,
    pub version: i64,
    pub paid_cents: i64,
    pub refunded_cents: i64,
    pub is_offer: bool,
}

/// An event in the database, with what it says about the booking.
#[derive(FromRow)]
pub struct Event {
    booking_id: String,
    pub event_id: String,
    version: i64,
    status: Option<String>,
    party_size: Option<String>,
    start_time: Option<String>,
}

/// Everything about bookings in the database.
pub struct Stored {
    pub bookings: HashMap<String, Row>,
    /// In the order of their versions.
    pub events: HashMap<String, Vec<Event>>,
}

impl Stored {
    pub async fn read(booking: &SecretString) -> Self {
        let all: Vec<Row> = rows(
            booking,
            "SELECT booking_id::text AS booking_id, conversation_id, status, party_size, version, paid_cents,
                    refunded_cents, waitlist_entry_id IS NOT NULL AS is_offer,
                    format('%s %s %s', venue_id, slot_date, left(start_time::text, 5)) AS slot
             FROM bookings",
        )
        .await;
        let mut events: HashMap<String, Vec<Event>> = HashMap::new();
        let in_order: Vec<Event> = rows(
            booking,
            "SELECT booking_id::text AS booking_id, event_id::text AS event_id, version, data->>'status' AS status,
                    data->>'party_size' AS party_size, data->>'start_time' AS start_time
             FROM booking_events ORDER BY booking_id, version",
        )
        .await;
        for event in in_order {
            events.entry(event.booking_id.clone()).or_default().push(event);
        }
        Self { bookings: all.into_iter().map(|row| (row.booking_id.clone(), row)).collect(), events }
    }
}

fn answered(entry: &Entry) -> Option<&Seen> {
    match &entry.outcome {
        Outcome::Acknowledged(Answer::Booking(seen)) => Some(seen),
        _ => None,
    }
}

pub fn nothing_acknowledged_is_lost(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "nothing acknowledged is lost: bookings");
    for entry in evidence.entries {
        let Some(seen) = answered(entry) else { continue };
        let version = stored.bookings.get(&*entry.subject).map(|row| row.version);
        findings.check(version >= Some(seen.version), &entry.subject, || {
            let (call, subject, acknowledged) = (entry.call, &entry.subject, seen.version);
            format!("{call} was answered with version {acknowledged} of {subject}; stored is {version:?}")
        });
    }
    findings.done()
}

/// The key of a client's booking, which its conversation repeats.
fn key(row: &Row) -> String {
    let id = row.conversation_id.trim_start_matches("chat-");
    Uuid::parse_str(id).map(|id| id.to_string()).unwrap_or_default()
}

pub fn a_key_has_one_booking(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "a key has one booking");
    let created = || evidence.entries.iter().filter(|entry| entry.call == "CreateBooking");
    let (mut by_key, mut by_booking) = (HashMap::new(), HashMap::new());
    for entry in created().filter(|entry| answered(entry).is_some()) {
        let (key, booking) = (&*entry.key, &*entry.subject);
        let other = *by_key.entry(key).or_insert(booking);
        findings.check(other == booking, key, || format!("{key} got {other} and {booking}"));
        let other = *by_booking.entry(booking).or_insert(key);
        findings.check(other == key, booking, || format!("{booking} was made for {other} and for {key}"));
    }
    // A booking that no client reports may exist only if a client does not know the outcome of its call.
    let unknown: HashSet<&str> =
        created().filter(|entry| entry.outcome == Outcome::Unknown).map(|entry| &*entry.key).collect();
    let mut seen = HashSet::new();
    for row in stored.bookings.values().filter(|row| !row.is_offer) {
        let (id, key) = (&row.booking_id, key(row));
        findings.check(seen.insert(key.clone()), &key, || format!("{key} has more than one booking: {id}"));
        let known = by_key.get(&*key).is_some_and(|of_key| *of_key == id.as_str()) || unknown.contains(&*key);
        findings.check(known, &key, || format!("{id} is stored, and its request {key} was not answered with it"));
    }
    findings.done()
}

/// Each answer is the state of the booking after the event of that version.
pub fn answers_are_states_that_were(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "answers are states that were");
    for entry in evidence.entries {
        let Some(seen) = answered(entry).filter(|seen| !seen.replayed) else { continue };
        let events = stored.events.get(&*entry.subject);
        let event = events.and_then(|events| events.iter().find(|event| event.version == seen.version));
        findings.check(event.is_some_and(|event| agrees(event, seen)), &entry.subject, || {
            format!("{} of {} was answered with {seen:?}, which no event says", entry.call, entry.subject)
        });
    }
    findings.done()
}

/// An event need not name what it does not change.
fn agrees(event: &Event, seen: &Seen) -> bool {
    let status = event.status.as_deref().map(|status| status.trim_start_matches("BOOKING_STATUS_"));
    let party_size = event.party_size.as_ref().map(|size| size.parse());
    status.is_none_or(|status| status == &*seen.status)
        && party_size.is_none_or(|size| size == Ok(seen.party_size))
        && event.start_time.as_deref().is_none_or(|time| seen.slot.ends_with(time))
}

/// A sample of all bookings reads the same through the API.
pub async fn the_api_agrees(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "the API reads what is stored");
    let all: Vec<_> = stored.bookings.values().collect();
    let mut rng = StdRng::seed_from_u64(0);
    for _ in 0..READ_AGAIN.min(all.len()) {
        let row = all[rng.random_range(0..all.len())];
        let request = GetBookingRequest { booking_id: row.booking_id.clone(), ..Default::default() };
        let reader = evidence.reader;
        let read = reader.call("GetBooking", Patience::UntilAnswered, async |replica, deadline| {
            reader.bookings[replica].bookings.clone().get_booking(within(deadline, request.clone())).await
        });
        let End::Answered(answer) = read.await.1 else {
            findings.check(false, &row.booking_id, || format!("{} cannot be read", row.booking_id));
            continue;
        };
        let booking = answer.booking.unwrap_or_default();
        let seen = crate::clients::guest::seen(&booking);
        let same = (seen.version, &*seen.status, &*seen.slot, seen.party_size, booking.paid_cents)
            == (row.version, &row.status, &row.slot, row.party_size, row.paid_cents);
        findings.check(same, &row.booking_id, || format!("{} is read as {seen:?}", row.booking_id));
    }
    findings.done()
}

/// No table is given to two parties at the same time.
pub async fn no_table_is_sold_twice(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "no table is sold twice");
    let mut by_table: HashMap<String, Vec<Booking>> = HashMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListBookingsRequest {
            venue_id: evidence.venues.tables.clone(),
            page_size: PAGE,
            page_token: page_token.clone(),
            ..Default::default()
        };
        let reader = evidence.reader;
        let read = reader.call("ListBookings", Patience::UntilAnswered, async |replica, deadline| {
            reader.bookings[replica].bookings.clone().list_bookings(within(deadline, request.clone())).await
        });
        let End::Answered(answer) = read.await.1 else {
            findings.check(false, "ListBookings", || "ListBookings was not answered after the faults".to_owned());
            break;
        };
        for booking in answer.bookings.into_iter().filter(is_live) {
            for table in &booking.tables {
                by_table.entry(table.clone()).or_default().push(booking.clone());
            }
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let seconds = |time: Option<Timestamp>| time.map(|time| time.seconds).unwrap_or_default();
    for (table, mut parties) in by_table {
        parties.sort_by_key(|booking| seconds(booking.starts_at));
        let mut before: Option<&Booking> = None;
        for party in &parties {
            let is_free = before.is_none_or(|it| seconds(it.occupied_until) <= seconds(party.starts_at));
            findings.check(is_free, &party.booking_id, || {
                let other = before.map(|it| it.booking_id.as_str()).unwrap_or_default();
                format!("{table} is given to {other} and to {}", party.booking_id)
            });
            before = Some(party);
        }
    }
    findings.done()
}

fn is_live(booking: &Booking) -> bool {
    matches!(booking.status(), BookingStatus::Pending | BookingStatus::Confirmed)
}

/// Every acknowledged entry of the waitlist is stored, and one that left has no live booking.
pub async fn entries_of_the_waitlist(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "nothing acknowledged is lost: waitlist");
    let all: Vec<(String, String)> =
        rows(&evidence.world.booking, "SELECT waitlist_entry_id::text, status FROM waitlist_entries").await;
    let statuses: HashMap<_, _> = all.into_iter().collect();
    for entry in evidence.entries {
        let acknowledged = matches!(entry.outcome, Outcome::Acknowledged(_));
        let status = statuses.get(&*entry.subject).map(String::as_str);
        match entry.call {
            "JoinWaitlist" if acknowledged => findings
                .check(status.is_some(), &entry.subject, || format!("{} joined and is not stored", entry.subject)),
            "LeaveWaitlist" if acknowledged => {
                let left = WaitlistEntryStatus::Left.as_str_name();
                let answered = matches!(&entry.outcome, Outcome::Acknowledged(Answer::Status(it)) if **it == *left);
                findings.check(!answered || status == Some("LEFT"), &entry.subject, || {
                    format!("{} left and is {status:?}", entry.subject)
                });
            }
            _ => {}
        }
    }
    let asked = evidence.entries.iter().filter(|entry| entry.call == "JoinWaitlist").count();
    let stored = statuses.len();
    findings.check(stored <= asked, "", || format!("{stored} entries for {asked} requests"));
    findings.done()
}
