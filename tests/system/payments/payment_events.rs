use std::collections::BTreeSet;

use sqlx::types::Json;
use teppan_shared::contract::{
    booking::v1::{StreamBookingEventsRequest, booking_event::Data},
    events::v1::{ConfirmationCause, PaymentCause, PaymentFailureReason, PaymentMethod, RefundReason},
};
use teppan_tests::harness;

use super::{StripeFixture, deposit};
use crate::{changes::Change, events::fields_in_json};

#[tokio::test(flavor = "multi_thread")]
async fn payment_events_have_the_fields_of_the_contract_and_are_in_the_stream() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let (paid, late, debited) = (deposit(&made), deposit(&made), deposit(&made));
    fixture.send_and_wait(&debited.processing()).await;
    fixture.send_and_wait(&paid.succeeded()).await;
    fixture.send_and_wait(&paid.refunded(500)).await;
    fixture.send_and_wait(&paid.disputed()).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    fixture.send_and_wait(&late.succeeded()).await;
    for (kind, name) in [
        ("recorded", "PaymentRecorded"),
        ("refunded", "PaymentRefunded"),
        ("failed", "PaymentFailed"),
        ("refund_required", "RefundRequired"),
        ("processing", "PaymentProcessing"),
    ] {
        let query = format!("SELECT data FROM booking_events WHERE type = 'teppan.payment.{kind}.v1' LIMIT 1");
        let data: Json<serde_json::Map<String, serde_json::Value>> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut harness::connect(&fixture.service.url).await)
            .await
            .expect(name);
        assert_eq!(data.keys().cloned().collect::<BTreeSet<_>>(), fields_in_json(name, &data), "{name}");
    }

    let request = StreamBookingEventsRequest::default();
    let stream = fixture.service.clients.clone().bookings.stream_booking_events(request).await.expect("a stream");
    let mut stream = stream.into_inner();
    let mut received = Vec::new();
    while let Some(step) = stream.message().await.expect("a step") {
        let Some(event) = step.event else { continue };
        match event.data.expect("readable") {
            Data::PaymentRecorded(data) => {
                assert_eq!((data.method(), data.amount_cents), (PaymentMethod::Stripe, 3500));
                assert_eq!(data.cause(), PaymentCause::Received);
                received.push(("recorded", data.booking_version, data.paid_cents));
            }
            Data::BookingConfirmed(data) => {
                assert_eq!((data.cause(), data.seats_retaken), (ConfirmationCause::DepositPaid, false));
                received.push(("confirmed", data.booking_version, 0));
            }
            Data::PaymentRefunded(data) => {
                assert_eq!((data.amount_cents, data.refunded_cents, data.refund_due_cents), (500, 500, 0));
                received.push(("refunded", data.booking_version, data.paid_cents));
            }
            Data::PaymentFailed(data) => {
                assert_eq!((data.reason(), data.amount_cents), (PaymentFailureReason::Disputed, 3000));
                assert_eq!((data.refunded_cents, data.refund_due_cents), (500, 0));
                received.push(("failed", data.booking_version, data.paid_cents));
            }
            Data::PaymentProcessing(data) => {
                assert_eq!((data.amount_cents, data.hold_expires_at.is_some()), (3500, true));
                received.push(("processing", data.booking_version, data.paid_cents));
            }
            Data::RefundRequired(data) => {
                assert_eq!((data.reason(), data.amount_cents), (RefundReason::BookingCancelled, 3500));
                received.push(("refund required", data.booking_version, data.refund_due_cents));
            }
            _ => {}
        }
    }
    let expected = [
        ("processing", 2, 0),
        ("recorded", 3, 3500),
        ("confirmed", 4, 0),
        ("refunded", 5, 3000),
        ("failed", 6, 0),
        ("recorded", 8, 3500),
        ("refund required", 9, 3500),
    ];
    assert_eq!(received, expected);
}
