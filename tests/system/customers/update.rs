//! UpdateCustomer and FindCustomer.

use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{Customer, FindCustomerRequest, UpdateCustomerRequest};
use teppan_tests::clients::BookingClients;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{book_by, contact, contact_of, read_customer, reason, service_with_venue};

fn update(customer_id: &str, fields: &[&str], name: &str, email: &str, phone: &str) -> UpdateCustomerRequest {
    UpdateCustomerRequest {
        customer_id: customer_id.to_owned(),
        contact: Some(contact(name, email, phone)),
        update_mask: Some(FieldMask { paths: fields.iter().map(|field| (*field).to_owned()).collect() }),
        ..Default::default()
    }
}

async fn updated(clients: &BookingClients, request: UpdateCustomerRequest) -> Result<Customer, Status> {
    Ok(clients.clone().customers.update_customer(request).await?.into_inner().customer.expect("the customer"))
}

async fn found(clients: &BookingClients, request: FindCustomerRequest) -> Result<String, Status> {
    let found = clients.clone().customers.find_customer(request).await?.into_inner();
    Ok(found.customer.expect("the customer").customer_id)
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_fields_in_the_mask_change_and_bookings_keep_their_contact() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let given = contact("Ada", "ada@example.org", "+4915123456789");
    let booking = book_by(clients, &venue, given.clone()).await;
    let id = &booking.customer_id;

    let after = updated(clients, update(id, &["name"], "Ada Example", "x@example.org", "")).await.expect("changed");
    assert_eq!(after.contact, Some(contact("Ada Example", "ada@example.org", "+4915123456789")));
    let mut request = update(id, &["email", "phone"], "", " New@Example.org", "0151 23450000");
    request.phone_region = "DE".to_owned();
    let after = updated(clients, request).await.expect("changed");
    assert_eq!(after.contact, Some(contact("Ada Example", "new@example.org", "+4915123450000")));
    // The number is removed; the e-mail address must stay.
    let after = updated(clients, update(id, &["phone"], "", "", "")).await.expect("changed");
    assert_eq!(after.contact, Some(contact("Ada Example", "new@example.org", "")));
    let refused = updated(clients, update(id, &["email"], "", "", "")).await.expect_err("refused");
    assert_eq!(fields(&refused), ["contact"]);

    // The old contact is nobody's, the new one finds the customer.
    let missing = found(clients, FindCustomerRequest { email: given.email.clone(), ..Default::default() }).await;
    assert_eq!(reason(&missing.expect_err("nobody has it")), "CUSTOMER_NOT_FOUND");
    assert_eq!(book_by(clients, &venue, contact("Ada", "new@example.org", "")).await.customer_id, *id);
    let get = teppan_shared::contract::booking::v1::GetBookingRequest {
        booking_id: booking.booking_id.clone(),
        ..Default::default()
    };
    let read = clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    assert_eq!(read.expect("the booking").contact, Some(given));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_has_an_event_with_ids_only_and_a_repeated_one_has_none() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let before = read_customer(clients, &id).await.expect("read");
    let request = UpdateCustomerRequest { etag: before.etag, ..update(&id, &["name"], "Ada Example", "", "") };
    let after = updated(clients, request.clone()).await.expect("changed");
    // The same call again: the customer is as requested, although the etag is outdated.
    assert_eq!(updated(clients, request.clone()).await.expect("unchanged"), after);
    let other = UpdateCustomerRequest { contact: Some(contact("Eve", "", "")), ..request };
    let stale = updated(clients, other).await.expect_err("the etag is outdated");
    assert_eq!((stale.code(), reason(&stale)), (Code::Aborted, "ETAG_MISMATCH".to_owned()));

    let event: String = service.scalar("SELECT string_agg(type || ' ' || data, ',') FROM customer_events").await;
    assert!(event.starts_with("teppan.customer.updated.v1 {") && event.contains(&id), "{event}");
    assert_eq!(event.matches("updated").count(), 1, "{event}");
    assert!(!event.contains("Ada"), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contact_of_another_customer_is_refused() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let ada = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let bob = book_by(clients, &venue, contact("Bob", "bob@example.org", "+4915123456789")).await.customer_id;
    let before = service.written().await;
    for (mask, email, phone) in [("email", "BOB@example.org", ""), ("phone", "", "+4915123456789")] {
        let refused = updated(clients, update(&ada, &[mask], "", email, phone)).await.expect_err("refused");
        let info = refused.get_details_error_info().expect("an ErrorInfo");
        assert_eq!((refused.code(), &*info.reason), (Code::FailedPrecondition, "CONTACT_OF_ANOTHER_CUSTOMER"));
        assert_eq!((&*info.metadata["field"], &info.metadata["customer_id"]), (mask, &bob));
    }
    assert_eq!(service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_an_update_is_reported_at_once() {
    let (service, _) = service_with_venue().await;
    let request = UpdateCustomerRequest {
        phone_region: "XX".to_owned(),
        ..update("7", &["name", "email", "phone", "notes"], "\u{200b}", "ada", "12")
    };
    let refused = updated(&service.clients, request).await.expect_err("refused");
    let expected =
        ["customer_id", "phone_region", "contact.name", "contact.email", "contact.phone", "update_mask.paths[3]"];
    assert_eq!(fields(&refused), expected);
    let nobody = update(&Uuid::nil().to_string(), &["name"], "Ada", "", "");
    assert_eq!(reason(&updated(&service.clients, nobody).await.expect_err("nobody")), "CUSTOMER_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_found_by_a_number_with_its_country() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "", "+4915123456789")).await.customer_id;
    let by = |phone: &str, region: &str| FindCustomerRequest {
        phone: phone.to_owned(),
        phone_region: region.to_owned(),
        ..Default::default()
    };
    for request in [by("+49 (0)151 23456789", ""), by("0151 23456789", "DE"), by("+4915123456789", "US")] {
        assert_eq!(found(clients, request).await.expect("found"), id);
    }
    let unknown = found(clients, by("+4915123450000", "")).await.expect_err("nobody has it");
    assert_eq!(reason(&unknown), "CUSTOMER_NOT_FOUND");
    assert!(!format!("{unknown:?}").contains("23450000"));
    for request in [
        by("0151 23456789", ""),
        by("12", ""),
        FindCustomerRequest { email: "ada@example.org".to_owned(), ..by("+4915123456789", "") },
    ] {
        assert_eq!(fields(&found(clients, request).await.expect_err("refused")), ["phone"]);
    }
    assert_eq!(fields(&found(clients, by("", "")).await.expect_err("refused")), ["email"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_customers_who_take_one_email_address_at_once_one_gets_it() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for number in 0..20 {
        let email = format!("guest.{number}@example.org");
        ids.push(book_by(clients, &venue, contact("Ada", &email, "")).await.customer_id);
    }
    let calls = ids.iter().map(|id| updated(clients, update(id, &["email"], "", "wanted@example.org", "")));
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(reason(refused), "CONTACT_OF_ANOTHER_CUSTOMER");
    }
    for id in &ids {
        contact_of(clients, id).await;
    }
}
