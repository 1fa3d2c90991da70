//! Concurrent calls about one person.

use std::collections::BTreeSet;

use futures::future::join_all;
use teppan_shared::contract::booking::v1::Contact;

use super::{book_by, contact, contact_of, service_with_venue};

/// Contacts of one person in every combination, many times.
fn contacts(of: &[Contact]) -> Vec<Contact> {
    of.iter().cycle().take(60).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_bookings_by_one_number_make_one_customer() {
    let (service, venue) = service_with_venue().await;
    let calls = contacts(&[contact("Ada", "", "+4915123456789")]);
    let made = join_all(calls.into_iter().map(|contact| book_by(&service.clients, &venue, contact))).await;
    let ids: BTreeSet<_> = made.into_iter().map(|booking| booking.customer_id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM customers").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_bookings_that_add_to_one_customer_add_once() {
    let (service, venue) = service_with_venue().await;
    let first = book_by(&service.clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let calls = contacts(&[
        contact("Ada", "ada@example.org", "+4915123456789"),
        contact("Ada", "ada@example.org", "+4915123450000"),
        contact("Ada", "ada@example.org", ""),
    ]);
    let made = join_all(calls.into_iter().map(|contact| book_by(&service.clients, &venue, contact))).await;
    assert!(made.iter().all(|booking| booking.customer_id == first));
    let phone = contact_of(&service.clients, &first).await.phone;
    assert!(["+4915123456789", "+4915123450000"].contains(&phone.as_str()), "{phone}");
    assert_eq!(service.scalar::<i64>("SELECT version FROM customers").await, 2);
    let booked = service.scalar::<i64>("SELECT sum(reserved) FROM slots").await;
    assert_eq!(booked, 61, "a call that ran again took its seat once");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_bookings_by_two_people_with_one_number_give_it_to_one_of_them() {
    let (service, venue) = service_with_venue().await;
    let calls = contacts(&[
        contact("Ada", "ada@example.org", "+4915123456789"),
        contact("Bob", "bob@example.org", "+4915123456789"),
    ]);
    let made = join_all(calls.into_iter().map(|contact| book_by(&service.clients, &venue, contact))).await;
    let ids: BTreeSet<_> = made.into_iter().map(|booking| booking.customer_id).collect();
    assert_eq!(ids.len(), 2);
    let mut numbers = Vec::new();
    for id in &ids {
        numbers.push(contact_of(&service.clients, id).await.phone);
    }
    numbers.sort();
    assert_eq!(numbers, ["", "+4915123456789"]);
}
