//! The benchmark's plain service gives the same answers as the services.

use std::collections::HashMap;

use futures::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use teppan_shared::contract::booking::v1::{
    Booking as WireBooking, CancelBookingRequest, ListAvailabilityRequest, SlotAvailability,
};
use teppan_shared::contract::conversation::v1::Message;
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
    harness::{self, Booking, Conversation},
    launch::Process,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// A running plain service with a database of its own.
struct Plain {
    process: Process,
    url: SecretString,
}

impl Plain {
    async fn start() -> Self {
        let name = format!("plain_{}", Uuid::now_v7().simple());
        let server = harness::postgres().await;
        server.ensure_database(&name).await.expect("a database");
        let url = server.url(&name);
        let environment = HashMap::from([
            ("DATABASE_URL".to_owned(), url.expose_secret().to_owned()),
            ("ENCRYPTION_KEYS".to_owned(), "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
        ]);
        Self { process: Process::start_plain(&environment).await.expect("it starts"), url }
    }

    async fn stop(self) {
        assert!(self.process.stop().await, "the exit code is 0");
        harness::drop_database(&self.url).await;
    }
}

/// What must be the same in both answers: everything but ids, codes and times of the calls, and the terms of refunds. The
/// plain service cancels and refunds nothing, so it has none.
fn comparable(booking: WireBooking) -> WireBooking {
    WireBooking {
        booking_id: String::new(),
        confirmation_code: String::new(),
        venue_id: String::new(),
        customer_id: String::new(),
        terms: None,
        etag: String::new(),
        hold_expires_at: None,
        created_at: None,
        updated_at: None,
        ..booking
    }
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_service_creates_replays_and_refuses_bookings_as_booking_service_does() {
    let (service, plain) = (Booking::start().await.ready().await, Plain::start().await);
    let mut answers = Vec::new();
    for mut clients in [service.clients.clone(), BookingClients::new(plain.process.grpc)] {
        let venue = fixtures::venue(&mut clients, 4).await.expect("a venue");
        let mut request = fixtures::booking(&venue.venue_id, 3);
        "mina@example.org".clone_into(&mut request.contact.as_mut().expect("a contact").email);
        "+4930123456".clone_into(&mut request.contact.as_mut().expect("a contact").phone);
        "chat-1".clone_into(&mut request.conversation_id);
        let created = clients.bookings.create_booking(request.clone()).await.expect("created").into_inner();
        let again = clients.bookings.create_booking(request.clone()).await.expect("replayed").into_inner();
        assert!(!created.replayed && again.replayed);
        assert_eq!(created.booking, again.booking);

        let mut refused = Vec::new();
        let full = fixtures::booking(&venue.venue_id, 2);
        let mut no_slot = fixtures::booking(&venue.venue_id, 1);
        "17:00".clone_into(&mut no_slot.start_time);
        let mut no_contact = fixtures::booking(&venue.venue_id, 1);
        no_contact.contact = None;
        let mut too_dear = fixtures::booking(&venue.venue_id, 1);
        too_dear.expected_total_cents = Some(1);
        request.party_size = 1; // the key was used for three
        for request in [full, no_slot, no_contact, too_dear, request] {
            let status = clients.bookings.create_booking(request).await.expect_err("refused");
            refused.push(reason(&status));
        }
        answers.push((comparable(created.booking.expect("a booking")), refused));
    }
    assert_eq!(answers[0], answers[1]);

    let cancel = CancelBookingRequest { booking_id: Uuid::nil().to_string(), ..Default::default() };
    let unimplemented = BookingClients::new(plain.process.grpc).bookings.cancel_booking(cancel).await;
    assert_eq!(unimplemented.expect_err("no such method").code(), Code::Unimplemented);
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_service_sells_the_last_seat_once_and_repeats_concurrent_duplicates() {
    let plain = Plain::start().await;
    let mut clients = BookingClients::new(plain.process.grpc);
    let venue = fixtures::venue(&mut clients, 10).await.expect("a venue");
    // 16 requests of a seat, each sent four times at once.
    let requests: Vec<_> = (0..16).map(|_| fixtures::booking(&venue.venue_id, 1)).collect();
    let calls = (0..64).map(|n| {
        let (mut clients, request) = (clients.clone(), requests[n % 16].clone());
        async move { clients.bookings.create_booking(request).await }
    });
    let (booked, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!((booked.len(), refused.len()), (40, 24));
    let first = booked.into_iter().filter_map(Result::ok).filter(|answer| !answer.get_ref().replayed);
    assert_eq!(first.count(), 10);
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(reason(&status), (Code::FailedPrecondition, "SLOT_FULL".to_owned()));
    }
    for rows in [
        "SELECT count(*) FROM bookings",
        "SELECT count(*) FROM booking_events",
        "SELECT count(*) FROM idempotency_keys",
        "SELECT sum(reserved)::bigint FROM slots",
    ] {
        assert_eq!(harness::scalar::<i64>(&plain.url, rows).await, 10, "{rows}");
    }
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_service_lists_slots_as_booking_service_does() {
    let (service, plain) = (Booking::start().await.ready().await, Plain::start().await);
    let mut answers = Vec::new();
    for mut clients in [service.clients.clone(), BookingClients::new(plain.process.grpc)] {
        let venue = fixtures::venue(&mut clients, 4).await.expect("a venue");
        clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 3)).await.expect("created");
        let mut slots: Vec<SlotAvailability> = Vec::new();
        let mut request = ListAvailabilityRequest {
            venue_id: venue.venue_id,
            from_date: (fixtures::date() - chrono::Days::new(3)).to_string(),
            to_date: (fixtures::date() + chrono::Days::new(3)).to_string(),
            party_size: 2,
            page_size: 3,
            ..Default::default()
        };
        loop {
            let page = clients.schedule.list_availability(request.clone()).await.expect("a page").into_inner();
            assert_eq!((page.time_zone.as_str(), page.currency.as_str()), ("Europe/Berlin", "EUR"));
            slots.extend(page.slots);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        answers.push(slots);
    }
    assert_eq!(answers[0].len(), 7);
    assert_eq!(answers[0], answers[1]);
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_service_stores_and_replays_messages_as_conversation_service_does() {
    let (service, plain) = (Conversation::start().await.ready().await, Plain::start().await);
    let mut answers = Vec::new();
    for mut client in [service.client.clone(), clients::conversations(plain.process.grpc)] {
        let mut of_both = Vec::new();
        for n in 0..3_u8 {
            let mut request = fixtures::message("chat-1", &format!("message {n}"));
            request.message_id = Uuid::from_u128(u128::from(n) + 1).to_string();
            "guest-1".clone_into(&mut request.user_id);
            let stored = client.store_message(request.clone()).await.expect("stored").into_inner();
            let again = client.store_message(request.clone()).await.expect("replayed").into_inner();
            assert!(!stored.replayed && again.replayed);
            assert_eq!(stored.message, again.message);
            of_both.push(Message { sent_at: None, stored_at: None, ..stored.message.expect("a message") });

            "another text".clone_into(&mut request.content);
            let reused = client.store_message(request).await.expect_err("the id was used");
            assert_eq!(reason(&reused), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()));
        }
        answers.push(of_both);
    }
    assert_eq!(answers[0], answers[1]);
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_service_numbers_messages_of_a_conversation_without_gaps() {
    let plain = Plain::start().await;
    let calls = (0..64).map(|n| {
        let mut client = clients::conversations(plain.process.grpc);
        let mut request = fixtures::message("chat-1", "the same text");
        request.message_id = Uuid::from_u128(n % 32 + 1).to_string();
        async move { client.store_message(request).await.expect("stored").into_inner() }
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 32);
    let sequences: std::collections::BTreeSet<i64> =
        answers.into_iter().filter_map(|answer| answer.message).map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..=32).collect());
    plain.stop().await;
}
