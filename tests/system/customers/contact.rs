//! The customer to whom the contact of a booking or waitlist entry belongs.

use teppan_shared::contract::booking::v1::{CreateBookingRequest, GetBookingRequest, WaitlistEntryStatus};
use teppan_tests::{fixtures, harness::Booking};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{book_by, contact, contact_of, request_by, service_with_venue};
use crate::{
    changes::{Change, VenueFixture},
    waitlist,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_found_by_the_number_and_by_the_email_address_that_was_added_later() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let first = book_by(clients, &venue, contact("Ada", "", "+4915123456789")).await;
    let both = book_by(clients, &venue, contact("Ada Example", "ada@example.org", "+49 151 23456789")).await;
    let email = book_by(clients, &venue, contact("A. Example", "Ada@Example.org", "")).await;
    assert_eq!((&both.customer_id, &email.customer_id), (&first.customer_id, &first.customer_id));
    // Only what was missing is added: the first name stays.
    assert_eq!(contact_of(clients, &first.customer_id).await, contact("Ada", "ada@example.org", "+4915123456789"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_added_to_the_customer_of_the_email_address() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let first = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    let both = book_by(clients, &venue, contact("Ada", "ada@example.org", "+4915123456789")).await;
    let other_number = book_by(clients, &venue, contact("Ada", "ada@example.org", "+4915123450000")).await;
    let phone = book_by(clients, &venue, contact("Ada", "", "+4915123456789")).await;
    for booking in [&both, &other_number, &phone] {
        assert_eq!(booking.customer_id, first.customer_id);
    }
    assert_eq!(contact_of(clients, &first.customer_id).await.phone, "+4915123456789");
    // The customer keeps the first number, so the other one is a new customer's.
    let other = book_by(clients, &venue, contact("Ada", "", "+4915123450000")).await;
    assert_ne!(other.customer_id, first.customer_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_email_address_decides_and_a_number_stays_with_its_customer() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let ada = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let bob = book_by(clients, &venue, contact("Bob", "bob@example.org", "+4915123456789")).await.customer_id;
    let mixed = book_by(clients, &venue, contact("Ada", "ada@example.org", "+4915123456789")).await;
    assert_eq!(mixed.customer_id, ada);
    assert_eq!(mixed.contact.expect("a contact").phone, "+4915123456789", "the booking keeps what was given");
    // A new customer does not get the number of another one either.
    let cy = book_by(clients, &venue, contact("Cy", "cy@example.org", "+4915123456789")).await.customer_id;
    assert_eq!(contact_of(clients, &ada).await.phone, "");
    assert_eq!(contact_of(clients, &cy).await, contact("Cy", "cy@example.org", ""));
    assert_eq!(book_by(clients, &venue, contact("Bob", "", "+4915123456789")).await.customer_id, bob);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_keeps_the_contact_with_which_it_was_made() {
    let (service, venue) = service_with_venue().await;
    let mut clients = service.clients.clone();
    let given = [
        contact("Ada", "ada@example.org", ""),
        contact("Ada Example", "ada@example.org", "+4915123456789"),
        contact("A. E.", "", "+4915123456789"),
    ];
    let mut made = Vec::new();
    for contact in &given {
        made.push(book_by(&clients, &venue, contact.clone()).await);
    }
    for (booking, contact) in made.iter().zip(&given) {
        let get = GetBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
        let read = clients.bookings.get_booking(get).await.expect("read").into_inner().booking.expect("the booking");
        assert_eq!(read.contact.as_ref(), Some(contact));
        assert_eq!(read, *booking);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_needs_an_email_address_or_a_number() {
    let (service, venue) = service_with_venue().await;
    let mut clients = service.clients.clone();
    let before = service.written().await;
    let create = clients.bookings.create_booking(request_by(&venue, contact("Ada", "", ""))).await;
    let mut join = waitlist::request(&venue.venue_id, 1);
    join.contact = Some(contact("Ada", "", ""));
    let join = clients.bookings.join_waitlist(join).await;
    for status in [create.expect_err("refused"), join.expect_err("refused")] {
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["contact.email"]);
        assert!(violations[0].description.contains("contact.phone"));
    }
    assert_eq!(service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_contact_as_it_would_be_stored() {
    let (service, venue) = service_with_venue().await;
    let request = CreateBookingRequest {
        validate_only: true,
        ..request_by(&venue, contact(" Ada ", "Ada@Example.org", "0151 23456789"))
    };
    let before = service.written().await;
    let shown = service.clients.clone().bookings.create_booking(request).await.expect("decided").into_inner();
    let shown = shown.booking.expect("a booking").contact.expect("a contact");
    assert_eq!(shown, contact("Ada", "ada@example.org", "+4915123456789"));
    assert_eq!(service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_has_the_contact_of_its_waitlist_entry_and_the_customer_of_the_number() {
    let fixture = VenueFixture::over(waitlist::service_with_fast_workers().await, 2, 25).await;
    let full = fixture.book(2).await;
    let clients = &fixture.service.clients;
    let mut request = waitlist::request(&fixture.venue_id, 1);
    request.contact = Some(contact("Ada", "", "+4915123456789"));
    let entry = waitlist::join_by(clients, request.clone()).await.expect("joined");
    // The same person by an e-mail address that the call adds.
    request.idempotency_key = uuid::Uuid::now_v7().to_string();
    request.contact = Some(contact("Ada", "ada@example.org", "+4915123456789"));
    let again = waitlist::join_by(clients, request).await.expect_err("the customer waits already");
    assert_eq!(super::reason(&again), "ALREADY_WAITING");

    fixture.act(Change::Cancel, &full.booking_id).await.expect("cancelled");
    let offered = waitlist::becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    let get = GetBookingRequest { booking_id: offered.booking_id, ..Default::default() };
    let booking = clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    let booking = booking.expect("the booking");
    assert_eq!(booking.contact, Some(contact("Ada", "", "+4915123456789")));
    assert_eq!(booking.customer_id, entry.customer_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_by_number_alone_is_replayed_by_its_key() {
    let service = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut service.clients.clone(), 10).await.expect("a venue");
    let request = request_by(&venue, contact("Ada", "", "0151 23456789"));
    let made = service.clients.clone().bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let again = service.clients.clone().bookings.create_booking(request).await.expect("replayed").into_inner();
    assert!(again.replayed);
    assert_eq!(again.booking, made.booking);
}
