//! The contents of the audit log, and data that must not be in it.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use teppan_shared::{
    audit::AuditTarget,
    contract::{
        booking::v1::{
            Contact, CreateBookingRequest, CreateVenueRequest, FindCustomerRequest, GetBookingRequest,
            ListBookingsRequest, ListVenuesRequest,
        },
        conversation::v1::{ClaimDueFollowUpsRequest, ListMessagesRequest, StoreMessageRequest},
    },
    identity::Role,
};
use teppan_tests::{
    callers::{Callers, call, with_token},
    clients::BookingClients,
    fixtures,
};
use tonic::codec::CompressionEncoding;
use uuid::Uuid;

use super::*;

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("the audit log");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// The last line of an RPC.
fn last(lines: &[Value], rpc: &str) -> Value {
    let of_rpc = |line: &&Value| line["rpc"].as_str().is_some_and(|name| name.ends_with(&format!("/{rpc}")));
    lines.iter().rfind(of_rpc).unwrap_or_else(|| panic!("no line of {rpc}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_and_every_read_of_personal_data_is_audited_with_ids_and_without_contents() {
    let callers = Callers::default();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.log");
    let service = booking(|settings| {
        callers.guard(settings);
        settings.server.identity.audit = AuditTarget::File(file.clone());
    })
    .await;
    let (assistant, venue, privacy) =
        [Role::Orchestrator, Role::Venue, Role::Privacy].map(|role| callers.token(role)).into();
    let BookingClients { mut bookings, mut schedule, mut customers, .. } = service.clients.clone();

    let new_venue = CreateVenueRequest {
        idempotency_key: "key-of-the-venue".to_owned(),
        name: "Teppan Garden".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        deposit_percent: Some(0),
        ..Default::default()
    };
    let made = schedule.create_venue(with_token(venue, new_venue)).await.expect("made").into_inner();
    let venue_id = made.venue.expect("a venue").venue_id;
    // The line is written before the answer, so the test need not wait for it.
    let line = last(&lines(&file), "CreateVenue");
    assert_eq!(line["answer_ids"]["venue_id"][0], *venue_id);
    schedule.set_weekly_schedule(with_token(venue, fixtures::every_evening(&venue_id, 8))).await.expect("set");

    let contact = Contact {
        name: "Ada Lovelace".to_owned(),
        email: "ada.lovelace@example.org".to_owned(),
        phone: "+49 30 901820".to_owned(),
    };
    let request = CreateBookingRequest {
        contact: Some(contact),
        special_requests: "no coriander".to_owned(),
        idempotency_key: "key-of-the-booking".to_owned(),
        conversation_id: "web-7f3a91".to_owned(),
        ..fixtures::booking(&venue_id, 2)
    };
    bookings = bookings.send_compressed(CompressionEncoding::Gzip);
    let mut traced = with_token(assistant, request.clone());
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    traced.metadata_mut().insert("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01").parse().expect("ASCII"));
    let booked = bookings.create_booking(traced).await.expect("booked").into_inner().booking.expect("a booking");
    let line = last(&lines(&file), "CreateBooking");
    assert_eq!(line["who"], "orchestrator");
    assert_eq!((&line["credential"], &line["code"]), (&"token".into(), &"OK".into()));
    assert_eq!(line["rpc"], "teppan.booking.v1.BookingService/CreateBooking");
    assert_eq!((&line["target"], &line["service"]), (&"audit".into(), &"booking-service".into()));
    assert_eq!(line["request_ids"]["venue_id"][0], *venue_id);
    assert_eq!(line["request_ids"]["conversation_id"][0], "web-7f3a91");
    assert_eq!(line["answer_ids"]["booking_id"][0], *booked.booking_id);
    assert_eq!(line["answer_ids"]["customer_id"][0], *booked.customer_id);
    assert_eq!(line["trace_id"], trace_id);
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
    assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");

    let by_code = GetBookingRequest { confirmation_code: booked.confirmation_code.clone(), ..Default::default() };
    bookings.get_booking(with_token(assistant, by_code)).await.expect("found");
    assert_eq!(last(&lines(&file), "GetBooking")["answer_ids"]["booking_id"][0], *booked.booking_id);
    bookings.list_bookings(with_token(venue, ListBookingsRequest::default())).await.expect("listed");
    assert_eq!(last(&lines(&file), "ListBookings")["who"], "venue");
    let find = FindCustomerRequest { email: "Ada.Lovelace@example.org".to_owned(), ..Default::default() };
    customers.find_customer(with_token(privacy, find.clone())).await.expect("found");
    assert_eq!(last(&lines(&file), "FindCustomer")["answer_ids"]["customer_id"][0], *booked.customer_id);

    // Calls that fail: an unknown booking, an invalid id, and a caller without the role.
    let missing = GetBookingRequest { booking_id: Uuid::now_v7().to_string(), ..Default::default() };
    bookings.get_booking(with_token(assistant, missing.clone())).await.expect_err("no such booking");
    let line = last(&lines(&file), "GetBooking");
    assert_eq!((&line["code"], &line["reason"]), (&"NOT_FOUND".into(), &"BOOKING_NOT_FOUND".into()));
    assert_eq!(line["request_ids"]["booking_id"][0], *missing.booking_id);
    let odd = GetBookingRequest { booking_id: "Ada Lovelace".to_owned(), ..Default::default() };
    bookings.get_booking(with_token(assistant, odd)).await.expect_err("not an id");
    assert_eq!(last(&lines(&file), "GetBooking")["request_ids"], Value::Null);
    customers.find_customer(with_token(assistant, find)).await.expect_err("not allowed");
    let line = last(&lines(&file), "FindCustomer");
    assert_eq!((&line["code"], &line["reason"]), (&"PERMISSION_DENIED".into(), &"ROLE_MISSING".into()));
    assert_eq!(line["who"], "orchestrator");

    // Reads without personal data are not logged.
    let before = lines(&file).len();
    schedule.list_venues(with_token(assistant, ListVenuesRequest::default())).await.expect("listed");
    assert_eq!(lines(&file).len(), before);

    let text = fs::read_to_string(&file).expect("the audit log");
    for never in
        ["Ada", "ada.lovelace", "901820", "coriander", "key-of-the", "teppan_", &booked.confirmation_code, "Garden"]
    {
        assert!(!text.contains(never), "{never:?} is in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_no_texts_of_messages_and_no_user_ids() {
    let callers = Callers::default();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.log");
    let service = conversation(|settings| {
        callers.guard(settings);
        settings.server.identity.audit = AuditTarget::File(file.clone());
    })
    .await;
    let assistant = callers.token(Role::Orchestrator);
    let chat = fixtures::conversation_id();
    let message =
        StoreMessageRequest { user_id: "+4915112345678".to_owned(), ..fixtures::message(&chat, "a secret wish") };
    let mut client = service.client.clone();
    client.store_message(with_token(assistant, message.clone())).await.expect("stored");
    let line = last(&lines(&file), "StoreMessage");
    assert_eq!(line["request_ids"]["conversation_id"][0], *chat);
    assert_eq!(line["request_ids"]["message_id"][0], *message.message_id);
    let list = ListMessagesRequest { conversation_id: chat.clone(), ..Default::default() };
    client.list_messages(with_token(assistant, list)).await.expect("listed");
    assert_eq!(last(&lines(&file), "ListMessages")["answer_ids"]["message_id"][0], *message.message_id);
    let claim = ClaimDueFollowUpsRequest { claimant: "sender-7".to_owned(), ..Default::default() };
    service
        .follow_ups
        .clone()
        .claim_due_follow_ups(with_token(callers.token(Role::Sender), claim))
        .await
        .expect("claimed");
    assert_eq!(last(&lines(&file), "ClaimDueFollowUps")["who"], "sender");
    let text = fs::read_to_string(&file).expect("the audit log");
    for never in ["secret", "wish", "15112345678", "teppan_"] {
        assert!(!text.contains(never), "{never:?} is in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_client_disconnects_is_audited_as_cancelled() {
    let callers = Callers::default();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.log");
    let service = conversation(|settings| {
        callers.guard(settings);
        settings.server.identity.audit = AuditTarget::File(file.clone());
    })
    .await;
    let claim = ClaimDueFollowUpsRequest { claimant: "sender-7".to_owned(), wait_seconds: 25, ..Default::default() };
    let mut client = service.follow_ups.clone();
    let waiting = client.claim_due_follow_ups(with_token(callers.token(Role::Sender), claim));
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(1), waiting).await;
    assert!(given_up.is_err(), "no follow-up is due: {given_up:?}");
    harness::eventually("the line of the cancelled call is written", async || {
        lines(&file).iter().any(|line| line["code"] == "CANCELLED" && line["who"] == "sender")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_calls_write_at_most_ten_audit_lines_a_second() {
    let callers = Callers::default();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.log");
    let service = conversation(|settings| {
        callers.guard(settings);
        settings.server.identity.audit = AuditTarget::File(file.clone());
    })
    .await;
    let since = tokio::time::Instant::now();
    for _ in 0..20 {
        let channel = channel_to(&service);
        futures::future::join_all((0..50).map(|_| call(&channel, STORE_MESSAGE, Some("made-up")))).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    call(&channel_to(&service), STORE_MESSAGE, None).await.expect_err("refused");
    let lines = lines(&file);
    let most = 10 * (2 + usize::try_from(since.elapsed().as_secs()).expect("few"));
    assert!(lines.len() <= most, "{} lines in {:?}", lines.len(), since.elapsed());
    let suppressed: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    assert!(suppressed > 0, "the lines report how many were suppressed: {lines:?}");
    let reasons: HashMap<_, usize> = lines.iter().fold(HashMap::new(), |mut reasons, line| {
        *reasons.entry(line["reason"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        reasons
    });
    assert!(reasons.contains_key("CREDENTIALS_INVALID") && reasons.contains_key("CREDENTIALS_MISSING"), "{reasons:?}");
    assert!(lines.iter().all(|line| line["who"].is_null()), "{lines:?}");
}
