use sqlx::AssertSqlSafe;
use teppan_shared::contract::booking::v1::{BookingStatus, Contact, ListAvailabilityRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn create_booking_writes_nothing_when_one_of_its_writes_fails() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::firm_venue(&mut booking.clients, 10).await.expect("a venue");
    let mut known = fixtures::booking(&venue.venue_id, 1);
    let phone = std::mem::take(&mut known.contact.as_mut().expect("a contact").phone);
    booking.clients.bookings.create_booking(known.clone()).await.expect("one booking");
    let before = booking.written().await;

    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$";
    harness::execute(&booking.url, fail).await;
    for (write, table) in [
        ("UPDATE", "slots"),
        ("INSERT", "customers"),
        ("UPDATE", "customers"),
        ("INSERT", "booking_events"),
        ("INSERT", "bookings"),
        ("INSERT", "outbox_messages"),
        ("INSERT", "idempotency_keys"),
    ] {
        let mut request = fixtures::booking(&venue.venue_id, 2);
        if (write, table) == ("UPDATE", "customers") {
            // The call adds the number to the customer.
            request.allow_duplicate = true;
            request.contact = known.contact.clone().map(|contact| Contact { phone: phone.clone(), ..contact });
        }
        let create = format!("CREATE TRIGGER fail BEFORE {write} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()");
        harness::execute(&booking.url, AssertSqlSafe(create)).await;
        let what = format!("{write} {table}");
        let failure = booking.clients.bookings.create_booking(request).await.expect_err(&what);
        assert_eq!(failure.code(), Code::Internal, "{what}");
        assert!(!failure.message().contains("made to fail"), "the status does not contain the database's error");
        assert_eq!(booking.written().await, before, "{what}");
        harness::execute(&booking.url, AssertSqlSafe(format!("DROP TRIGGER fail ON {table}"))).await;
    }
    booking
        .clients
        .bookings
        .create_booking(fixtures::booking(&venue.venue_id, 2))
        .await
        .expect("the booking succeeds once no write fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_of_a_booking_is_stored_encrypted() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::firm_venue(&mut booking.clients, 10).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    booking.clients.bookings.create_booking(request.clone()).await.expect("booked");

    // All rows as text. The sealed columns also appear as escaped bytes, which would show plain text.
    let everything: String = booking
        .scalar(
            "SELECT concat(
                (SELECT string_agg(t::text || encode(COALESCE(contact_sealed, ''), 'escape'), '') FROM customers t),
                (SELECT string_agg(t::text || encode(COALESCE(details_sealed, ''), 'escape'), '') FROM bookings t),
                (SELECT string_agg(t::text, '') FROM booking_events t), (SELECT string_agg(t::text, '') FROM outbox_messages t),
                (SELECT string_agg(t::text, '') FROM idempotency_keys t))",
        )
        .await;
    assert!(everything.contains(&request.conversation_id), "the dump contains the stored rows");
    let contact = request.contact.expect("a contact");
    for secret in [contact.name, contact.email, contact.phone, request.special_requests, "Mina".to_owned()] {
        assert!(!everything.contains(&secret), "{secret} is stored unencrypted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_bookings_with_one_email_address_belong_to_one_customer() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let mut ids = Vec::new();
    for (email, phone) in [("mina@example.org", "+4930123456"), ("Mina@Example.ORG", ""), (" mina@example.org", "")] {
        let mut request = fixtures::booking(&venue.venue_id, 1);
        request.allow_duplicate = true;
        let contact = request.contact.as_mut().expect("a contact");
        (contact.email, contact.phone) = (email.to_owned(), phone.to_owned());
        let made = booking.clients.bookings.create_booking(request).await.expect("booked").into_inner().booking;
        ids.push(made.expect("the booking").customer_id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    // A later booking without a phone number keeps the stored one.
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
    assert_eq!((made.status(), made.deposit_cents), (BookingStatus::Confirmed, 0));
    assert!(made.hold_expires_at.is_none() && made.confirmed_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_and_booking_agree_on_what_can_be_booked() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 5).await.expect("a venue");
    for party_size in [5, 6] {
        let date = fixtures::date().to_string();
        let request = ListAvailabilityRequest {
            venue_id: venue.venue_id.clone(),
            from_date: date.clone(),
            to_date: date,
            party_size,
            ..Default::default()
        };
        let slots = booking.clients.schedule.list_availability(request).await.expect("listed").into_inner().slots;
        let booked = booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, party_size)).await;
        assert_eq!(slots[0].bookable, booked.is_ok(), "a party of {party_size}");
        if booked.is_ok() {
            // Free the seats for the next party.
            harness::execute(&booking.url, "UPDATE slots SET reserved = 0").await;
        }
    }
}
