//! Every row of the contract's table of errors.

use std::{net::SocketAddr, time::Duration};

use teppan_shared::{
    contract::booking::v1::{CancelBookingRequest, CreateBookingRequest, GetBookingRequest, GetVenueRequest},
    keys::Keys,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
    proxy::Proxy,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The code, and the reason of the one `ErrorInfo` every error carries.
fn kind(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "teppan");
    assert!(!status.message().is_empty());
    (status.code(), info.reason)
}

/// A service whose database is reached through a proxy.
async fn behind_a_proxy(change: impl FnOnce(&mut teppan_shared::config::CommonSettings)) -> (Proxy, Booking) {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let url = harness::through(&url, proxy.address);
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    change(&mut settings);
    let booking = Booking::with(settings, url, keys).await.ready().await;
    (proxy, booking)
}

async fn create(clients: &mut BookingClients, request: impl tonic::IntoRequest<CreateBookingRequest>) -> Status {
    clients.bookings.create_booking(request).await.expect_err("it is refused")
}

/// The server's answer to a call with a deadline, from a client that has no timer of its own.
async fn raw_call(server: SocketAddr, method: &str, message: &impl prost::Message, deadline: &str) -> Status {
    let stream = tokio::net::TcpStream::connect(server).await.expect("connected");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let call = async {
        let request = http::Request::post(format!("http://{server}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", deadline)
            .body(())
            .expect("a request");
        let (response, mut body) =
            client.ready().await.expect("ready").send_request(request, false).expect("the request is sent");
        let mut frame = vec![0; 5]; // not compressed, then the length
        message.encode(&mut frame).expect("encoded");
        let length = u32::try_from(frame.len() - 5).expect("a short message");
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        body.send_data(frame.into(), true).expect("the message is sent");
        let response = response.await.expect("an answer");
        Status::from_header_map(response.headers()).expect("an error")
    };
    tokio::select! {
        status = call => status,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_told_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let request = CreateBookingRequest {
        idempotency_key: "ä".to_owned(),
        venue_id: "x".to_owned(),
        date: "2026-13-01".to_owned(),
        start_time: "6pm".to_owned(),
        party_size: 51,
        conversation_id: "no spaces".to_owned(),
        special_requests: "x".repeat(501),
        expected_total_cents: Some(-1),
        source: "x".repeat(51),
        contact: Some(teppan_shared::contract::booking::v1::Contact {
            name: "x".to_owned(),
            email: "nobody".to_owned(),
            phone: "12".to_owned(),
        }),
    };
    let status = create(&mut booking.clients, request).await;
    assert_eq!(kind(&status), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let details = status.get_details_bad_request().expect("a BadRequest");
    let fields: Vec<_> = details.field_violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "idempotency_key",
            "venue_id",
            "date",
            "start_time",
            "party_size",
            "contact.name",
            "contact.email",
            "contact.phone",
            "conversation_id",
            "special_requests",
            "expected_total_cents",
            "source"
        ]
    );
    assert!(!format!("{status:?}").contains("nobody"), "no error carries personal data");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let mut booking = Booking::start().await.ready().await;
    let id = Uuid::now_v7().to_string();
    let venue = GetVenueRequest { venue_id: id.clone() };
    let status = booking.clients.schedule.get_venue(venue).await.expect_err("no such venue");
    assert_eq!(kind(&status), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));
    assert_eq!(status.get_details_resource_info().expect("a ResourceInfo").resource_name, id);

    let read = GetBookingRequest { booking_id: id.clone(), ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("no such booking");
    assert_eq!(kind(&status), (Code::NotFound, "BOOKING_NOT_FOUND".to_owned()));
    let read = GetBookingRequest { confirmation_code: "ZZZZZZZZ".to_owned(), ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("no such booking");
    assert_eq!(kind(&status), (Code::NotFound, "BOOKING_NOT_FOUND".to_owned()));

    let status = create(&mut booking.clients, fixtures::booking(&id, 2)).await;
    assert_eq!(kind(&status), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&venue.venue_id, 2) };
    let status = create(&mut booking.clients, request).await;
    assert_eq!(kind(&status), (Code::NotFound, "SLOT_NOT_FOUND".to_owned()));

    let find = teppan_shared::contract::booking::v1::FindCustomerRequest { email: "nobody@example.org".to_owned() };
    let status = booking.clients.customers.find_customer(find).await.expect_err("no such customer");
    assert_eq!(kind(&status), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
    assert!(!format!("{status:?}").contains("nobody@"), "no error carries personal data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_what_stands_in_the_way() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, 4, |venue| {
        venue.min_party_size = Some(2);
        venue.max_party_size = Some(8);
        venue.notice_minutes = Some(43_200);
    })
    .await
    .expect("a venue");
    let soon = fixtures::booking(&venue.venue_id, 2); // in a fortnight, and a month's notice is asked for
    let later = |days, party_size| CreateBookingRequest {
        date: (fixtures::date() + chrono::Days::new(days)).to_string(),
        ..fixtures::booking(&venue.venue_id, party_size)
    };
    let cases = [
        (soon, "INSUFFICIENT_NOTICE", ("notice_minutes", "43200")),
        (later(100, 2), "TOO_FAR_AHEAD", ("horizon_days", "90")),
        (later(30, 1), "PARTY_TOO_SMALL", ("min_party_size", "2")),
        (later(30, 9), "PARTY_TOO_LARGE", ("max_party_size", "8")),
        (later(30, 5), "SLOT_FULL", ("open_seats", "4")),
        (
            CreateBookingRequest { expected_total_cents: Some(1), ..later(30, 2) },
            "PRICE_CHANGED",
            ("total_cents", "7000"),
        ),
    ];
    for (request, reason, (key, value)) in cases {
        let status = create(&mut booking.clients, request).await;
        assert_eq!(kind(&status), (Code::FailedPrecondition, reason.to_owned()));
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.metadata.get(key).map(String::as_str), Some(value), "{reason}");
        let violations = status.get_details_precondition_failure().expect("a PreconditionFailure").violations;
        assert_eq!(violations[0].r#type, reason);
    }
    harness::execute(&booking.url, "UPDATE slots SET state = 'CLOSED'").await;
    let status = create(&mut booking.clients, later(30, 2)).await;
    assert_eq!(kind(&status), (Code::FailedPrecondition, "SLOT_CLOSED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_too_large_and_one_that_cannot_be_read_is_invalid() {
    let mut booking = Booking::start().await.ready().await;
    let request = CreateBookingRequest { special_requests: "x".repeat(300_000), ..fixtures::booking("", 2) };
    let status = create(&mut booking.clients, request).await;
    assert_eq!(kind(&status), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_says_so() {
    let mut booking = Booking::start().await.ready().await;
    let request = CancelBookingRequest::default();
    let status = booking.clients.bookings.cancel_booking(request).await.expect_err("not built");
    assert_eq!(kind(&status), (Code::Unimplemented, "METHOD_NOT_IMPLEMENTED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_deadline_is_deadline_exceeded() {
    let (proxy, mut booking) = behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.stall();
    let message = fixtures::booking(&venue.venue_id, 2);
    let method = "/teppan.booking.v1.BookingService/CreateBooking";
    let status = raw_call(booking.service.server.grpc_addr, method, &message, "300m").await;
    assert_eq!(kind(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_cap_is_a_deadline_too() {
    let (proxy, mut booking) =
        behind_a_proxy(|settings| settings.server.request_timeout = Duration::from_millis(300)).await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.stall();
    let status = create(&mut booking.clients, fixtures::booking(&venue.venue_id, 2)).await;
    assert_eq!(kind(&status), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_the_limit_are_overload() {
    let (proxy, booking) = behind_a_proxy(|settings| settings.server.max_in_flight = 1).await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    proxy.stall();
    let calls = (0..4).map(|_| {
        let mut clients = booking.clients.clone();
        let mut request = Request::new(fixtures::booking(&venue.venue_id, 2));
        request.metadata_mut().insert("grpc-timeout", "500m".parse().expect("a header value"));
        async move { create(&mut clients, request).await }
    });
    let statuses = futures::future::join_all(calls).await;
    // One is let in and waits for the database in vain; the others are turned away at once.
    let (overloaded, let_in): (Vec<_>, Vec<_>) =
        statuses.into_iter().partition(|status| status.code() == Code::ResourceExhausted);
    assert_eq!((overloaded.len(), let_in.len()), (3, 1));
    let status = &overloaded[0];
    assert_eq!(kind(status), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
    assert!(status.get_details_retry_info().expect("a RetryInfo").retry_delay.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_is_overload() {
    let (proxy, booking) = behind_a_proxy(|settings| {
        settings.database_limits.statement_connections = 1;
        settings.database_limits.acquire_timeout = Duration::from_millis(200);
        settings.server.request_timeout = Duration::from_secs(5);
    })
    .await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    proxy.stall();
    let (mut first, mut second) = (booking.clients.clone(), booking.clients.clone());
    let (one, other) = tokio::join!(
        first.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)),
        second.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)),
    );
    let mut kinds = [kind(&one.expect_err("stalled")), kind(&other.expect_err("no connection"))];
    kinds.sort_by_key(|(_, reason)| reason.clone());
    assert_eq!(kinds[0], (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    assert_eq!(kinds[1], (Code::ResourceExhausted, "OVERLOADED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_unavailable_and_its_return_is_noticed_by_the_next_call() {
    let (proxy, mut booking) = behind_a_proxy(|settings| {
        settings.database_limits.acquire_timeout = Duration::from_millis(500);
    })
    .await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    proxy.cut();
    let request = fixtures::booking(&venue.venue_id, 2);
    let status = create(&mut booking.clients, request.clone()).await;
    assert_eq!(kind(&status), (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()));
    assert!(status.get_details_retry_info().expect("a RetryInfo").retry_delay.is_some());
    proxy.mend();
    booking.clients.bookings.create_booking(request).await.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_while_idle_fail_no_call() {
    let (proxy, mut booking) = behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 40).await.expect("a venue");
    // Several connections are open and idle when all of them die at once.
    let calls = (0..8).map(|_| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await }
    });
    for answer in futures::future::join_all(calls).await {
        answer.expect("booked");
    }
    proxy.cut();
    proxy.mend();
    for _ in 0..10 {
        booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_cannot_be_opened_is_corrupted_and_nothing_more_is_told() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    let made = booking.clients.bookings.create_booking(request).await.expect("booked").into_inner();
    harness::execute(
        &booking.url,
        "UPDATE bookings SET special_requests_sealed = set_byte(special_requests_sealed, 40, 0) || '\\x00'",
    )
    .await;
    let booking_id = made.booking.expect("the booking").booking_id;
    let read = GetBookingRequest { booking_id, ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("it cannot be read");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").metadata.len(), 0);
}
