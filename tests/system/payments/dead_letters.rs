//! Operators list, retry and discard events of Stripe's that could not be applied.

use serde_json::{Value, json};
use teppan_shared::contract::booking::v1::{
    DeadLetter, DeadLetterSelection, DiscardDeadLettersRequest, GetOutboxStatusRequest, ListDeadLettersRequest,
    OutboxDestination, OutboxDestinationStatus, RetryDeadLettersRequest,
};
use teppan_tests::{
    harness::{self, eventually},
    stripe::{self, Intent},
};

use super::{Till, deposit, sums};
use crate::outbox::dead_letters::command;

async fn list(till: &Till, request: ListDeadLettersRequest) -> Vec<DeadLetter> {
    let page = till.service.clients.outbox.clone().list_dead_letters(request).await;
    page.expect("listed").into_inner().dead_letters
}

async fn all(till: &Till) -> Vec<DeadLetter> {
    list(till, ListDeadLettersRequest::default()).await
}

async fn stripe_status(till: &Till) -> OutboxDestinationStatus {
    let status = till.service.clients.outbox.clone().get_outbox_status(GetOutboxStatusRequest {}).await;
    let mut destinations = status.expect("read").into_inner().destinations;
    destinations.retain(|it| it.destination() == OutboxDestination::Stripe);
    destinations.pop().expect("Stripe is in use")
}

async fn retry(till: &Till, selection: DeadLetterSelection) -> (i64, i64) {
    let request = RetryDeadLettersRequest { selection: Some(selection) };
    let done = till.service.clients.outbox.clone().retry_dead_letters(request).await.expect("retried").into_inner();
    (done.retried, done.remaining)
}

fn by_id(dead: &DeadLetter) -> DeadLetterSelection {
    DeadLetterSelection { dead_letter_ids: vec![dead.dead_letter_id.clone()], ..Default::default() }
}

