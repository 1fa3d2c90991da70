//! Operators list, retry and discard Stripe events that could not be applied.

use serde_json::{Value, json};
use teppan_shared::contract::booking::v1::{
    DeadLetter, DeadLetterSelection, DiscardDeadLettersRequest, GetOutboxStatusRequest, ListDeadLettersRequest,
    OutboxDestination, OutboxDestinationStatus, RetryDeadLettersRequest,
};
use teppan_tests::{
    harness::{self, eventually},
    stripe::{self, Intent},
};

use super::{StripeFixture, deposit, sums};
use crate::outbox::dead_letters::command;

async fn list(fixture: &StripeFixture, request: ListDeadLettersRequest) -> Vec<DeadLetter> {
    let page = fixture.service.clients.outbox.clone().list_dead_letters(request).await;
    page.expect("listed").into_inner().dead_letters
}

async fn all(fixture: &StripeFixture) -> Vec<DeadLetter> {
    list(fixture, ListDeadLettersRequest::default()).await
}

async fn stripe_status(fixture: &StripeFixture) -> OutboxDestinationStatus {
    let status = fixture.service.clients.outbox.clone().get_outbox_status(GetOutboxStatusRequest {}).await;
    let mut destinations = status.expect("read").into_inner().destinations;
    destinations.retain(|it| it.destination() == OutboxDestination::Stripe);
    destinations.pop().expect("Stripe is in use")
}

async fn retry(fixture: &StripeFixture, selection: DeadLetterSelection) -> (i64, i64) {
    let request = RetryDeadLettersRequest { selection: Some(selection) };
    let done = fixture.service.clients.outbox.clone().retry_dead_letters(request).await.expect("retried").into_inner();
    (done.retried, done.remaining)
}

fn by_id(dead: &DeadLetter) -> DeadLetterSelection {
    DeadLetterSelection { dead_letter_ids: vec![dead.dead_letter_id.clone()], ..Default::default() }
}

