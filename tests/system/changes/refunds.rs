//! The refund of a cancelled booking. The unit tests of the decision cover all boundaries.

use teppan_shared::contract::booking::v1::{BookingStatus, CancelBookingRequest, CancellationInitiator};

use super::{Change, VenueFixture, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_an_expired_hold_refunds_the_whole_payment() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(2).await;
    fixture
        .sql("UPDATE bookings SET terms = terms || '{\"late_refund_percent\": 50, \"full_refund_hours\": 8760}'")
        .await;
    fixture.sql("UPDATE bookings SET paid_cents = 1000").await;
    fixture.expire_hold(&made.booking_id).await;
    let cancelled = fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, 1000);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_venue_cancels_with_a_full_refund_until_the_visit_ends() {
    let fixture = VenueFixture::without_deposit(10).await;
    let (made, ended) = (fixture.book(2).await, fixture.book(3).await);
    fixture.sql("UPDATE bookings SET terms = terms || '{\"late_refund_percent\": 0}', paid_cents = 1000").await;
    let began = "UPDATE bookings SET starts_at = now() - interval '1 hour'";
    fixture.sql(format!("{began}, ends_at = now() + interval '1 hour' WHERE booking_id = '{}'", made.booking_id)).await;
    fixture.sql(format!("{began}, ends_at = now() WHERE booking_id = '{}'", ended.booking_id)).await;
    let cancel = async |booking_id: &str, by: CancellationInitiator| {
        let request = CancelBookingRequest {
            booking_id: booking_id.to_owned(),
            cancelled_by: by.into(),
            ..CancelBookingRequest::default()
        };
        let cancelled = fixture.service.clients.clone().bookings.cancel_booking(request).await;
        cancelled.map(|answer| answer.into_inner().booking.expect("the booking"))
    };
    let late = [(&made, CancellationInitiator::Customer), (&ended, CancellationInitiator::Venue)];
    for (booking, by) in late {
        let refused = cancel(&booking.booking_id, by).await.expect_err("too late");
        assert_eq!(refusal(&refused, "").0, "BOOKING_NOT_CANCELLABLE", "{by:?}");
    }
    let cancelled = cancel(&made.booking_id, CancellationInitiator::Venue).await.expect("cancelled");
    assert_eq!((cancelled.status(), cancelled.refund_due_cents), (BookingStatus::Cancelled, 1000));
    fixture.assert_consistent().await;
}
