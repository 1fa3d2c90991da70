use teppan_shared::contract::booking::v1::WaitlistEntryStatus;
use teppan_tests::{
    harness::{self, Booking},
    proxy::Proxy,
};

use crate::{
    changes::{Change, House},
    verify, waitlist,
};

/// The beginning of the statement by which every change is committed.
const COMMIT: &str = "-- Commits what was decided";

/// A replica of the house's service behind a proxy that loses the first answer to a statement. It works once,
/// when it is ready, and then only when it is nudged.
async fn losing_replica(house: &House, statement: &'static str) -> (Proxy, Booking) {
    let (url, keys) = (house.service.url.clone(), house.service.keys.clone());
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    proxy.lose_answer_to(statement);
    let url = harness::through(&url, proxy.address);
    let replica = Booking::over(url, keys).await.ready().await;
    (proxy, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_expire_in_the_next_run_when_the_answer_of_one_is_lost() {
    // More than one run takes.
    let house = House::open(500).await;
    for _ in 0..70 {
        house.book(1).await;
    }
    house.sql("UPDATE bookings SET hold_expires_at = now() - interval '1 second'").await;
    let (proxy, replica) = losing_replica(&house, COMMIT).await;
    let left = "SELECT count(*) FROM bookings WHERE status <> 'EXPIRED'";
    harness::eventually("all holds expire", async || house.service.scalar::<i64>(left).await == 0).await;
    assert_eq!(proxy.lost(), 1);
    replica.service.stop().await;
    assert_eq!(proxy.ran(COMMIT), 3, "twice for the first batch, once for the rest");
    house.assert_sound().await;
    verify::assert_derivable(&house.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_offered_to_the_next_when_the_answer_of_one_offer_is_lost() {
    let house = House::open(2).await;
    let made = house.book(2).await;
    let (first, second) = (waitlist::join(&house, 1).await, waitlist::join(&house, 1).await);
    // The house's own service offers nothing by itself, and it is not nudged by what happens past it.
    house.sql(format!("UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE' WHERE booking_id = '{}'; UPDATE slots SET reserved = 0 WHERE reserved > 0", made.booking_id)).await;
    let (proxy, replica) = losing_replica(&house, COMMIT).await;
    for entry in [&first, &second] {
        waitlist::becomes(&house, entry, WaitlistEntryStatus::Offered).await;
    }
    waitlist::settled(&house).await;
    replica.service.stop().await;
    assert_eq!(proxy.lost(), 1);
    assert_eq!(proxy.ran(COMMIT), 3, "twice for the first offer, once for the second");
    let answered = house.act(Change::Confirm, &waitlist::now(&house, &first).await.booking_id).await;
    answered.expect("the offer stands");
}