/// An event with another currency than its booking.
fn foreign(intent: Intent) -> Value {
    Intent { currency: "usd".to_owned(), ..intent }.succeeded()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_event_is_applied_by_a_retry_after_its_cause_is_resolved() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    assert_eq!(stripe_status(&fixture).await.dead_letter_count, 0);
    let event = foreign(deposit(&made));
    fixture.send_and_wait(&event).await;

    let dead = all(&fixture).await;
    assert_eq!(dead.len(), 1);
    let dead = &dead[0];
    assert_eq!(
        (dead.destination(), dead.event_id.as_str()),
        (OutboxDestination::Stripe, event["id"].as_str().unwrap())
    );
    assert_eq!((dead.event_type.as_str(), &dead.booking_id), ("payment_intent.succeeded", &made.booking_id));
    assert_eq!((dead.last_error_reason.as_str(), dead.attempts), ("CURRENCY_MISMATCH", 1));
    assert!(dead.created_at.is_some() && dead.dead_at.is_some());
    let status = stripe_status(&fixture).await;
    assert_eq!((status.pending_count, status.leased_count, status.dead_letter_count), (0, 0, 1));

    // A retry without a resolved cause makes another dead letter.
    assert_eq!(retry(&fixture, by_id(dead)).await, (1, 0));
    eventually("the event is a dead letter again", async || all(&fixture).await.len() == 1).await;
    assert_eq!(retry(&fixture, by_id(dead)).await, (0, 0), "the old id is unknown");
    let again = all(&fixture).await.remove(0);
    assert_ne!(again.dead_letter_id, dead.dead_letter_id);
    assert_eq!((&again.event_id, again.attempts), (&dead.event_id, 1));

    fixture.sql("UPDATE bookings SET currency = 'USD'").await;
    let everything = DeadLetterSelection { all: true, ..Default::default() };
    assert_eq!(retry(&fixture, everything).await, (1, 0));
    eventually("the event is applied", async || sums(&fixture.read(&made.booking_id).await) == (3500, 0, 0)).await;
    assert!(all(&fixture).await.is_empty());
    let status = stripe_status(&fixture).await;
    assert!(status.dead_letter_count == 0 && status.last_delivered_at.is_some(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_stripe_event_stays_stored_and_is_never_applied() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let event = foreign(deposit(&made));
    fixture.send_and_wait(&event).await;
    let discard = DiscardDeadLettersRequest { selection: Some(by_id(&all(&fixture).await[0])) };
    let done =
        fixture.service.clients.outbox.clone().discard_dead_letters(discard).await.expect("discarded").into_inner();
    assert_eq!((done.discarded, done.remaining), (1, 0));
    let id = event["id"].as_str().expect("an id");
    let discarded = ("DONE".to_owned(), 1, "DISCARDED".to_owned());
    assert_eq!(fixture.event_state(id).await, discarded);
    fixture.sql("UPDATE bookings SET currency = 'USD'").await;
    fixture.send_event(&event).await;
    assert_eq!(fixture.event_state(id).await, discarded);
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_stripe_event_stays_a_dead_letter_until_it_is_discarded() {
    let fixture = StripeFixture::with_seats(10).await;
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    fixture.send_and_wait(&unreadable).await;
    let dead = all(&fixture).await.remove(0);
    assert_eq!((dead.last_error_reason.as_str(), dead.booking_id.as_str()), ("UNREADABLE", ""));
    assert_eq!(retry(&fixture, by_id(&dead)).await, (1, 0));
    let again = all(&fixture).await.remove(0);
    assert_ne!(again.dead_letter_id, dead.dead_letter_id);
    assert_eq!(again.last_error_reason, "UNREADABLE");
    let printed = command(&fixture.service, &["discard", &again.dead_letter_id]).await;
    assert_eq!(printed, "1 dead letters were discarded.\n");
    assert!(all(&fixture).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_and_the_filters_find_dead_letters_of_stripe() {
    let fixture = StripeFixture::with_seats(20).await;
    let (first, second) = (fixture.pending_party_of_four().await, fixture.pending_party_of_four().await);
    fixture.send_and_wait(&foreign(deposit(&first))).await;
    fixture.send_and_wait(&foreign(deposit(&second))).await;
    let of_one = ListDeadLettersRequest { booking_id: second.booking_id.clone(), ..Default::default() };
    assert_eq!(list(&fixture, of_one).await, all(&fixture).await[1..]);
    let of_stripe = ListDeadLettersRequest {
        destination: OutboxDestination::Stripe.into(),
        event_type: "payment_intent.succeeded".to_owned(),
        ..Default::default()
    };
    assert_eq!(list(&fixture, of_stripe).await.len(), 2);
    let elsewhere = ListDeadLettersRequest { destination: OutboxDestination::EventStream.into(), ..Default::default() };
    assert!(list(&fixture, elsewhere).await.is_empty());

    let table = command(&fixture.service, &["list", "--destination", "stripe"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let json = command(&fixture.service, &["list", "--output", "json", "--booking", &first.booking_id]).await;
    let shown: Value = serde_json::from_str(json.trim()).expect("one line of JSON");
    assert_eq!((&shown["destination"], &shown["last_error_reason"]), (&json!("stripe"), &json!("CURRENCY_MISMATCH")));
    let nowhere = command(&fixture.service, &["discard", "--all", "--destination", "conversation-service"]).await;
    assert_eq!(nowhere, "0 dead letters were discarded.\n");
    let printed = command(&fixture.service, &["discard", "--all", "--booking", &first.booking_id]).await;
    assert_eq!(printed, "1 dead letters were discarded.\n");
    fixture.sql("UPDATE bookings SET currency = 'USD'").await;
    let printed = command(&fixture.service, &["retry", "--all", "--destination", "stripe"]).await;
    assert_eq!(printed, "1 dead letters were put back into delivery.\n");
    eventually("the event is applied", async || sums(&fixture.read(&second.booking_id).await) == (3500, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dead_letters_of_both_kinds_are_settled_in_one_call() {
    let fixture = StripeFixture::with_seats(10).await;
    fixture.pending_party_of_four().await;
    let many = "
        INSERT INTO stripe_events (event_id, type, created_at, received_at, effect, state, reason, next_attempt_at, settled_at,
                                   dead_letter_id)
        SELECT 'evt_' || n, 'payment_intent.succeeded', now(), now(), 'SUCCEEDED', 'SET_ASIDE', 'X', now(), now(), gen_random_uuid()
        FROM generate_series(1, 1500) AS n;
        INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at, claims, attempts,
                                     dead_at, dead_letter_id)
        SELECT event_id, 'conversation-service', booking_id, version, now(), now(), 1, 1, now(), gen_random_uuid()
        FROM booking_events";
    harness::execute(&fixture.service.url, many).await;
    let mut operator = fixture.service.clients.outbox.clone();
    let everything = DeadLetterSelection { all: true, ..Default::default() };
    let mut discard = async || {
        let request = DiscardDeadLettersRequest { selection: Some(everything.clone()) };
        let done = operator.discard_dead_letters(request).await.expect("discarded").into_inner();
        (done.discarded, done.remaining)
    };
    assert_eq!(discard().await, (1000, 501));
    assert_eq!(discard().await, (501, 0));
    let left = "SELECT count(*) FROM dead_letters";
    assert_eq!(fixture.service.scalar::<i64>(left).await, 0);
}
