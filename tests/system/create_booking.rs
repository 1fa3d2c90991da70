use teppan_shared::contract::booking::v1::{BookingStatus, ListAvailabilityRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;

/// Everything CreateBooking writes, as one text.
const EVERYTHING: &str = "
    SELECT concat_ws(' ',
        (SELECT sum(reserved) FROM slots),
        (SELECT count(*) FROM customers), (SELECT count(*) FROM bookings), (SELECT count(*) FROM booking_events),
        (SELECT count(*) FROM outbox_messages), (SELECT count(*) FROM idempotency_keys))";

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_fails_nothing_is_left() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("one booking");
    let before: String = booking.scalar(EVERYTHING).await;

    harness::execute(
        &booking.url,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$",
    )
    .await;
    for (create, drop) in [
        (
            "CREATE TRIGGER fail BEFORE UPDATE ON slots FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON slots",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON customers",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON bookings",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON booking_events FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON booking_events",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON outbox_messages FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON outbox_messages",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION fail()",
            "DROP TRIGGER fail ON idempotency_keys",
        ),
    ] {
        harness::execute(&booking.url, create).await;
        let request = fixtures::booking(&venue.venue_id, 2);
        let failure = booking.clients.bookings.create_booking(request.clone()).await.expect_err(create);
        assert_eq!(failure.code(), Code::Internal, "{create}");
        assert!(!failure.message().contains("made to fail"), "internals stay inside");
        assert_eq!(booking.scalar::<String>(EVERYTHING).await, before, "{create}");

        // The same call succeeds once nothing fails any more, and is undone for the next round.
        harness::execute(&booking.url, drop).await;
    }
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("all is well again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_stored_in_clear() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    booking.clients.bookings.create_booking(request.clone()).await.expect("booked");

    // Every row of every table as text, bytes both as they are shown and as what they may hold.
    let everything: String = booking
        .scalar(
            "SELECT concat(
                (SELECT string_agg(t::text || encode(COALESCE(name_sealed || email_sealed || phone_sealed, ''), 'escape'), '') FROM customers t),
                (SELECT string_agg(t::text || encode(COALESCE(special_requests_sealed, ''), 'escape'), '') FROM bookings t),
                (SELECT string_agg(t::text, '') FROM booking_events t), (SELECT string_agg(t::text, '') FROM outbox_messages t),
                (SELECT string_agg(t::text, '') FROM idempotency_keys t))",
        )
        .await;
    assert!(everything.contains(&request.conversation_id), "the text does hold what was written");
    let contact = request.contact.expect("a contact");
    for secret in [contact.name, contact.email, contact.phone, request.special_requests, "Mina".to_owned()] {
        assert!(!everything.contains(&secret), "{secret} is stored in clear");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_one_however_often_they_book() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let mut ids = Vec::new();
    for (email, phone) in [("mina@example.org", "+4930123456"), ("Mina@Example.ORG", ""), (" mina@example.org", "")] {
        let mut request = fixtures::booking(&venue.venue_id, 1);
        let contact = request.contact.as_mut().expect("a contact");
        (contact.email, contact.phone) = (email.to_owned(), phone.to_owned());
        let made = booking.clients.bookings.create_booking(request).await.expect("booked").into_inner().booking;
        ids.push(made.expect("the booking").customer_id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    // A phone that is not given again is not forgotten.
    let find = teppan_shared::contract::booking::v1::GetCustomerRequest { customer_id: ids[0].clone() };
    let customer = booking.clients.customers.get_customer(find).await.expect("read").into_inner().customer;
    let customer = customer.expect("the customer");
    assert_eq!(customer.contact.expect("not erased").phone, "+4930123456");
    assert_eq!(customer.booking_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_deposit_a_booking_is_confirmed_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let venue =
        fixtures::venue_with(&mut booking.clients, 10, |venue| venue.deposit_percent = Some(0)).await.expect("a venue");
    let made = booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("booked");
    let made = made.into_inner().booking.expect("the booking");
    assert_eq!((made.status(), made.deposit_due_cents), (BookingStatus::Confirmed, 0));
    assert!(made.hold_expires_at.is_none() && made.confirmed_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_is_chained_and_cannot_be_altered_unseen() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("booked");
    let linked =
        "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id, version) WHERE e.hash = b.event_hash";
    assert_eq!(booking.scalar::<i64>(linked).await, 1);
    // The published figures are the booking's own.
    let agrees = "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id)
        WHERE (e.data->>'total_cents')::bigint = b.total_cents AND e.data->>'status' = 'BOOKING_STATUS_' || b.status
          AND (e.data->>'starts_at')::timestamptz = b.starts_at AND e.data->>'start_time' = '18:00'
          AND (e.data->>'hold_expires_at')::timestamptz = b.hold_expires_at";
    assert_eq!(booking.scalar::<i64>(agrees).await, 1);
    harness::execute(&booking.url, "UPDATE booking_events SET data = replace(data::text, '7000', '7001')::json").await;
    assert_eq!(booking.scalar::<i64>(linked).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_and_booking_agree_on_what_can_be_booked() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 5).await.expect("a venue");
    for party_size in [5, 6] {
        let date = fixtures::date().to_string();
        let ask = ListAvailabilityRequest {
            venue_id: venue.venue_id.clone(),
            from_date: date.clone(),
            to_date: date,
            party_size,
            ..Default::default()
        };
        let slots = booking.clients.schedule.list_availability(ask).await.expect("listed").into_inner().slots;
        let booked = booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, party_size)).await;
        assert_eq!(slots[0].bookable, booked.is_ok(), "a party of {party_size}");
        if booked.is_ok() {
            // Make room again for the next party.
            harness::execute(&booking.url, "UPDATE slots SET reserved = 0").await;
        }
    }
}
