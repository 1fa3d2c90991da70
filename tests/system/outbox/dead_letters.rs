//! Operators list, retry and discard dead letters.

use std::process::{Output, Stdio};

use secrecy::SecretString;
use teppan_shared::contract::booking::v1::{
    DeadLetter, DeadLetterSelection, DiscardDeadLettersRequest, ListDeadLettersRequest, OutboxDestination,
    RetryDeadLettersRequest,
};
use teppan_tests::{
    harness::{self, Booking},
    launch,
    proxy::Proxy,
};
use tokio::process::Command;
use tonic::{Code, Status};

use super::{
    receiver::{Answer, Listening, Receiver},
    stage::{all_delivered, append, book, dead, quiet, replica, waiting},
};
use crate::environment;

/// A service with `count` dead letters, and a receiver that accepts their messages from now on.
async fn with_dead(count: usize) -> (Booking, Receiver, Listening) {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, count).await;
    for booking in &made {
        receiver.answer(&booking.conversation_id, Some(Answer::Refuse(Status::invalid_argument("made to fail"))));
    }
    let relay = replica(&service, listening.address, |_| {}).await;
    harness::eventually("all messages are dead letters", async || waiting(&service).await == 0).await;
    assert_eq!(dead(&service).await, i64::try_from(count).expect("few"));
    relay.service.stop().await;
    for booking in &made {
        receiver.answer(&booking.conversation_id, None);
    }
    (service, receiver, listening)
}

async fn list(service: &Booking, request: ListDeadLettersRequest) -> (Vec<DeadLetter>, String) {
    let page = service.clients.outbox.clone().list_dead_letters(request).await.expect("listed").into_inner();
    (page.dead_letters, page.next_page_token)
}

async fn all(service: &Booking) -> Vec<DeadLetter> {
    list(service, ListDeadLettersRequest::default()).await.0
}

