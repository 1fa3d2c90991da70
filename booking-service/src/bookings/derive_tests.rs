use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::{BookingStatus, CancellationInitiator};

const BOOKING: Uuid = Uuid::from_u128(7);
const VENUE: Uuid = Uuid::from_u128(8);
const PAYMENT: Uuid = Uuid::from_u128(11);

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

/// The events of a pending booking of two guests for 40.00, with a deposit of 10.00.
struct Chain(Vec<StoredEvent>);

impl Chain {
    fn new() -> Self {
        Self(Vec::new()).then(
            "booking.created",
            "PENDING",
            &json!({
                "customer_id": Uuid::from_u128(9), "conversation_id": "chat-1", "confirmation_code": "K7MX2QPD",
                "starts_at": at(5000), "ends_at": at(5120), "party_size": 2, "price_per_person_cents": 2000,
                "total_cents": 4000, "deposit_cents": 1000, "currency": "EUR", "hold_expires_at": at(120),
            }),
        )
    }

    /// Appends an event, a minute after the last one.
    fn then(self, kind: &str, status: &str, says: &Value) -> Self {
        let version = i64::try_from(self.0.len()).expect("few") + 1;
        let mut data = json!({
            "booking_id": BOOKING, "venue_id": VENUE, "date": "2026-12-05", "start_time": "18:00",
            "booking_version": version, "status": format!("BOOKING_STATUS_{status}"), "occurred_at": at(version),
        });
        for (name, value) in says.as_object().expect("an object") {
            data[name] = value.clone();
        }
        self.append(format!("teppan.{kind}.v1"), data.to_string())
    }

    fn append(mut self, kind: String, data: String) -> Self {
        let version = i64::try_from(self.0.len()).expect("few") + 1;
        let previous_hash = self.0.last().map(|event| event.hash.clone()).unwrap_or_default();
        let mut event = StoredEvent {
            event_id: Uuid::from_u128(version.cast_unsigned().into()),
            booking_id: BOOKING,
            version,
            kind,
            occurred_at: at(version),
            data,
            previous_hash,
            hash: Vec::new(),
        };
        event.hash = event.computed_hash().to_vec();
        self.0.push(event);
        self
    }

    fn confirmed(self) -> Self {
        let says = json!({ "cause": "CONFIRMATION_CAUSE_REQUESTED", "seats_retaken": false, "party_size": 2 });
        self.then("booking.confirmed", "CONFIRMED", &says)
    }

    fn paid(self, status: &str, amount: i64, paid: i64) -> Self {
        let says = json!({
            "payment_id": PAYMENT, "amount_cents": amount, "paid_cents": paid, "refunded_cents": 0,
            "refund_due_cents": if status == "EXPIRED" { paid - amount } else { 0 },
            "hold_expires_at": (status == "PENDING").then(|| at(120)),
        });
        self.then("payment.recorded", status, &says)
    }

    fn sound(self) -> Booking {
        let derived = derive(&self.0);
        assert_eq!(derived.faults, []);
        derived.booking.expect("a booking")
    }

    fn faults(self) -> Vec<(i64, EventFaultKind, Vec<String>)> {
        derive(&self.0).faults.into_iter().map(|fault| (fault.version, fault.kind, fault.fields)).collect()
    }
}

