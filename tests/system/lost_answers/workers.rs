use teppan_shared::contract::booking::v1::WaitlistEntryStatus;
use teppan_tests::{
    harness::{self, Booking},
    proxy::Proxy,
};

use crate::{
    changes::{Change, VenueFixture},
    verify, waitlist,
};

/// The first words of the statement that commits every change.
const COMMIT: &str = "-- Commits decisions about bookings";

/// Starts a replica behind a proxy that loses the first answer to a statement. Its workers run once when it is ready,
/// and then only when they are nudged.
async fn replica_with_lost_answer(fixture: &VenueFixture, statement: &'static str) -> (Proxy, Booking) {
    let (url, keys) = (fixture.service.url.clone(), fixture.service.keys.clone());
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    proxy.lose_answer_to(statement);
    let url = harness::through(&url, proxy.address);
    let replica = Booking::over(url, keys).await.ready().await;
    (proxy, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_holds_expire_once_when_the_commit_answer_of_one_run_is_lost() {
    // More seats than one run can free.
    let fixture = VenueFixture::with_deposit(500).await;
    for _ in 0..70 {
        fixture.book(1).await;
    }
    fixture.sql("UPDATE bookings SET hold_expires_at = now() - interval '1 second'").await;
    let (proxy, replica) = replica_with_lost_answer(&fixture, COMMIT).await;
    let left = "SELECT count(*) FROM bookings WHERE status <> 'EXPIRED'";
    harness::eventually("all holds expire", async || fixture.service.scalar::<i64>(left).await == 0).await;
    assert_eq!(proxy.lost(), 1);
    replica.service.stop().await;
    assert_eq!(proxy.ran(COMMIT), 3, "twice for the first batch, once for the rest");
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freed_seats_are_offered_to_two_entries_when_the_commit_answer_of_one_offer_is_lost() {
    let fixture = VenueFixture::with_deposit(2).await;
    let made = fixture.book(2).await;
    let (first, second) = (waitlist::join(&fixture, 1).await, waitlist::join(&fixture, 1).await);
    // A direct write does not nudge the fixture's own service, so only the replica makes offers.
    fixture.sql(format!("UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE' WHERE booking_id = '{}'; UPDATE slots SET reserved = 0 WHERE reserved > 0", made.booking_id)).await;
    let (proxy, replica) = replica_with_lost_answer(&fixture, COMMIT).await;
    for entry in [&first, &second] {
        waitlist::becomes(&fixture, entry, WaitlistEntryStatus::Offered).await;
    }
    waitlist::all_openings_settled(&fixture).await;
    replica.service.stop().await;
    assert_eq!(proxy.lost(), 1);
    assert_eq!(proxy.ran(COMMIT), 3, "twice for the first offer, once for the second");
    let answered = fixture.act(Change::Confirm, &waitlist::now(&fixture, &first).await.booking_id).await;
    answered.expect("the offer stands");
}