fn everything() -> DeadLetterSelection {
    DeadLetterSelection { all: true, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_in_pages_and_by_filters() {
    let (service, ..) = with_dead(5).await;
    let dead = all(&service).await;
    assert_eq!(dead.len(), 5);
    let first = &dead[0];
    assert_eq!((first.attempts, first.last_error_reason.as_str()), (1, "INVALID_ARGUMENT"));
    assert_eq!(first.event_type, "teppan.booking.created.v1");
    assert_eq!(first.destination(), OutboxDestination::ConversationService);

    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListDeadLettersRequest { page_size: 2, page_token: token, ..Default::default() };
        let (page, next) = list(&service, request).await;
        paged.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, dead);
    let of_one = ListDeadLettersRequest { booking_id: first.booking_id.clone(), ..Default::default() };
    assert_eq!(list(&service, of_one).await.0, dead[..1]);
    let elsewhere = ListDeadLettersRequest { destination: OutboxDestination::EventStream.into(), ..Default::default() };
    assert!(list(&service, elsewhere).await.0.is_empty());
    let other = ListDeadLettersRequest { event_type: "teppan.booking.cancelled.v1".to_owned(), ..Default::default() };
    assert!(list(&service, other).await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn retried_dead_letters_are_delivered_and_discarded_ones_free_the_messages_behind_them() {
    let (service, receiver, listening) = with_dead(4).await;
    let mut operator = service.clients.outbox.clone();
    let dead = all(&service).await;
    for letter in &dead {
        append(&service, &letter.booking_id, "cancelled", "conversation-service").await;
    }
    let ids = vec![dead[0].dead_letter_id.clone(), dead[1].dead_letter_id.clone()];
    let selection = Some(DeadLetterSelection { dead_letter_ids: ids.clone(), ..Default::default() });
    let discard = DiscardDeadLettersRequest { selection: selection.clone() };
    let done = operator.discard_dead_letters(discard).await.expect("discarded").into_inner();
    assert_eq!((done.discarded, done.remaining), (2, 0));
    let again = operator.retry_dead_letters(RetryDeadLettersRequest { selection }).await.expect("left alone");
    assert_eq!(again.into_inner().retried, 0, "the first call has put them back");
    let retry = RetryDeadLettersRequest { selection: Some(everything()) };
    let done = operator.retry_dead_letters(retry.clone()).await.expect("retried").into_inner();
    assert_eq!((done.retried, done.remaining), (2, 0));
    assert_eq!(operator.retry_dead_letters(retry).await.expect("retried").into_inner().retried, 0);

    let before = receiver.calls().len();
    let relay = replica(&service, listening.address, |_| {}).await;
    all_delivered(&service).await;
    let calls: Vec<_> = receiver.calls().split_off(before).into_iter().map(|call| call.key).collect();
    assert_eq!(calls.len(), 6, "two retried, and the four behind them");
    for (index, letter) in dead.iter().enumerate() {
        assert_eq!(calls.contains(&letter.event_id), index >= 2, "{index}");
    }
    relay.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_settles_at_most_a_thousand_dead_letters() {
    let (service, ..) = with_dead(1).await;
    let copies = "
        WITH copied AS (
            INSERT INTO bookings
            SELECT (jsonb_populate_record(b, jsonb_build_object(
                'booking_id', gen_random_uuid(), 'confirmation_code', gen_random_uuid()))).*
            FROM bookings b, generate_series(1, 2499)
            RETURNING booking_id),
        events AS (
            INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
            SELECT gen_random_uuid(), copied.booking_id, 1, type, occurred_at, data, traceparent, previous_hash
            FROM copied, (SELECT * FROM booking_events LIMIT 1) AS original
            RETURNING event_id, booking_id)
        INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at,
                                     claims, attempts, dead_at, dead_letter_id)
        SELECT event_id, 'conversation-service', booking_id, 1, now(), now(), 1, 1, now(), gen_random_uuid() FROM events";
    harness::execute(&service.url, copies).await;
    let mut operator = service.clients.outbox.clone();
    let retry = RetryDeadLettersRequest { selection: Some(everything()) };
    let done = operator.retry_dead_letters(retry).await.expect("retried").into_inner();
    assert_eq!((done.retried, done.remaining), (1000, 1500));
    // The second thousand fails: the command reports the first thousand, which stay discarded.
    let fails = "
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM outbox_messages WHERE dead_at IS NOT NULL) <= 500 THEN
                RAISE 'made to fail';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fails BEFORE DELETE ON outbox_messages FOR EACH STATEMENT EXECUTE FUNCTION fail()";
    harness::execute(&service.url, fails).await;
    let failed = run(&service, &["discard", "--all"]).await;
    let (printed, complaint) = (String::from_utf8_lossy(&failed.stdout), String::from_utf8_lossy(&failed.stderr));
    assert_eq!(failed.status.code(), Some(1), "{complaint}");
    assert_eq!(printed, "1000 dead letters were discarded.\n");
    assert!(complaint.contains("the dead letters cannot be changed"), "{complaint}");
    assert_eq!((dead(&service).await, waiting(&service).await), (500, 1000));
    harness::execute(&service.url, "DROP TRIGGER fails ON outbox_messages").await;
    let printed = command(&service, &["discard", "--all"]).await;
    assert_eq!(printed, "500 dead letters were discarded.\n");
    assert_eq!((dead(&service).await, waiting(&service).await), (0, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_selection_is_refused() {
    let (service, _) = quiet().await;
    let id = "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90".to_owned();
    for selection in [
        None,
        Some(DeadLetterSelection { dead_letter_ids: vec![id.clone()], all: true, ..Default::default() }),
        Some(DeadLetterSelection { dead_letter_ids: vec![id.clone()], booking_id: id.clone(), ..Default::default() }),
        Some(DeadLetterSelection { dead_letter_ids: vec!["x".to_owned()], ..Default::default() }),
        Some(DeadLetterSelection { dead_letter_ids: vec![id.clone(); 1001], ..Default::default() }),
        Some(DeadLetterSelection { all: true, destination: 7, ..Default::default() }),
    ] {
        let refused = service.clients.outbox.clone().retry_dead_letters(RetryDeadLettersRequest { selection }).await;
        assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
    }
    let nothing = RetryDeadLettersRequest { selection: Some(DeadLetterSelection::default()) };
    let refused = service.clients.outbox.clone().retry_dead_letters(nothing).await.expect_err("refused");
    for field in ["selection.dead_letter_ids", "selection.all"] {
        assert!(refused.message().contains(field), "{field} is missing from: {}", refused.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_retries_and_discards() {
    let (service, _, listening) = with_dead(3).await;
    let dead_letters = all(&service).await;
    let table = command(&service, &["list"]).await;
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(dead_letters.iter().all(|letter| table.contains(&letter.dead_letter_id)), "{table}");
    let json = command(&service, &["list", "--output", "json", "--limit", "1"]).await;
    let shown: serde_json::Value = serde_json::from_str(json.trim()).expect("one line of JSON");
    assert_eq!(shown["dead_letter_id"], dead_letters[0].dead_letter_id);
    assert_eq!(shown["last_error_reason"], "INVALID_ARGUMENT");

    let known = &dead_letters[0].dead_letter_id;
    let printed = command(&service, &["discard", known]).await;
    assert!(printed.contains("1 dead letters were discarded."), "{printed}");
    let unknown = "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
    let again = run(&service, &["retry", known, unknown, &dead_letters[1].dead_letter_id]).await;
    let (printed, note) = (String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    assert_eq!(again.status.code(), Some(0), "{note}");
    assert!(printed.contains("1 dead letters were put back into delivery."), "{printed}");
    assert!(note.starts_with("2 are not dead letters now"), "{note}");
    assert!(note.contains(known) && note.contains(unknown), "{note}");
    assert!(!note.contains(&dead_letters[1].dead_letter_id), "{note}");
    let unnamed = run(&service, &["retry"]).await;
    let complaint = String::from_utf8_lossy(&unnamed.stderr);
    assert!(unnamed.status.code() == Some(2) && complaint.contains("--all"), "{complaint}");
    let nowhere = command(&service, &["retry", "--all", "--destination", "event-stream"]).await;
    assert!(nowhere.starts_with("0 dead letters"), "{nowhere}");
    let printed = command(&service, &["retry", "--all"]).await;
    assert!(printed.contains("1 dead letters were put back into delivery."), "{printed}");
    assert_eq!((dead(&service).await, waiting(&service).await), (0, 2));
    let relay = replica(&service, listening.address, |_| {}).await;
    all_delivered(&service).await;
    relay.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_lost_an_answer_of_the_database_runs_its_statement_again() {
    let (service, ..) = with_dead(1).await;
    let id = all(&service).await.remove(0).dead_letter_id;
    // The first statement commits, but its answer is lost, so the command runs it again.
    let proxy = Proxy::start(harness::database_address(&service.url)).await.expect("a proxy");
    let behind = harness::through(&service.url, proxy.address);
    proxy.lose_answer_to("-- RetryDeadLetters");
    for (url, answers_lost) in [(&behind, 1), (&service.url, 1)] {
        let output = run_on(url, &["discard", &id]).await;
        let (printed, note) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{note}");
        assert_eq!(printed, "0 dead letters were discarded.\n");
        assert!(note.contains("were retried or discarded before") && note.contains(&id), "{note}");
        assert_eq!((proxy.lost(), dead(&service).await), (answers_lost, 0));
    }
}

/// The stdout of a `booking-service dead-letters` command that succeeds.
pub async fn command(service: &Booking, arguments: &[&str]) -> String {
    let output = run(service, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

async fn run(service: &Booking, arguments: &[&str]) -> Output {
    run_on(&service.url, arguments).await
}

async fn run_on(url: &SecretString, arguments: &[&str]) -> Output {
    Command::new(launch::binary("booking-service"))
        .arg("dead-letters")
        .args(arguments)
        .envs(environment::with_keys(url))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary is built: cargo build --workspace --bins")
}