#[test]
fn a_booking_is_derived_from_its_events() {
    let made = Chain::new().sound();
    assert_eq!((made.status, made.version, made.hold_expires_at), (BookingStatus::Pending, 1, Some(at(120))));
    assert_eq!((made.created_at, made.confirmed_at), (at(1), None));

    let moved = json!({
        "date": "2026-12-06", "start_time": "19:30", "previous_date": "2026-12-05", "previous_start_time": "18:00",
        "previous_party_size": 2, "starts_at": at(6000), "ends_at": at(6120), "party_size": 1,
        "price_per_person_cents": 500, "total_cents": 500, "deposit_cents": 125, "refund_due_cents": 500,
        "currency": "EUR", "hold_expires_at": null,
    });
    let cancelled = json!({
        "date": "2026-12-06", "start_time": "19:30", "cancelled_by": "CANCELLATION_INITIATOR_VENUE",
        "paid_cents": 1000, "refund_due_cents": 1000, "party_size": 1,
    });
    let given_back = json!({
        "date": "2026-12-06", "start_time": "19:30", "amount_cents": 400, "paid_cents": 600, "refunded_cents": 400,
        "refund_due_cents": 600,
    });
    let chain = Chain::new().paid("PENDING", 1000, 1000).confirmed().then("booking.rescheduled", "CONFIRMED", &moved);
    let booking = chain
        .then("booking.cancelled", "CANCELLED", &cancelled)
        .then("payment.refunded", "CANCELLED", &given_back)
        .sound();
    assert_eq!((booking.status, booking.version, booking.party_size), (BookingStatus::Cancelled, 6, 1));
    assert_eq!((booking.slot_date.to_string().as_str(), booking.total_cents), ("2026-12-06", 500));
    assert_eq!((booking.paid_cents, booking.refunded_cents, booking.refund_due_cents), (600, 400, 600));
    assert_eq!((booking.confirmed_at, booking.cancelled_at), (Some(at(3)), Some(at(5))));
    assert_eq!((booking.cancelled_by, booking.hold_expires_at), (Some(CancellationInitiator::Venue), None));
    assert_eq!((booking.created_at, booking.updated_at), (at(1), at(6)));
}

#[test]
fn a_late_deposit_takes_the_seats_of_an_expired_booking_again() {
    let ran_out = json!({ "hold_expired_at": at(120), "paid_cents": 400, "refund_due_cents": 400, "party_size": 2 });
    let expired = || Chain::new().paid("PENDING", 400, 400).then("booking.expired", "EXPIRED", &ran_out);
    let again = json!({ "cause": "CONFIRMATION_CAUSE_DEPOSIT_PAID", "seats_retaken": true });
    let booking = expired().paid("EXPIRED", 600, 1000).then("booking.confirmed", "CONFIRMED", &again).sound();
    assert_eq!((booking.status, booking.confirmed_at), (BookingStatus::Confirmed, Some(at(5))));
    assert_eq!((booking.paid_cents, booking.refund_due_cents), (1000, 0));

    assert_eq!(expired().confirmed().faults(), [(4, EventFaultKind::IllegalTransition, vec![])]);
}

#[test]
fn disputed_money_does_not_count_as_paid_until_the_dispute_is_won() {
    let figures = |amount: i64, paid: i64, refunded: i64, due: i64| {
        json!({ "payment_id": PAYMENT, "amount_cents": amount, "paid_cents": paid, "refunded_cents": refunded,
                "refund_due_cents": due, "hold_expires_at": at(120) })
    };
    let required = json!({ "amount_cents": 1000, "refund_due_cents": 1000 });
    let owed = || Chain::new().paid("PENDING", 1000, 1000).then("payment.refund_required", "PENDING", &required);
    let given = owed().then("payment.refunded", "PENDING", &figures(300, 700, 300, 700));
    let disputed = given.then("payment.failed", "PENDING", &figures(700, 0, 300, 0));
    let won = disputed.then("payment.recorded", "PENDING", &figures(700, 700, 300, 0));
    let failed = won.then("payment.recorded", "PENDING", &figures(300, 1000, 0, 0));
    let booking = failed.sound();
    assert_eq!((booking.paid_cents, booking.refunded_cents, booking.refund_due_cents), (1000, 0, 0));

    let incomplete = Chain::new().then("payment.failed", "PENDING", &json!({ "amount_cents": 700, "paid_cents": 0 }));
    assert_eq!(incomplete.faults(), [(2, EventFaultKind::Unreadable, vec![])]);
}

#[test]
fn a_payment_that_is_being_processed_extends_the_hold_until_it_succeeds_or_fails() {
    let figures = |hold: DateTime<Utc>| {
        json!({ "payment_id": PAYMENT, "amount_cents": 1000, "paid_cents": 0, "refunded_cents": 0,
                "refund_due_cents": 0, "hold_expires_at": hold })
    };
    let processed = || Chain::new().then("payment.processing", "PENDING", &figures(at(4000)));
    assert_eq!(processed().sound().hold_expires_at, Some(at(4000)));
    let failed = processed().then("payment.failed", "PENDING", &figures(at(120)));
    assert_eq!(failed.sound().hold_expires_at, Some(at(120)));
}

