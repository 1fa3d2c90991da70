//! Tips and extras beyond the price: they are recorded, and are no debts.

use teppan_shared::contract::booking::v1::{
    Booking as Made, BookingStatus, CancelBookingRequest, CancellationInitiator, RecordPaymentRequest,
};

use super::{StripeFixture, cash, cash_back, sums};
use crate::{changes::refusal, verify};

fn extra(request: RecordPaymentRequest) -> RecordPaymentRequest {
    RecordPaymentRequest { is_extra: true, ..request }
}

async fn record(fixture: &StripeFixture, request: RecordPaymentRequest) -> Made {
    fixture.record(request).await.expect("recorded").booking.expect("the booking")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tip_pays_no_deposit_and_is_never_owed() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let tipped = record(&fixture, extra(cash(&made.booking_id, 5000))).await;
    assert_eq!((tipped.status(), tipped.extras_cents, sums(&tipped)), (BookingStatus::Pending, 5000, (5000, 0, 0)));
    assert_eq!(tipped.deposit_due_cents, made.deposit_cents);
    let paid = record(&fixture, cash(&made.booking_id, made.total_cents)).await;
    assert_eq!((paid.status(), sums(&paid)), (BookingStatus::Confirmed, (made.total_cents + 5000, 0, 0)));
    let overpaid = record(&fixture, cash(&made.booking_id, 100)).await;
    assert_eq!(overpaid.refund_due_cents, 100, "without is_extra");

    let request = extra(cash(&made.booking_id, 300));
    let (first, second) = (fixture.record(request.clone()).await, fixture.record(request.clone()).await);
    let (first, second) = (first.expect("recorded"), second.expect("replayed"));
    assert!(second.replayed && first.payment == second.payment && first.payment.expect("a payment").is_extra);
    let other = fixture.record(RecordPaymentRequest { is_extra: false, ..request }).await.expect_err("another request");
    assert_eq!(refusal(&other, "").0, "IDEMPOTENCY_KEY_REUSED");

    let by = CancellationInitiator::Venue.into();
    let cancel = CancelBookingRequest { booking_id: made.booking_id.clone(), cancelled_by: by, ..Default::default() };
    let cancelled = fixture.service.clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    let cancelled = cancelled.into_inner().booking.expect("the booking");
    assert_eq!((cancelled.refund_due_cents, cancelled.extras_cents), (made.total_cents + 100, 5300));
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_and_other_money_are_refunded_separately() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    record(&fixture, cash(&made.booking_id, 3500)).await;
    record(&fixture, extra(cash(&made.booking_id, 500))).await;
    for (request, refundable) in
        [(cash_back(&made.booking_id, 3501), "3500"), (extra(cash_back(&made.booking_id, 501)), "500")]
    {
        let refused = fixture.record(request).await.expect_err("too much");
        assert_eq!(refusal(&refused, "paid_cents"), ("REFUND_EXCEEDS_PAID".to_owned(), refundable.to_owned()));
    }
    let after = record(&fixture, extra(cash_back(&made.booking_id, 500))).await;
    assert_eq!((after.extras_cents, sums(&after)), (0, (3500, 500, 0)));
    verify::assert_derivable(&fixture.service.url).await;
}
