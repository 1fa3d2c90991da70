//! The refund of a cancelled booking. The unit tests of the decision cover all boundaries.

use super::{Change, VenueFixture};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_an_expired_hold_refunds_the_whole_payment() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(2).await;
    fixture.sql("UPDATE venues SET late_refund_percent = 50, full_refund_hours = 8760").await;
    fixture.sql("UPDATE bookings SET paid_cents = 1000").await;
    fixture.expire_hold(&made.booking_id).await;
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, 1000);
    fixture.assert_consistent().await;
}
