//! Customers and waitlist entries that are no longer needed.

use std::time::Duration;

use booking_service::settings::CustomerRetentionSettings;
use teppan_shared::{contract::booking::v1::LeaveWaitlistRequest, keys::Keys};
use teppan_tests::harness::{self, Booking, eventually};

use super::{
    contact,
    merge::{merge_of, merged},
    read_customer,
};
use crate::{changes::VenueFixture, waitlist};

const DAY: Duration = Duration::from_hours(24);

/// A service that keeps entries and customers for these times.
async fn keeping(entries: Option<Duration>, customers: Option<Duration>) -> VenueFixture {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let common = harness::settings(url.clone(), &keys);
    let service = Booking::changed(
        |settings| {
            settings.customer_retention = CustomerRetentionSettings { entries, customers };
            settings.retention_interval = Duration::from_millis(50);
        },
        common,
        url,
        keys,
    )
    .await
    .ready()
    .await;
    VenueFixture::over(service, 2, 0).await
}

/// Ten days pass for everything in these tables.
const LATER: &str = "UPDATE waitlist_entries SET updated_at = updated_at - interval '10 days';
                     UPDATE customers SET updated_at = updated_at - interval '10 days'";

#[tokio::test(flavor = "multi_thread")]
async fn ended_entries_are_deleted_and_customers_without_bookings_are_erased_after_their_time() {
    let fixture = keeping(Some(7 * DAY), Some(7 * DAY)).await;
    let booked = fixture.book(2).await;
    let clients = &fixture.service.clients;
    let (left, waits) = (waitlist::join(&fixture, 1).await, waitlist::join(&fixture, 1).await);
    let request = LeaveWaitlistRequest { waitlist_entry_id: left.waitlist_entry_id.clone(), ..Default::default() };
    clients.clone().bookings.leave_waitlist(request).await.expect("left");
    fixture.sql(LATER).await;

    let erased = "SELECT count(*) FROM customers WHERE erased_at IS NOT NULL";
    eventually("one customer is erased", async || fixture.service.scalar::<i64>(erased).await == 1).await;
    assert!(read_customer(clients, &left.customer_id).await.expect("read").erased_at.is_some());
    let entries = "SELECT count(*) FROM waitlist_entries";
    assert_eq!(fixture.service.scalar::<i64>(entries).await, 1);
    for kept in [&booked.customer_id, &waits.customer_id] {
        assert!(read_customer(clients, kept).await.expect("read").contact.is_some());
    }
    let event: String = fixture.service.scalar("SELECT string_agg(type, ' ') FROM customer_events").await;
    assert_eq!(event, "teppan.customer.erased.v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_customer_is_kept_as_long_as_the_remaining_one_is_needed() {
    let fixture = keeping(None, Some(7 * DAY)).await;
    let clients = &fixture.service.clients;
    let (booked, other, unused) = (fixture.book(1).await, fixture.book(1).await, waitlist::join(&fixture, 1).await);
    merged(clients, merge_of(&booked.customer_id, &other.customer_id)).await.expect("merged");
    fixture.sql("DELETE FROM waitlist_entries").await;
    fixture.sql(LATER).await;
    // The worker looks at all customers in one run.
    eventually("the unused customer is erased", async || {
        read_customer(clients, &unused.customer_id).await.expect("read").erased_at.is_some()
    })
    .await;
    for kept in [&booked.customer_id, &other.customer_id] {
        assert!(read_customer(clients, kept).await.expect("read").contact.is_some());
    }
    // The remaining customer has no bookings any more.
    fixture.sql("SET session_replication_role = replica; DELETE FROM booking_events; DELETE FROM bookings").await;
    eventually("both are erased", async || {
        let count = "SELECT count(*) FROM customers WHERE erased_at IS NOT NULL";
        fixture.service.scalar::<i64>(count).await == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_setting_everything_is_kept() {
    let fixture = keeping(None, None).await;
    fixture.book(2).await;
    let entry = waitlist::join(&fixture, 1).await;
    let request = LeaveWaitlistRequest { waitlist_entry_id: entry.waitlist_entry_id.clone(), ..Default::default() };
    fixture.service.clients.clone().bookings.leave_waitlist(request).await.expect("left");
    fixture.sql(LATER).await;
    // A worker with the same interval has run meanwhile.
    let made_up = "INSERT INTO idempotency_keys VALUES ('made up', 'key', sha256(''), gen_random_uuid(), 'epoch')";
    fixture.sql(made_up).await;
    let left = "SELECT count(*) FROM idempotency_keys WHERE method = 'made up'";
    eventually("old keys are removed", async || fixture.service.scalar::<i64>(left).await == 0).await;
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries").await, 1);
    assert!(read_customer(&fixture.service.clients, &entry.customer_id).await.expect("read").contact.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stays_as_long_as_a_repeated_call_can_ask_for_it() {
    let fixture = keeping(Some(DAY), Some(DAY)).await;
    fixture.book(2).await;
    let mut request = waitlist::request(&fixture.venue_id, 1);
    request.contact = Some(contact("Ada", "ada@example.org", ""));
    let clients = &fixture.service.clients;
    let entry = waitlist::join_by(clients, request.clone()).await.expect("joined");
    let leave = LeaveWaitlistRequest { waitlist_entry_id: entry.waitlist_entry_id.clone(), ..Default::default() };
    clients.clone().bookings.leave_waitlist(leave).await.expect("left");
    fixture.sql("UPDATE waitlist_entries SET updated_at = updated_at - interval '3 days'").await;
    let made_up = "INSERT INTO idempotency_keys VALUES ('made up', 'key', sha256(''), gen_random_uuid(), 'epoch')";
    fixture.sql(made_up).await;
    let left = "SELECT count(*) FROM idempotency_keys WHERE method = 'made up'";
    eventually("the workers have run", async || fixture.service.scalar::<i64>(left).await == 0).await;
    let again = clients.clone().bookings.join_waitlist(request).await.expect("replayed").into_inner();
    assert_eq!(again.entry.expect("the entry").waitlist_entry_id, entry.waitlist_entry_id);
}
