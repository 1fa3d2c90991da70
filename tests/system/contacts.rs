//! Contact data of customers: names, e-mail addresses, telephone numbers.

use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Contact, CreateBookingRequest, Customer, FindCustomerRequest, GetBookingRequest, GetCustomerRequest,
    ListVenuesRequest, UpdateVenueRequest, Venue,
};
use teppan_tests::{clients::BookingClients, fixtures, harness::Booking};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::waitlist;

fn request_with(venue_id: &str, change: impl FnOnce(&mut Contact)) -> CreateBookingRequest {
    let mut request = fixtures::booking(venue_id, 1);
    request.allow_duplicate = true;
    change(request.contact.as_mut().expect("a contact"));
    request
}

/// Makes a booking and returns its customer.
async fn customer_of(clients: &BookingClients, request: CreateBookingRequest) -> Result<Customer, Status> {
    let mut clients = clients.clone();
    let booking = clients.bookings.create_booking(request).await?.into_inner().booking.expect("the booking");
    let request = GetCustomerRequest { customer_id: booking.customer_id };
    Ok(clients.customers.get_customer(request).await?.into_inner().customer.expect("the customer"))
}

/// Makes a booking with this telephone number and returns the number as it is stored.
async fn stored_phone(clients: &BookingClients, venue: &Venue, phone: &str) -> Result<String, Status> {
    let request = request_with(&venue.venue_id, |contact| phone.clone_into(&mut contact.phone));
    let made = clients.clone().bookings.create_booking(request).await?.into_inner().booking.expect("the booking");
    let booking_id = made.booking_id.clone();
    let get = GetBookingRequest { booking_id, ..Default::default() };
    let read = clients.clone().bookings.get_booking(get).await?.into_inner().booking.expect("the booking");
    assert!(made.contact == read.contact, "the answer has the stored contact");
    Ok(read.contact.expect("a contact").phone)
}

async fn set_phone_region(clients: &BookingClients, venue: &Venue, region: &str) -> Venue {
    let venue = Venue { venue_id: venue.venue_id.clone(), phone_region: region.to_owned(), ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["phone_region".to_owned()] });
    let request = UpdateVenueRequest { venue: Some(venue), update_mask, ..Default::default() };
    clients.clone().schedule.update_venue(request).await.expect("updated").into_inner().venue.expect("the venue")
}