#[test]
fn events_that_cannot_have_happened_are_reported() {
    use EventFaultKind as Kind;
    let twice = Chain::new().confirmed().confirmed();
    assert_eq!(twice.faults(), [(3, Kind::IllegalTransition, vec![])]);
    let never_made = Chain(Vec::new()).confirmed();
    assert_eq!(never_made.faults(), [(1, Kind::IllegalTransition, vec![])]);
    let elsewhere = Chain::new().then("booking.no_show", "PENDING", &json!({}));
    assert_eq!(elsewhere.faults(), [(2, Kind::IllegalTransition, vec![])]);
    let unknown = Chain::new().then("booking.sold", "PENDING", &json!({}));
    assert_eq!(unknown.faults(), [(2, Kind::Unreadable, vec![])]);
    let broken = Chain::new().append("teppan.booking.confirmed.v1".to_owned(), "{}".to_owned());
    assert_eq!(broken.faults(), [(2, Kind::Unreadable, vec![])]);
}

#[test]
fn contradictory_and_impossible_figures_are_reported() {
    use EventFaultKind as Kind;
    let says = json!({ "status": "BOOKING_STATUS_PENDING", "party_size": 3, "date": "2026-12-07" });
    let other = Chain::new().then("booking.confirmed", "CONFIRMED", &says);
    assert_eq!(
        other.faults(),
        [(2, Kind::Contradiction, ["date", "party_size", "status"].map(str::to_owned).to_vec())]
    );
    let too_much = Chain::new().paid("PENDING", 1000, 1500);
    assert_eq!(too_much.faults(), [(2, Kind::Contradiction, vec!["amount_cents".to_owned()])]);
    let required = json!({ "amount_cents": 1, "refund_due_cents": 1 });
    let unpaid = Chain::new().then("payment.refund_required", "PENDING", &required);
    assert_eq!(unpaid.faults(), [(2, Kind::ImpossibleFigure, vec!["refund_due_cents".to_owned()])]);
    let ran_out = json!({ "hold_expired_at": at(1), "paid_cents": 0, "refund_due_cents": 0 });
    let early = Chain::new().then("booking.expired", "EXPIRED", &ran_out);
    assert_eq!(early.faults(), [(2, Kind::Contradiction, vec!["hold_expired_at".to_owned()])]);
}

#[test]
fn altered_and_removed_events_are_detected() {
    use EventFaultKind as Kind;
    let chain = || Chain::new().paid("PENDING", 100, 100).confirmed().0;
    let mut altered = chain();
    altered[1].data = altered[1].data.replace("\"amount_cents\":100", "\"amount_cents\":100 ");
    assert_eq!(Chain(altered.clone()).faults(), [(2, Kind::HashMismatch, vec![])]);
    // A new hash for the altered event breaks the link of the next event.
    altered[1].hash = altered[1].computed_hash().to_vec();
    assert_eq!(Chain(altered).faults(), [(3, Kind::LinkBroken, vec![])]);

    let mut dropped = chain();
    dropped.remove(1);
    assert_eq!(Chain(dropped).faults()[..2], [(3, Kind::VersionGap, vec![]), (3, Kind::LinkBroken, vec![])]);

    let mut later = chain();
    later[2].occurred_at += TimeDelta::microseconds(1);
    assert_eq!(Chain(later).faults()[0], (3, Kind::HashMismatch, vec![]));
}

#[test]
fn a_booking_is_written_as_json_that_postgresql_reads() {
    let row = serde_json::to_value(Chain::new().sound()).expect("JSON");
    assert_eq!(
        (&row["status"], &row["start_time"], &row["cancelled_by"]),
        (&json!("PENDING"), &json!("18:00:00"), &Value::Null)
    );
    assert!(row["event_hash"].as_str().is_some_and(|hash| hash.starts_with("\\x") && hash.len() == 66));
}

#[test]
fn every_column_that_events_determine_is_repaired() {
    let statement = include_str!("../verification/swap_booking.sql");
    let columns = serde_json::to_value(Chain::new().sound()).expect("JSON");
    for column in columns.as_object().expect("an object").keys() {
        // The statement selects the booking by these, and checks with the hash that it has no new event.
        let is_selector = ["booking_id", "event_hash"].contains(&column.as_str());
        let is_not_of_events = ["details_sealed", "erased_at", "source", "time_zone"].contains(&column.as_str());
        assert!(is_selector || is_not_of_events || statement.contains(&format!("{column} = r.{column}")), "{column}");
    }
}
