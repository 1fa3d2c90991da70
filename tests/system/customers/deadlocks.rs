//! Calls that PostgreSQL ends because of a deadlock run again.

use sqlx::AssertSqlSafe;
use teppan_tests::harness::{self, eventually};

use super::{contact, request_by};
use crate::{changes::VenueFixture, waitlist};

/// Runs a call while a transaction holds the customer and then wants the slot, the other way round. The call waits first,
/// so PostgreSQL ends the call's statement.
async fn in_a_deadlock<A>(fixture: &VenueFixture, customer_id: &str, call: impl Future<Output = A>) -> A {
    let mut other = harness::connect(&fixture.service.url).await;
    let lock = format!("BEGIN; SELECT FROM customers WHERE customer_id = '{customer_id}' FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut other).await.expect("locked");
    let against = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the call waits", async || fixture.service.scalar::<i64>(waiting).await == 1).await;
        let slot = "SET deadlock_timeout = '1min'; SELECT FROM slots ORDER BY slot_date, start_time FOR UPDATE; COMMIT";
        sqlx::raw_sql(slot).execute(&mut other).await.expect("locked after the call was ended");
    };
    let (answer, ()) = tokio::join!(call, against);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    // The repeated call may lock the slot before the other transaction wakes, which makes a second deadlock.
    eventually("it was a deadlock", async || fixture.service.scalar::<i64>(deadlocks).await >= 1).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_made_after_a_deadlock() {
    let fixture = VenueFixture::without_deposit(4).await;
    let customer_id = fixture.book(1).await.customer_id;
    let venue =
        teppan_shared::contract::booking::v1::Venue { venue_id: fixture.venue_id.clone(), ..Default::default() };
    let given = super::contact_of(&fixture.service.clients, &customer_id).await;
    let mut bookings = fixture.service.clients.clone().bookings;
    let request = request_by(&venue, contact("Ada", &given.email, &given.phone));
    let made = in_a_deadlock(&fixture, &customer_id, bookings.create_booking(request)).await.expect("booked");
    assert_eq!(made.into_inner().booking.expect("the booking").customer_id, customer_id);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_joins_the_waitlist_after_a_deadlock() {
    let fixture = VenueFixture::without_deposit(2).await;
    let customer_id = fixture.book(2).await.customer_id;
    let mut request = waitlist::request(&fixture.venue_id, 2);
    request.contact = Some(super::contact_of(&fixture.service.clients, &customer_id).await);
    let entry = in_a_deadlock(&fixture, &customer_id, waitlist::join_by(&fixture.service.clients, request)).await;
    assert_eq!(entry.expect("joined").customer_id, customer_id);
}