/// Field and description of the only violation.
fn violation(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let mut violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    let violation = violations.remove(0);
    (violation.field, violation.description)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_name_and_an_email_address_is_the_same_customer() {
    let booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 50).await.expect("a venue");
    let spellings = ["rené@müller.de", "rene\u{301}@mu\u{308}ller.de", " RENÉ@xn--mller-kva.DE", "\"rené\"@müller.de"];
    let mut ids = Vec::new();
    for email in spellings {
        let request = request_with(&venue.venue_id, |contact| {
            email.clone_into(&mut contact.email);
            "Rene\u{301} Mu\u{308}ller".clone_into(&mut contact.name);
        });
        let customer = customer_of(&booking.clients, request).await.expect("booked");
        let contact = customer.contact.expect("a contact");
        assert_eq!((contact.name.as_str(), contact.email.as_str()), ("René Müller", "rené@xn--mller-kva.de"));
        ids.push(customer.customer_id);
    }
    for email in spellings {
        let request = FindCustomerRequest { email: email.to_owned(), ..Default::default() };
        let found = booking.clients.customers.clone().find_customer(request).await.expect("found").into_inner();
        ids.push(found.customer.expect("the customer").customer_id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_be_one_letter_and_must_not_contain_invisible_characters() {
    let booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 50).await.expect("a venue");
    for name in ["李", "J"] {
        let request = request_with(&venue.venue_id, |contact| name.clone_into(&mut contact.name));
        let customer = customer_of(&booking.clients, request).await.expect("booked");
        assert_eq!(customer.contact.expect("a contact").name, name);
    }
    for name in ["\u{200b}", "Mi\u{200d}na", "Mina\u{202e}", "Mi\0na", "Mi\u{7}na", "\u{3164}", "\u{ffff}"] {
        let request = request_with(&venue.venue_id, |contact| name.clone_into(&mut contact.name));
        let refused = customer_of(&booking.clients, request).await.expect_err("refused");
        assert_eq!(violation(&refused).0, "contact.name", "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_international_number_is_the_same_at_every_venue() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    for region in ["US", "DE"] {
        let venue = fixtures::venue_with(&mut clients, 50, |venue| venue.phone_region = Some(region.to_owned())).await;
        let venue = venue.expect("a venue");
        for number in [
            "+4915123456789",
            "+8613912345678",
            "+821012345678",
            "+5511961234567",
            "+33123456789",
            "+201001234567",
            "+441212345678",
            "+390669812345",
            "+2250701234567",
        ] {
            assert_eq!(stored_phone(&clients, &venue, number).await.as_deref().ok(), Some(number), "{region}");
        }
        assert_eq!(stored_phone(&clients, &venue, "+33 (0)1 23 45 67 89").await.expect("read"), "+33123456789");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_without_plus_belongs_to_the_venues_region() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    for (zone, region, effective, written, number) in [
        ("Europe/Berlin", None, "DE", "030 123456", "+4930123456"),
        ("Europe/Berlin", None, "DE", "0049 30 123456", "+4930123456"),
        ("Asia/Tokyo", None, "JP", "０３-１２３４-５６７８", "+81312345678"),
        ("Africa/Cairo", None, "EG", "٠١٠٠١٢٣٤٥٦٧", "+201001234567"),
        // The service's default region.
        ("UTC", None, "US", "(408) 971-8523", "+14089718523"),
        ("Europe/Berlin", Some("FR"), "FR", "01 23 45 67 89", "+33123456789"),
    ] {
        let venue = fixtures::venue_with(&mut clients, 50, |venue| {
            zone.clone_into(&mut venue.time_zone);
            venue.phone_region = region.map(str::to_owned);
        });
        let venue = venue.await.expect("a venue");
        assert_eq!(venue.phone_region, effective, "{zone}");
        assert_eq!(stored_phone(&clients, &venue, written).await.expect("read"), number, "{zone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_region_that_another_replica_changes_applies_at_once() {
    let booking = Booking::start().await.ready().await;
    let other = Booking::over(booking.url.clone(), booking.keys.clone()).await.ready().await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 50).await.expect("a venue");
    assert_eq!(stored_phone(&booking.clients, &venue, "030 123456").await.expect("read"), "+4930123456");

    assert_eq!(set_phone_region(&other.clients, &venue, "FR").await.phone_region, "FR");
    // This number is valid only in the new region, and the previous number only in the old one.
    assert_eq!(stored_phone(&booking.clients, &venue, "01 23 45 67 89").await.expect("read"), "+33123456789");
    let refused = stored_phone(&booking.clients, &venue, "030 123456").await.expect_err("not a number in France");
    assert_eq!(violation(&refused).0, "contact.phone");

    // This number is valid in both regions: the newest region counts.
    for (region, number) in [("DE", "+49612345678"), ("FR", "+33612345678")] {
        set_phone_region(&other.clients, &venue, region).await;
        assert_eq!(stored_phone(&booking.clients, &venue, "06 12 34 56 78").await.expect("read"), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_replayed_even_if_the_phone_region_changed() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue = fixtures::venue(&mut clients, 50).await.expect("a venue");
    let request = request_with(&venue.venue_id, |contact| "030 123456".clone_into(&mut contact.phone));
    let made = clients.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    set_phone_region(&clients, &venue, "FR").await;
    // The other replica has not cached the venue.
    let other = Booking::over(booking.url.clone(), booking.keys.clone()).await.ready().await;
    for clients in [clients, other.clients] {
        let again = clients.bookings.clone().create_booking(request.clone()).await.expect("replayed").into_inner();
        assert!(again.replayed);
        assert_eq!(again.booking, made.booking);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_number_is_refused_with_the_fault_but_without_its_digits() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue = fixtures::venue(&mut clients, 50).await.expect("a venue");
    let before = booking.written().await;
    for (phone, fault) in [
        ("12", "too short"),
        ("0301", "in use in DE, the venue's phone_region"),
        ("030 12345678901234567", "too long for a telephone number in DE"),
        ("0408 971-8523 ext 5", "without letters"),
        ("030 123456 #55", "without an extension"),
        ("+999 4321", "calling code"),
        ("+1 108 971 8523", "in use"),
    ] {
        let refused = stored_phone(&clients, &venue, phone).await.expect_err(phone);
        let mut join = waitlist::request(&venue.venue_id, 1);
        phone.clone_into(&mut join.contact.as_mut().expect("a contact").phone);
        let not_joined = clients.bookings.join_waitlist(join).await.expect_err(phone);
        for status in [refused, not_joined] {
            let (field, description) = violation(&status);
            assert_eq!(field, "contact.phone", "{phone}");
            assert!(description.contains(fault), "{phone}: {description}");
            for digits in ["0301", "78901", "971", "4321"] {
                assert!(!format!("{} {description}", status.message()).contains(digits), "{status:?}");
            }
        }
    }
    assert_eq!(booking.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_waitlist_entry_belongs_to_the_venues_region() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue = fixtures::venue(&mut clients, 1).await.expect("a venue");
    clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("the last seat is booked");
    let mut request = waitlist::request(&venue.venue_id, 1);
    "030 123456".clone_into(&mut request.contact.as_mut().expect("a contact").phone);
    let entry = clients.bookings.join_waitlist(request.clone()).await.expect("joined").into_inner();
    let customer_id = entry.entry.expect("the entry").customer_id;
    let customer = clients.customers.get_customer(GetCustomerRequest { customer_id }).await.expect("read").into_inner();
    assert_eq!(customer.customer.expect("the customer").contact.expect("a contact").phone, "+4930123456");
    set_phone_region(&clients, &venue, "FR").await;
    assert!(clients.bookings.join_waitlist(request).await.expect("replayed").into_inner().replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_region_must_have_telephone_numbers_and_a_currency_must_be_in_use() {
    let mut booking = Booking::start().await.ready().await;
    for region in ["", "de", "XX", "AQ", "Germany"] {
        let refused =
            fixtures::venue_with(&mut booking.clients, 1, |venue| venue.phone_region = Some(region.to_owned())).await;
        assert_eq!(violation(&refused.expect_err(region)).0, "phone_region", "{region}");
    }
    for currency in ["XXX", "XTS", "XAU", "XDR", "CLF"] {
        let refused =
            fixtures::venue_with(&mut booking.clients, 1, |venue| venue.currency = Some(currency.to_owned())).await;
        assert_eq!(violation(&refused.expect_err(currency)).0, "currency", "{currency}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_is_found_by_its_name_in_every_spelling() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, 1, |venue| venue.name = "Cafe\u{301}".to_owned()).await;
    let venue = venue.expect("a venue");
    assert_eq!(venue.name, "Café");
    for name in ["Café", "Cafe\u{301}"] {
        let request = ListVenuesRequest { name: name.to_owned(), ..Default::default() };
        let listed = booking.clients.schedule.list_venues(request).await.expect("listed").into_inner().venues;
        let found: Vec<_> = listed.into_iter().map(|it| it.venue_id).collect();
        assert_eq!(found, std::slice::from_ref(&venue.venue_id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_found_by_any_spelling_of_its_confirmation_code() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 1).await.expect("a venue");
    let made = booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("booked");
    let made = made.into_inner().booking.expect("the booking");
    let (left, right) = made.confirmation_code.split_at(4);
    for code in [
        format!("{left}-{right}"),
        format!(" {left} {right} ").to_lowercase(),
        format!("{left}\u{2013}{right}").to_lowercase(),
        format!("{left}\u{a0}{right}"),
    ] {
        let request = GetBookingRequest { confirmation_code: code.clone(), ..Default::default() };
        let found = booking.clients.bookings.get_booking(request).await.expect(&code).into_inner().booking;
        assert_eq!(found.map(|it| it.booking_id), Some(made.booking_id.clone()), "{code}");
    }
}
