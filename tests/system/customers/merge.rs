//! MergeCustomers.

use teppan_shared::contract::booking::v1::{
    ConsentChannel, ConsentPurpose, Customer, ExportCustomerRequest, FindCustomerRequest, ListBookingsRequest,
    MergeCustomersRequest, UpdateCustomerRequest, Venue,
};
use teppan_tests::{clients::BookingClients, harness};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    book_by,
    consents::{consent, recorded, set},
    contact, contact_of,
    erasure::{book_in, cancel, erase},
    export::pages,
    read_customer, reason, service_with_venue,
};
use crate::verify;

pub fn merge_of(customer_id: &str, duplicate_customer_id: &str) -> MergeCustomersRequest {
    MergeCustomersRequest {
        customer_id: customer_id.to_owned(),
        duplicate_customer_id: duplicate_customer_id.to_owned(),
        ..Default::default()
    }
}

pub async fn merged(clients: &BookingClients, request: MergeCustomersRequest) -> Result<Customer, Status> {
    Ok(clients.clone().customers.merge_customers(request).await?.into_inner().customer.expect("the customer"))
}

async fn found_by(clients: &BookingClients, email: &str, phone: &str) -> Result<String, Status> {
    let request = FindCustomerRequest { email: email.to_owned(), phone: phone.to_owned(), ..Default::default() };
    let found = clients.clone().customers.find_customer(request).await?.into_inner();
    Ok(found.customer.expect("the customer").customer_id)
}

async fn bookings_of(clients: &BookingClients, customer_id: &str) -> usize {
    let request = ListBookingsRequest { customer_id: customer_id.to_owned(), ..Default::default() };
    clients.clone().bookings.list_bookings(request).await.expect("listed").into_inner().bookings.len()
}

/// The reason of a refusal, and the customer in its metadata.
fn refusal(status: &Status) -> (String, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    (info.reason, info.metadata.get("customer_id").cloned().unwrap_or_default())
}

