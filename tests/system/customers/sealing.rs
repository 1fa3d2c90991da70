//! Changes of customers by SQL are noticed, and customers stay known while keys are rotated.

use sqlx::AssertSqlSafe;
use teppan_shared::keys::Keys;
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;

use super::{
    book_by, contact, contact_of,
    merge::{merge_of, merged},
    read_customer, reason, service_with_venue,
};
use crate::rotation::{keys, rotated};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_was_changed_by_sql_is_reported_as_corrupted() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let ada = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let bob = book_by(clients, &venue, contact("Bob", "bob@example.org", "+4915123450000")).await.customer_id;
    harness::execute(&service.url, "CREATE TABLE older AS TABLE customers").await;
    book_by(clients, &venue, contact("Ada", "ada@example.org", "+4915123456789")).await;
    harness::execute(&service.url, "CREATE TABLE sound AS TABLE customers").await;
    let changes = [
        // Two customers are exchanged whole.
        "UPDATE customers c SET contact_sealed = s.contact_sealed, version = s.version
         FROM sound s WHERE c.customer_id <> s.customer_id",
        // Only their hashes are exchanged.
        "UPDATE customers SET email_hash = NULL, phone_hash = sha256(customer_id::text::bytea);
         UPDATE customers c SET email_hash = s.email_hash, phone_hash = s.phone_hash
         FROM sound s WHERE c.customer_id <> s.customer_id",
        // An older contact is put back, from before the number was added.
        "UPDATE customers c SET contact_sealed = o.contact_sealed FROM older o WHERE c.customer_id = o.customer_id
            AND c.version > o.version",
        "UPDATE customers c SET contact_sealed = o.contact_sealed, version = o.version
         FROM older o WHERE c.customer_id = o.customer_id AND c.version > o.version",
        // The number is removed.
        "UPDATE customers SET phone_hash = NULL",
        // A number is made up.
        "UPDATE customers SET phone_hash = sha256(customer_id::text::bytea)",
        // Another version is stated.
        "UPDATE customers SET version = version + 1",
    ];
    for change in changes {
        harness::execute(&service.url, AssertSqlSafe(change)).await;
        let status = read_customer(clients, &ada).await.expect_err(change);
        assert_eq!((status.code(), reason(&status)), (Code::Internal, "DATA_CORRUPTED".to_owned()), "{change}");
        assert!(!status.message().contains("ada"), "{status:?}");
        harness::execute(
            &service.url,
            "UPDATE customers SET email_hash = NULL, phone_hash = sha256(customer_id::text::bytea);
             UPDATE customers c SET contact_sealed = s.contact_sealed, version = s.version, email_hash = s.email_hash,
                 phone_hash = s.phone_hash FROM sound s WHERE c.customer_id = s.customer_id",
        )
        .await;
    }
    assert_eq!(contact_of(clients, &ada).await, contact("Ada", "ada@example.org", "+4915123456789"));
    assert_eq!(contact_of(clients, &bob).await.name, "Bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_that_was_moved_to_another_booking_is_reported_as_corrupted() {
    let (service, venue) = service_with_venue().await;
    let ada = book_by(&service.clients, &venue, contact("Ada", "ada@example.org", "")).await;
    book_by(&service.clients, &venue, contact("Bob", "bob@example.org", "")).await;
    let swap = "UPDATE bookings b SET details_sealed = o.details_sealed
                FROM bookings o WHERE o.booking_id <> b.booking_id";
    harness::execute(&service.url, swap).await;
    let get =
        teppan_shared::contract::booking::v1::GetBookingRequest { booking_id: ada.booking_id, ..Default::default() };
    let status = service.clients.clone().bookings.get_booking(get).await.expect_err("it cannot be read");
    assert_eq!(reason(&status), "DATA_CORRUPTED");
}

async fn over(url: &secrecy::SecretString, keys: Keys) -> Booking {
    Booking::over(url.clone(), keys).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_stay_known_by_email_address_and_number_while_keys_are_rotated_and_afterwards() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let old = over(&url, keys(&[1])).await;
    let venue = fixtures::firm_venue(&mut old.clients.clone(), 1000).await.expect("a venue");
    let by_email = || contact("Ada", "ada@example.org", "");
    let by_phone = || contact("Bob", "", "+4915123456789");
    let ada = book_by(&old.clients, &venue, by_email()).await.customer_id;
    let bob = book_by(&old.clients, &venue, by_phone()).await.customer_id;

    let both = over(&url, keys(&[2, 1])).await;
    for clients in [&both.clients, &old.clients] {
        assert_eq!(book_by(clients, &venue, by_email()).await.customer_id, ada);
        assert_eq!(book_by(clients, &venue, by_phone()).await.customer_id, bob);
    }
    let (code, output) = rotated("booking-service", &url, &[2, 1], &[]).await;
    assert_eq!((code, output.lines().next()), (Some(0), Some("key=1 seals=0")), "{output}");

    // Without the old key.
    let new = over(&url, keys(&[2])).await;
    assert_eq!(book_by(&new.clients, &venue, by_email()).await.customer_id, ada);
    assert_eq!(book_by(&new.clients, &venue, by_phone()).await.customer_id, bob);
    assert_eq!(contact_of(&new.clients, &bob).await, by_phone());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_customers_who_turn_out_to_be_one_are_named_by_the_rotation() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let old = over(&url, keys(&[1])).await;
    let venue = fixtures::firm_venue(&mut old.clients.clone(), 1000).await.expect("a venue");
    let ada = book_by(&old.clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    // A replica that does not know the old key makes the customer again.
    let new = over(&url, keys(&[2])).await;
    book_by(&new.clients, &venue, contact("Ada", "ada@example.org", "")).await;
    let (code, output) = rotated("booking-service", &url, &[2, 1], &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(&format!("NOT_ROTATED table=customers key={ada}: another customer")), "{output}");
    assert!(!output.contains("ada@"), "{output}");

    // Merged, they are one, and the rotation goes through.
    let both = over(&url, keys(&[2, 1])).await;
    let duplicate = harness::scalar::<String>(&url, "SELECT max(customer_id::text) FROM customers").await;
    merged(&both.clients, merge_of(&ada, &duplicate)).await.expect("merged");
    let (code, output) = rotated("booking-service", &url, &[2, 1], &[]).await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(book_by(&new.clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id, ada);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_customer_still_finds_the_remaining_one_after_a_rotation() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let old = over(&url, keys(&[1])).await;
    let venue = fixtures::firm_venue(&mut old.clients.clone(), 1000).await.expect("a venue");
    let by_old_email = || contact("Ada", "a@old.example", "");
    let ada = book_by(&old.clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    let duplicate = book_by(&old.clients, &venue, by_old_email()).await.customer_id;
    merged(&old.clients, merge_of(&ada, &duplicate)).await.expect("merged");
    let (code, output) = rotated("booking-service", &url, &[2, 1], &[]).await;
    assert_eq!((code, output.lines().next()), (Some(0), Some("key=1 seals=0")), "{output}");
    let new = over(&url, keys(&[2])).await;
    assert_eq!(book_by(&new.clients, &venue, by_old_email()).await.customer_id, ada);
    assert_eq!(contact_of(&new.clients, &duplicate).await, by_old_email());
}
