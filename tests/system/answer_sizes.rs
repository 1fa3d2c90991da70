//! No answer approaches 4 MiB, which is what gRPC clients accept by default. Lists of large texts end a page early.
//! For every other list, a page of the largest possible entries is small enough.

use prost::Message;
use teppan_shared::contract::{
    booking::v1::{
        Booking, DeadLetter, Payment, ScheduleException, SchedulePeriod, SlotAvailability, SlotCheck, SlotQuery, Venue,
        WaitlistEntry,
    },
    conversation::v1::{Conversation, Emotion, EmotionHistoryEntry, EmotionLabelCount},
};
use teppan_shared::wire::Timestamp;

/// Half of the clients' default limit.
const BYTES_MAX: usize = 2 << 20;

fn chars(count: usize) -> String {
    "𠮷".repeat(count)
}

fn id() -> String {
    "0".repeat(36)
}

fn zone() -> String {
    "America/Argentina/ComodRivadavia".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "messages have optional times")]
fn time() -> Option<Timestamp> {
    Some(Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 })
}

/// The largest booking, without special requests: a page has a limit of its own for those.
fn booking() -> Booking {
    Booking {
        booking_id: id(),
        confirmation_code: "C".repeat(12),
        status: 6,
        venue_id: id(),
        date: "2026-12-05".to_owned(),
        start_time: "18:00".to_owned(),
        time_zone: zone(),
        starts_at: time(),
        ends_at: time(),
        party_size: i32::MAX,
        total_cents: i64::MAX,
        deposit_cents: i64::MAX,
        deposit_due_cents: i64::MAX,
        paid_cents: i64::MAX,
        currency: "EUR".to_owned(),
        hold_expires_at: time(),
        etag: "e".repeat(64),
        created_at: time(),
        updated_at: time(),
        customer_id: id(),
        conversation_id: "c".repeat(200),
        source: chars(50),
        price_per_person_cents: i64::MAX,
        refunded_cents: i64::MAX,
        refund_due_cents: i64::MAX,
        version: i64::MAX,
        confirmed_at: time(),
        cancelled_at: time(),
        cancelled_by: 2,
        waitlist_entry_id: id(),
        ..Default::default()
    }
}

fn venue() -> Venue {
    Venue {
        venue_id: id(),
        name: chars(200),
        time_zone: zone(),
        currency: "EUR".to_owned(),
        etag: "e".repeat(64),
        created_at: time(),
        updated_at: time(),
        ..Default::default()
    }
}

fn slot() -> SlotAvailability {
    SlotAvailability {
        date: "2026-12-05".to_owned(),
        start_time: "18:00".to_owned(),
        starts_at: time(),
        ends_at: time(),
        capacity: i32::MAX,
        open_seats: i32::MAX,
        price_per_person_cents: i64::MAX,
        bookable: true,
        unavailable_reason: 9,
        areas: Vec::new(),
    }
}

fn waitlist_entry() -> WaitlistEntry {
    WaitlistEntry {
        waitlist_entry_id: id(),
        venue_id: id(),
        date: "2026-12-05".to_owned(),
        start_time: "18:00".to_owned(),
        starts_at: time(),
        time_zone: zone(),
        customer_id: id(),
        conversation_id: "c".repeat(200),
        booking_id: id(),
        offer_expires_at: time(),
        created_at: time(),
        updated_at: time(),
        ..Default::default()
    }
}

fn payment() -> Payment {
    Payment {
        payment_id: id(),
        booking_id: id(),
        amount_cents: i64::MAX,
        currency: "EUR".to_owned(),
        external_reference: "r".repeat(255),
        occurred_at: time(),
        created_at: time(),
        updated_at: time(),
        ..Default::default()
    }
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        dead_letter_id: id(),
        event_id: id(),
        event_type: "t".repeat(100),
        booking_id: id(),
        last_error_reason: "R".repeat(100),
        created_at: time(),
        dead_at: time(),
        traceparent: "p".repeat(55),
        ..Default::default()
    }
}

fn conversation() -> Conversation {
    Conversation {
        conversation_id: "c".repeat(200),
        user_id: chars(100),
        message_count: i64::MAX,
        last_message_at: time(),
        created_at: time(),
        updated_at: time(),
        closed_at: time(),
        ..Default::default()
    }
}

fn emotion() -> EmotionHistoryEntry {
    let emotion = Emotion { score: Some(0.1), label: chars(20), detected: vec![chars(20); 10] };
    EmotionHistoryEntry { message_id: id(), sequence: i64::MAX, role: 4, emotion: Some(emotion), sent_at: time() }
}

/// Encoded size of `count` such entries, each with its tag and length.
fn page(entry: &impl Message, count: usize) -> usize {
    (entry.encoded_len() + 4) * count
}

#[test]
fn a_page_of_the_largest_entries_takes_at_most_half_of_the_clients_limit() {
    let periods = SchedulePeriod {
        days: (1..=7).collect(),
        first_start: "18:00".to_owned(),
        last_start: "22:00".to_owned(),
        price_per_person_cents: i64::MAX,
        capacity: i32::MAX,
        ..Default::default()
    };
    let exceptions = ScheduleException {
        date: "2026-12-05".to_owned(),
        closed: true,
        capacity: Some(i32::MAX),
        price_per_person_cents: Some(i64::MAX),
    };
    let query = SlotQuery {
        venue_id: id(),
        date: "2026-12-05".to_owned(),
        start_time: "18:00".to_owned(),
        party_size: i32::MAX,
    };
    let check = SlotCheck {
        query: Some(query),
        availability: Some(slot()),
        total_cents: i64::MAX,
        deposit_cents: i64::MAX,
        currency: "EUR".to_owned(),
    };
    let labels = EmotionLabelCount { label: chars(20), count: i64::MAX };
    let answers = [
        // A page has at most 1 MiB of special requests.
        ("ListBookings", page(&booking(), 1000) + (1 << 20)),
        ("ListVenues", page(&venue(), 1000)),
        ("GetVenue", page(&venue(), 1) + page(&periods, 100) + page(&exceptions, 1000)),
        ("ListAvailability", page(&slot(), 2000)),
        ("BatchCheckAvailability", page(&check, 500)),
        ("ListWaitlist", page(&waitlist_entry(), 1000)),
        ("ListPayments", page(&payment(), 1000)),
        ("ListDeadLetters", page(&dead_letter(), 1000)),
        ("GetConversation", page(&conversation(), 1) + page(&labels, 100)),
        ("ListConversations", page(&conversation(), 1000)),
        ("GetEmotionHistory", page(&emotion(), 1000) + page(&labels, 100)),
    ];
    for (call, bytes) in answers {
        println!("{call}: {bytes} bytes at most");
        assert!(bytes <= BYTES_MAX, "{call}: {bytes} bytes");
    }
}