/// Two bookings of one person, by e-mail and by telephone: two customers.
async fn by_email_and_by_phone(clients: &BookingClients, venue: &Venue) -> [String; 2] {
    let by_email = book_by(clients, venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let by_phone = book_by(clients, venue, contact("Ada E.", "", "+4915123456789")).await.customer_id;
    assert_ne!(by_email, by_phone);
    [by_email, by_phone]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_become_one_with_all_bookings_found_by_both_contacts() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let [remaining, duplicate] = by_email_and_by_phone(clients, &venue).await;
    let preview = MergeCustomersRequest { validate_only: true, ..merge_of(&remaining, &duplicate) };
    let before = service.written().await;
    let expected = merged(clients, preview).await.expect("it would be merged");
    assert_eq!(service.written().await, before);

    let customer = merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    assert_eq!((customer.customer_id.as_str(), customer.booking_count), (remaining.as_str(), 2));
    assert_eq!(customer.contact, Some(contact("Ada", "ada@example.org", "+4915123456789")));
    let [gone] = &customer.merged_customers[..] else { panic!("{customer:?}") };
    assert_eq!((&gone.customer_id, &gone.contact), (&duplicate, &Some(contact("Ada E.", "", ""))));
    assert_eq!((expected.contact, expected.booking_count), (customer.contact.clone(), 2));
    assert_eq!(expected.merged_customers[0].contact, gone.contact);

    assert_eq!(read_customer(clients, &remaining).await.expect("read"), customer);
    let pointer = read_customer(clients, &duplicate).await.expect("read");
    assert_eq!((pointer.merged_into.as_str(), pointer.booking_count), (remaining.as_str(), 0));
    assert_eq!((bookings_of(clients, &remaining).await, bookings_of(clients, &duplicate).await), (2, 0));
    for (email, phone) in [("ada@example.org", ""), ("", "+4915123456789")] {
        assert_eq!(found_by(clients, email, phone).await.expect("found"), remaining);
        assert_eq!(book_by(clients, &venue, contact("Ada", email, phone)).await.customer_id, remaining);
    }
    let events: Vec<String> = service
        .scalar(
            "SELECT array_agg(type || ' ' || (data ->> 'customer_id') ORDER BY type)
             FROM (SELECT type, data FROM customer_events
                   UNION ALL SELECT type, data FROM booking_events WHERE version = 2) AS e",
        )
        .await;
    assert_eq!(
        events,
        [format!("teppan.booking.customer_changed.v1 {remaining}"), format!("teppan.customer.merged.v1 {remaining}")]
    );
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_that_the_remaining_customer_has_no_room_for_still_finds_it() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let (ada, old) =
        (contact("Ada", "ada@example.org", "+4915123456789"), contact("Ada", "a@old.example", "+4915123450000"));
    let remaining = book_by(clients, &venue, ada.clone()).await.customer_id;
    let duplicate = book_by(clients, &venue, old.clone()).await.customer_id;
    let customer = merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    assert_eq!((customer.contact, &customer.merged_customers[0].contact), (Some(ada), &Some(old.clone())));
    assert_eq!(contact_of(clients, &duplicate).await, old);

    assert_eq!(found_by(clients, "a@old.example", "").await.expect("found"), remaining);
    assert_eq!(found_by(clients, "", "+4915123450000").await.expect("found"), remaining);
    let contacts = [
        old,
        contact("Ada", "a@old.example", ""),
        contact("Ada", "", "+4915123450000"),
        contact("Ada", "a@old.example", "+4915123456789"),
        // A number that nobody has, and for which there is no room.
        contact("Ada", "a@old.example", "+4915123451111"),
    ];
    for given in contacts {
        let booking = book_by(clients, &venue, given.clone()).await;
        assert_eq!((booking.customer_id, booking.contact), (remaining.clone(), Some(given)));
    }
    // Another e-mail address with the old number: another person, as before the merge.
    let other = book_by(clients, &venue, contact("Bob", "bob@example.org", "+4915123450000")).await.customer_id;
    assert_ne!(other, remaining);
    assert_eq!(contact_of(clients, &other).await, contact("Bob", "bob@example.org", ""));
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_adds_to_the_remaining_customer_through_the_contact_of_a_merged_one() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let remaining = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let duplicate = book_by(clients, &venue, contact("Ada", "a@old.example", "")).await.customer_id;
    merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    let booking = book_by(clients, &venue, contact("Ada", "a@old.example", "+4915123456789")).await;
    assert_eq!(booking.customer_id, remaining);
    assert_eq!(contact_of(clients, &remaining).await, contact("Ada", "ada@example.org", "+4915123456789"));
    assert_eq!(contact_of(clients, &duplicate).await, contact("Ada", "a@old.example", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_merge_changes_nothing_also_with_outdated_etags() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let [remaining, duplicate] = by_email_and_by_phone(clients, &venue).await;
    let etags = [read_customer(clients, &remaining).await.expect("read").etag, "v1".to_owned()];
    let request = MergeCustomersRequest {
        etag: etags[0].clone(),
        duplicate_etag: etags[1].clone(),
        ..merge_of(&remaining, &duplicate)
    };
    let first = merged(clients, request.clone()).await.expect("merged");
    assert_ne!(first.etag, etags[0]);
    let before = service.written().await;
    assert_eq!(merged(clients, request).await.expect("merged before"), first);
    assert_eq!(service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_merges_write_nothing_and_name_the_customer_to_use() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for number in 0..5 {
        let booking = book_by(clients, &venue, contact("Ada", &format!("ada.{number}@example.org"), "")).await;
        if number == 4 {
            cancel(clients, &booking).await;
        }
        ids.push(booking.customer_id);
    }
    let [a, b, c, d, erased] = &ids[..] else { panic!("five customers") };
    erase(clients, erased).await.expect("erased");
    merged(clients, merge_of(a, b)).await.expect("merged");
    let nobody = Uuid::nil().to_string();
    let before = service.written().await;
    let none = String::new;
    for (request, expected) in [
        // Merged into another one, either of the two, and into its own duplicate.
        (merge_of(c, b), ("CUSTOMER_MERGED", a.clone())),
        (merge_of(b, c), ("CUSTOMER_MERGED", a.clone())),
        (merge_of(b, a), ("CUSTOMER_MERGED", a.clone())),
        (merge_of(erased, c), ("CUSTOMER_ERASED", none())),
        (merge_of(c, erased), ("CUSTOMER_ERASED", none())),
        (merge_of(&nobody, c), ("CUSTOMER_NOT_FOUND", none())),
        (merge_of(c, &nobody), ("CUSTOMER_NOT_FOUND", none())),
        (MergeCustomersRequest { etag: "v7".to_owned(), ..merge_of(c, d) }, ("ETAG_MISMATCH", none())),
        (MergeCustomersRequest { duplicate_etag: "v7".to_owned(), ..merge_of(c, d) }, ("ETAG_MISMATCH", none())),
    ] {
        for validate_only in [true, false] {
            let request = MergeCustomersRequest { validate_only, ..request.clone() };
            let refused = merged(clients, request).await.expect_err("refused");
            assert_eq!(refusal(&refused), (expected.0.to_owned(), expected.1.clone()));
        }
    }
    for (request, fields) in [
        (merge_of(c, &c.to_uppercase()), vec!["duplicate_customer_id"]),
        (merge_of("7", ""), vec!["customer_id", "duplicate_customer_id"]),
    ] {
        let refused = merged(clients, request).await.expect_err("invalid");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violations = refused.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), fields);
    }
    // Other changes of a merged customer name the remaining one too.
    let update = UpdateCustomerRequest {
        customer_id: b.clone(),
        contact: Some(contact("Eve", "", "")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["name".to_owned()] }),
        ..Default::default()
    };
    let mut customers = clients.clone().customers;
    let export = ExportCustomerRequest { customer_id: b.clone(), ..Default::default() };
    for refused in [
        customers.update_customer(update).await.expect_err("merged"),
        customers.export_customer(export).await.expect_err("merged"),
        erase(clients, b).await.expect_err("merged"),
    ] {
        assert_eq!(refusal(&refused), ("CUSTOMER_MERGED".to_owned(), a.clone()));
    }
    assert_eq!(service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_customer_always_points_to_the_one_that_remains() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for number in 0..4 {
        let email = format!("ada.{number}@example.org");
        ids.push(book_by(clients, &venue, contact("Ada", &email, "")).await.customer_id);
    }
    for step in [1, 2, 3] {
        merged(clients, merge_of(&ids[step], &ids[step - 1])).await.expect("merged");
    }
    for (number, id) in ids.iter().enumerate().take(3) {
        assert_eq!(read_customer(clients, id).await.expect("read").merged_into, ids[3]);
        let email = format!("ada.{number}@example.org");
        assert_eq!(found_by(clients, &email, "").await.expect("found"), ids[3]);
        assert_eq!(book_by(clients, &venue, contact("Ada", &email, "")).await.customer_id, ids[3]);
    }
    let customer = read_customer(clients, &ids[3]).await.expect("read");
    let merged_ids: Vec<_> = customer.merged_customers.iter().map(|it| it.customer_id.clone()).collect();
    assert_eq!((merged_ids.as_slice(), customer.booking_count), (&ids[..3], 7));
    // The schema refuses a chain, whoever writes it.
    let mut connection = harness::connect(&service.url).await;
    for chain in [
        format!("UPDATE customers SET merged_into = '{}' WHERE customer_id = '{}'", ids[0], ids[1]),
        format!("UPDATE customers SET merged_into = '{}', merged_at = now() WHERE customer_id = '{}'", ids[1], ids[3]),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(chain)).execute(&mut connection).await.expect_err("refused");
        let constraint = refused.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
        assert_eq!(constraint.as_deref(), Some("customer_merges_have_no_chain"));
    }
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remaining_customer_is_exported_and_erased_with_the_merged_ones() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for (email, chat) in [("ada@example.org", "chat-1"), ("a@old.example", "chat-2")] {
        let booking = book_in(clients, &venue, email, chat).await;
        cancel(clients, &booking).await;
        ids.push(booking.customer_id);
    }
    merged(clients, merge_of(&ids[0], &ids[1])).await.expect("merged");
    let export = ExportCustomerRequest { customer_id: ids[0].clone(), ..Default::default() };
    let page = clients.clone().customers.export_customer(export).await.expect("a page").into_inner();
    assert_eq!(page.bookings.len(), 2);
    let exported = &page.customer.expect("the customer").merged_customers[0];
    assert_eq!(exported.contact.as_ref().expect("a contact").email, "a@old.example");

    let erased = erase(clients, &ids[0]).await.expect("erased");
    assert_eq!((erased.bookings_kept, erased.conversation_ids), (2, vec!["chat-1".to_owned(), "chat-2".to_owned()]));
    let left = "SELECT (SELECT count(*) FROM customers WHERE num_nonnulls(email_hash, phone_hash, contact_sealed) > 0)
                     + (SELECT count(*) FROM bookings WHERE details_sealed IS NOT NULL)";
    assert_eq!(service.scalar::<i64>(left).await, 0);
    let pointer = read_customer(clients, &ids[1]).await.expect("read");
    assert_eq!((pointer.contact, pointer.merged_into, pointer.erased_at), (None, ids[0].clone(), erased.erased_at));
    let event: String =
        service.scalar("SELECT data ->> 'merged_customer_ids' FROM customer_events WHERE type LIKE '%erased%'").await;
    assert_eq!(event, format!("[\"{}\"]", ids[1]));
    // Again, by either id, and a merge that was made before.
    let before = service.written().await;
    assert_eq!(erase(clients, &ids[0]).await.expect("erased").erased_at, erased.erased_at);
    assert_eq!(erase(clients, &ids[1]).await.expect("erased").erased_at, erased.erased_at);
    assert!(merged(clients, merge_of(&ids[0], &ids[1])).await.expect("merged before").erased_at.is_some());
    assert_eq!(service.written().await, before);
    // The contacts are nobody's any more.
    assert_eq!(reason(&found_by(clients, "a@old.example", "").await.expect_err("nobody")), "CUSTOMER_NOT_FOUND");
    let new = book_by(clients, &venue, contact("Ada", "a@old.example", "")).await.customer_id;
    assert!(!ids.contains(&new));
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remaining_customer_can_take_the_contact_of_a_merged_one() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for given in [
        contact("Ada", "ada@example.org", "+4915123456789"),
        contact("Ada", "a@old.example", ""),
        contact("Ada", "", "+4915123450000"),
    ] {
        ids.push(book_by(clients, &venue, given).await.customer_id);
    }
    for duplicate in &ids[1..] {
        merged(clients, merge_of(&ids[0], duplicate)).await.expect("merged");
    }
    let request = UpdateCustomerRequest {
        customer_id: ids[0].clone(),
        contact: Some(contact("", "a@old.example", "+4915123450000")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["email".to_owned(), "phone".to_owned()] }),
        ..Default::default()
    };
    let after = clients.clone().customers.update_customer(request).await.expect("changed").into_inner().customer;
    let after = after.expect("the customer");
    assert_eq!(after.contact, Some(contact("Ada", "a@old.example", "+4915123450000")));
    assert!(after.merged_customers.iter().all(|it| it.contact == Some(contact("Ada", "", ""))), "{after:?}");
    assert_eq!(found_by(clients, "a@old.example", "").await.expect("found"), ids[0]);
    // What the customer had before is nobody's now.
    assert_eq!(reason(&found_by(clients, "ada@example.org", "").await.expect_err("nobody")), "CUSTOMER_NOT_FOUND");
    // For any other customer, the refusal names the customer who has it.
    let other = book_by(clients, &venue, contact("Bob", "bob@example.org", "")).await.customer_id;
    merged(clients, merge_of(&ids[0], &other)).await.expect("merged");
    let eve = book_by(clients, &venue, contact("Eve", "eve@example.org", "")).await.customer_id;
    let request = UpdateCustomerRequest {
        customer_id: eve,
        contact: Some(contact("", "bob@example.org", "")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["email".to_owned()] }),
        ..Default::default()
    };
    let refused = clients.clone().customers.update_customer(request).await.expect_err("it is Ada's");
    assert_eq!(refusal(&refused), ("CONTACT_OF_ANOTHER_CUSTOMER".to_owned(), ids[0].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_consent_of_the_two_counts_and_the_history_of_both_is_exported() {
    use ConsentChannel::{Email, Sms, Unspecified as Every};
    use ConsentPurpose::{Analytics, Marketing};

    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let [remaining, duplicate] = by_email_and_by_phone(clients, &venue).await;
    for (id, purpose, channel, granted) in [
        (&remaining, Marketing, Sms, true),
        (&remaining, Analytics, Every, true),
        (&duplicate, Marketing, Every, false),
        (&duplicate, Analytics, Every, false),
        (&remaining, Marketing, Email, true),
        (&duplicate, Analytics, Sms, true),
    ] {
        set(clients, consent(id, purpose, channel, granted)).await.expect("recorded");
    }
    let customer = merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    assert_eq!(
        recorded(&customer.consents),
        [
            (Analytics, Every, false),
            (Analytics, Sms, true),
            // The consent for SMS was older than the refusal of everything.
            (Marketing, Every, false),
            (Marketing, Email, true),
        ]
    );
    let pages = pages(clients, &remaining, 2).await;
    let changes: Vec<_> = pages.into_iter().flat_map(|page| page.consent_changes).collect();
    for id in [&remaining, &duplicate] {
        assert_eq!(changes.iter().filter(|it| it.customer_id == *id).count(), 3);
    }
    let refused = set(clients, consent(&duplicate, Marketing, Every, true)).await.expect_err("merged");
    assert_eq!(refusal(&refused), ("CUSTOMER_MERGED".to_owned(), remaining.clone()));
    // A later consent replaces what came from the duplicate.
    set(clients, consent(&remaining, Analytics, Every, true)).await.expect("recorded");
    let consents = read_customer(clients, &remaining).await.expect("read").consents;
    assert_eq!(recorded(&consents)[0], (Analytics, Every, true));
    assert_eq!(consents.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_hundred_customers_are_merged_into_one() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let remaining = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    for number in 0..=100 {
        let email = format!("ada.{number}@example.org");
        let duplicate = book_by(clients, &venue, contact("Ada", &email, "")).await.customer_id;
        let answer = merged(clients, merge_of(&remaining, &duplicate)).await;
        match answer {
            Ok(customer) => assert_eq!(customer.merged_customers.len(), number + 1),
            Err(refused) => {
                assert_eq!((reason(&refused).as_str(), number), ("TOO_MANY_MERGED_CUSTOMERS", 100));
                assert_eq!(refused.get_details_error_info().expect("an ErrorInfo").metadata["limit"], "100");
                return;
            }
        }
    }
    panic!("the last one is refused");
}
