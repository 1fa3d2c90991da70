use teppan_shared::contract::booking::v1::{CreateBookingRequest, GetBookingRequest, GetVenueRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{create, kind};
use crate::raw;

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_booking_request_is_reported_at_once() {
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
            name: "\u{200b}".to_owned(),
            email: "not-an-address".to_owned(),
            phone: "12".to_owned(),
        }),
        area: "Nowhere".to_owned(),
        stripe_intent_id: "card".to_owned(),
        ..Default::default()
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
            "source",
            "area",
            "stripe_intent_id"
        ]
    );
    assert!(!format!("{status:?}").contains("not-an-address"), "no error carries personal data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_not_found_error_names_the_missing_resource() {
    let mut booking = Booking::start().await.ready().await;
    let id = Uuid::now_v7().to_string();
    let venue = GetVenueRequest { venue_id: id.clone() };
    let status = booking.clients.schedule.get_venue(venue).await.expect_err("no such venue");
    assert_eq!(kind(&status), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));
    assert_eq!(status.get_details_resource_info().expect("a ResourceInfo").resource_name, id);

    let read = GetBookingRequest { booking_id: id.clone(), ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("no such booking");
    assert_eq!(kind(&status), (Code::NotFound, "BOOKING_NOT_FOUND".to_owned()));
    assert!(status.message().contains("confirmation_code"), "{}", status.message());
    let read = GetBookingRequest { confirmation_code: "ZZZZZZZZ".to_owned(), ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("no such booking");
    assert_eq!(kind(&status), (Code::NotFound, "BOOKING_NOT_FOUND".to_owned()));
    assert!(status.message().contains("booking_id"), "{}", status.message());
    assert_eq!(status.get_details_resource_info().expect("a ResourceInfo").resource_name, "ZZZZZZZZ");
    let status = booking.clients.bookings.get_booking(GetBookingRequest::default()).await.expect_err("neither");
    let violation = &status.get_details_bad_request().expect("a BadRequest").field_violations[0];
    assert!(violation.description.contains("confirmation_code"), "{}", violation.description);

    let status = create(&mut booking.clients, fixtures::booking(&id, 2)).await;
    assert_eq!(kind(&status), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = CreateBookingRequest { start_time: "18:30".to_owned(), ..fixtures::booking(&venue.venue_id, 2) };
    let status = create(&mut booking.clients, request.clone()).await;
    assert_eq!(kind(&status), (Code::NotFound, "SLOT_NOT_FOUND".to_owned()));
    for named in [venue.venue_id.as_str(), &request.date, "18:30", "ListAvailability"] {
        assert!(status.message().contains(named), "{named} is missing from: {}", status.message());
    }

    let find = teppan_shared::contract::booking::v1::FindCustomerRequest {
        email: "unknown@example.org".to_owned(),
        ..Default::default()
    };
    let status = booking.clients.customers.find_customer(find).await.expect_err("no such customer");
    assert_eq!(kind(&status), (Code::NotFound, "CUSTOMER_NOT_FOUND".to_owned()));
    assert!(!format!("{status:?}").contains("unknown@"), "no error carries personal data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_booking_reports_the_limit_that_was_exceeded() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, 4, |venue| {
        venue.min_party_size = Some(2);
        venue.max_party_size = Some(8);
        venue.notice_minutes = Some(43_200);
    })
    .await
    .expect("a venue");
    let soon = fixtures::booking(&venue.venue_id, 2); // in two weeks; the venue requires 30 days' notice
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
async fn a_message_above_the_size_limit_is_refused_even_if_compressed() {
    let mut booking = Booking::start().await.ready().await;
    let request = CreateBookingRequest { special_requests: "x".repeat(4_000_000), ..fixtures::booking("", 2) };
    let status = create(&mut booking.clients, request.clone()).await;
    assert_eq!(kind(&status), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));

    // Compressed the message is far below the limit, but its decompressed size counts.
    booking.clients.bookings = booking.clients.bookings.send_compressed(CompressionEncoding::Gzip);
    let status = create(&mut booking.clients, request).await;
    assert_eq!(kind(&status), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_are_refused_as_invalid() {
    let booking = Booking::start().await.ready().await;
    let method = "/teppan.booking.v1.BookingService/CreateBooking";
    for bytes in [
        &b"\xff\xff\xff\xff"[..], // a tag that does not end
        b"\x0a\x05ab",            // a string of five bytes that ends after two
        b"\x0a\x02\xc3\x28",      // a string that is not UTF-8
        b"\x08\x01",              // a number in a field of type string
    ] {
        let status = raw::call(booking.service.server.grpc_addr, method, bytes, None).await;
        assert_eq!(kind(&status), (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned()), "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_exist_is_unimplemented() {
    let booking = Booking::start().await.ready().await;
    let method = "/teppan.booking.v1.CustomerService/MadeUp";
    let status = raw::call(booking.service.server.grpc_addr, method, b"", None).await;
    assert_eq!(kind(&status), (Code::Unimplemented, "METHOD_NOT_IMPLEMENTED".to_owned()));
    assert!(status.message().contains("no such call"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_compression_has_a_reason_of_its_own() {
    let booking = Booking::start().await.ready().await;
    let method = "/teppan.booking.v1.BookingService/GetBooking";
    let snappy = Some(("grpc-encoding", "snappy"));
    let status = raw::call(booking.service.server.grpc_addr, method, b"", snappy).await;
    assert_eq!(kind(&status), (Code::Unimplemented, "COMPRESSION_NOT_SUPPORTED".to_owned()));
    let accepted = status.metadata().get("grpc-accept-encoding").expect("what is supported");
    assert!(accepted.to_str().expect("a text").contains("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_cannot_be_decrypted_is_reported_as_corrupted_without_details() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    let made = booking.clients.bookings.create_booking(request).await.expect("booked").into_inner();
    harness::execute(&booking.url, "UPDATE bookings SET details_sealed = set_byte(details_sealed, 40, 0) || '\\x00'")
        .await;
    let booking_id = made.booking.expect("the booking").booking_id;
    let read = GetBookingRequest { booking_id, ..Default::default() };
    let status = booking.clients.bookings.get_booking(read).await.expect_err("it cannot be read");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").metadata.len(), 0);
}