/// An event in another currency than its booking.
fn foreign(intent: Intent) -> Value {
    Intent { currency: "usd".to_owned(), ..intent }.succeeded()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_stripes_is_retried_after_its_cause_is_resolved() {
    let till = Till::open(10).await;
    let made = till.four().await;
    assert_eq!(stripe_status(&till).await.dead_letter_count, 0);
    let event = foreign(deposit(&made));
    till.told(&event).await;

    let dead = all(&till).await;
    assert_eq!(dead.len(), 1);
    let dead = &dead[0];
    assert_eq!(
        (dead.destination(), dead.event_id.as_str()),
        (OutboxDestination::Stripe, event["id"].as_str().unwrap())
    );
    assert_eq!((dead.event_type.as_str(), &dead.booking_id), ("payment_intent.succeeded", &made.booking_id));
    assert_eq!((dead.last_error_reason.as_str(), dead.attempts), ("CURRENCY_MISMATCH", 1));
    assert!(dead.created_at.is_some() && dead.dead_at.is_some());
    let status = stripe_status(&till).await;
    assert_eq!((status.pending_count, status.leased_count, status.dead_letter_count), (0, 0, 1));

    // Without its cause resolved it becomes another dead letter.
    assert_eq!(retry(&till, by_id(dead)).await, (1, 0));
    eventually("it is dead again", async || all(&till).await.len() == 1).await;
    assert_eq!(retry(&till, by_id(dead)).await, (0, 0), "the old id is unknown");
    let again = all(&till).await.remove(0);
    assert_ne!(again.dead_letter_id, dead.dead_letter_id);
    assert_eq!((&again.event_id, again.attempts), (&dead.event_id, 1));

    till.sql("UPDATE bookings SET currency = 'USD'").await;
    let everything = DeadLetterSelection { all: true, ..Default::default() };
    assert_eq!(retry(&till, everything).await, (1, 0));
    eventually("it is applied", async || sums(&till.read(&made.booking_id).await) == (3500, 0, 0)).await;
    assert!(all(&till).await.is_empty());
    let status = stripe_status(&till).await;
    assert!(status.dead_letter_count == 0 && status.last_delivered_at.is_some(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_event_of_stripes_stays_on_record_and_is_never_applied() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let event = foreign(deposit(&made));
    till.told(&event).await;
    let discard = DiscardDeadLettersRequest { selection: Some(by_id(&all(&till).await[0])) };
    let done = till.service.clients.outbox.clone().discard_dead_letters(discard).await.expect("discarded").into_inner();
    assert_eq!((done.discarded, done.remaining), (1, 0));
    let id = event["id"].as_str().expect("an id");
    let discarded = ("DONE".to_owned(), 1, "DISCARDED".to_owned());
    assert_eq!(till.state_of(id).await, discarded);
    till.sql("UPDATE bookings SET currency = 'USD'").await;
    till.tell(&event).await;
    assert_eq!(till.state_of(id).await, discarded);
    assert_eq!(sums(&till.read(&made.booking_id).await), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_of_stripes_stays_a_dead_letter_until_it_is_discarded() {
    let till = Till::open(10).await;
    let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
    till.told(&unreadable).await;
    let dead = all(&till).await.remove(0);
    assert_eq!((dead.last_error_reason.as_str(), dead.booking_id.as_str()), ("UNREADABLE", ""));
    assert_eq!(retry(&till, by_id(&dead)).await, (1, 0));
    let again = all(&till).await.remove(0);
    assert_ne!(again.dead_letter_id, dead.dead_letter_id);
    assert_eq!(again.last_error_reason, "UNREADABLE");
    let said = command(&till.service, &["discard", &again.dead_letter_id]).await;
    assert_eq!(said, "1 dead letters were discarded.\n");
    assert!(all(&till).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_and_the_filters_find_dead_letters_of_stripe() {
    let till = Till::open(20).await;
    let (first, second) = (till.four().await, till.four().await);
    till.told(&foreign(deposit(&first))).await;
    till.told(&foreign(deposit(&second))).await;
    let of_one = ListDeadLettersRequest { booking_id: second.booking_id.clone(), ..Default::default() };
    assert_eq!(list(&till, of_one).await, all(&till).await[1..]);
    let of_stripe = ListDeadLettersRequest {
        destination: OutboxDestination::Stripe.into(),
        event_type: "payment_intent.succeeded".to_owned(),
        ..Default::default()
    };
    assert_eq!(list(&till, of_stripe).await.len(), 2);
    let elsewhere = ListDeadLettersRequest { destination: OutboxDestination::EventStream.into(), ..Default::default() };
    assert!(list(&till, elsewhere).await.is_empty());

    let table = command(&till.service, &["list", "--destination", "stripe"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let json = command(&till.service, &["list", "--output", "json", "--booking", &first.booking_id]).await;
    let shown: Value = serde_json::from_str(json.trim()).expect("one line of JSON");
    assert_eq!((&shown["destination"], &shown["last_error_reason"]), (&json!("stripe"), &json!("CURRENCY_MISMATCH")));
    let nowhere = command(&till.service, &["discard", "--all", "--destination", "conversation-service"]).await;
    assert_eq!(nowhere, "0 dead letters were discarded.\n");
    let said = command(&till.service, &["discard", "--all", "--booking", &first.booking_id]).await;
    assert_eq!(said, "1 dead letters were discarded.\n");
    till.sql("UPDATE bookings SET currency = 'USD'").await;
    let said = command(&till.service, &["retry", "--all", "--destination", "stripe"]).await;
    assert_eq!(said, "1 dead letters were put back into delivery.\n");
    eventually("it is applied", async || sums(&till.read(&second.booking_id).await) == (3500, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dead_letters_of_both_kinds_are_settled_in_one_call() {
    let till = Till::open(10).await;
    till.four().await;
    let many = "
        INSERT INTO stripe_events (event_id, type, created_at, received_at, effect, state, reason, next_attempt_at, settled_at,
                                   dead_letter_id)
        SELECT 'evt_' || n, 'payment_intent.succeeded', now(), now(), 'SUCCEEDED', 'SET_ASIDE', 'X', now(), now(), gen_random_uuid()
        FROM generate_series(1, 1500) AS n;
        INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at, claims, attempts,
                                     dead_at, dead_letter_id)
        SELECT event_id, 'conversation-service', booking_id, version, now(), now(), 1, 1, now(), gen_random_uuid()
        FROM booking_events";
    harness::execute(&till.service.url, many).await;
    let mut operator = till.service.clients.outbox.clone();
    let everything = DeadLetterSelection { all: true, ..Default::default() };
    let mut discard = async || {
        let request = DiscardDeadLettersRequest { selection: Some(everything.clone()) };
        let done = operator.discard_dead_letters(request).await.expect("discarded").into_inner();
        (done.discarded, done.remaining)
    };
    assert_eq!(discard().await, (1000, 501));
    assert_eq!(discard().await, (501, 0));
    let left = "SELECT count(*) FROM dead_letters";
    assert_eq!(till.service.scalar::<i64>(left).await, 0);
}
