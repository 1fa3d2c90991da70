//! What is owed when a booking is cancelled; the table of its boundaries is a test of the decision.

use super::{Change, House};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_has_run_out_owes_the_same_whether_it_is_cancelled_or_expires() {
    let house = House::open(10).await;
    let made = house.book(2).await;
    house.sql("UPDATE venues SET late_refund_percent = 50, full_refund_hours = 8760").await;
    house.sql("UPDATE bookings SET paid_cents = 1000").await;
    house.run_out(&made.booking_id).await;
    let cancelled = house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, 1000);
    house.assert_sound().await;
}
