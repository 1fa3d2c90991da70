use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    BookingStatus, PaymentKind, PaymentMethod, PaymentStatus, RecordPaymentRequest,
};
use teppan_shared::wire::Timestamp;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Till, cash, cash_back, sums};
use crate::changes::{Change, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_recorded_once_however_many_send_it_at_once() {
    let till = Till::open(10).await;
    let made = till.four().await;
    let request = RecordPaymentRequest {
        external_reference: "till 7, receipt 12".to_owned(),
        etag: made.etag.clone(),
        ..cash(&made.booking_id, 3500)
    };
    let answers = join_all((0..24).map(|_| till.record(request.clone()))).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("recorded")).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let first = answers[0].payment.as_ref().expect("the payment");
    for answer in &answers {
        assert_eq!(answer.payment.as_ref(), Some(first));
        let booking = answer.booking.as_ref().expect("the booking");
        assert_eq!((booking.status(), sums(booking)), (BookingStatus::Confirmed, (3500, 0, 0)));
    }
    assert_eq!(
        (first.kind(), first.method(), first.status()),
        (PaymentKind::Charge, PaymentMethod::Cash, PaymentStatus::Succeeded)
    );
    assert_eq!(
        (first.amount_cents, first.currency.as_str(), first.booking_id.as_str()),
        (3500, "EUR", &*made.booking_id)
    );
    assert_eq!(first.external_reference, "till 7, receipt 12");

    let other = RecordPaymentRequest { amount_cents: 3501, ..request };
    let refused = till.record(other).await.expect_err("another request");
    assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_what_was_paid_is_given_back_once() {
    let till = Till::open(10).await;
    let made = till.four().await;
    till.record(cash(&made.booking_id, 3500)).await.expect("recorded");
    let request = cash_back(&made.booking_id, 3500);
    // Twins of one refund all come to it; each of the others finds nothing left.
    let twins = join_all((0..10).map(|_| till.record(request.clone())));
    let others = join_all((0..10).map(|_| till.record(cash_back(&made.booking_id, 3500))));
    let (twins, others) = futures::join!(twins, others);
    let given: Vec<_> =
        twins.iter().chain(&others).filter_map(|it| it.as_ref().ok()).filter(|it| !it.replayed).collect();
    assert_eq!(given.len(), 1);
    let won = twins.iter().filter(|it| it.is_ok()).count();
    assert!(won == 0 || won == twins.len(), "twins end alike: {won}");
    for refused in twins.iter().chain(&others).filter_map(|it| it.as_ref().err()) {
        assert_eq!(refusal(refused, "paid_cents"), ("REFUND_EXCEEDS_PAID".to_owned(), "0".to_owned()));
    }
    assert_eq!(sums(&till.read(&made.booking_id).await), (0, 3500, 0));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why_and_writes_nothing() {
    let till = Till::open(10).await;
    let made = till.four().await;
    till.record(cash(&made.booking_id, 1000)).await.expect("recorded");
    let before = till.service.written().await;
    let ahead = Utc::now() + TimeDelta::minutes(6);
    let wrong = RecordPaymentRequest {
        idempotency_key: "tab\t".to_owned(),
        booking_id: "7".to_owned(),
        kind: 9,
        method: PaymentMethod::Stripe.into(),
        amount_cents: 0,
        currency: "eur".to_owned(),
        external_reference: "ä".to_owned(),
        occurred_at: Some(Timestamp { seconds: ahead.timestamp(), nanos: 0 }),
        ..Default::default()
    };
    let refused = till.record(wrong).await.expect_err("all is wrong");
    let fields = refused.get_details_bad_request().expect("violations").field_violations;
    let mut fields: Vec<_> = fields.into_iter().map(|it| it.field).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "amount_cents",
            "booking_id",
            "currency",
            "external_reference",
            "idempotency_key",
            "kind",
            "method",
            "occurred_at"
        ]
    );
    for (request, code, expected) in [
        (cash(&Uuid::nil().to_string(), 1), Code::NotFound, ("BOOKING_NOT_FOUND", "")),
        (
            RecordPaymentRequest { etag: made.etag.clone(), ..cash(&made.booking_id, 1) },
            Code::Aborted,
            ("ETAG_MISMATCH", ""),
        ),
        (
            RecordPaymentRequest { currency: "USD".to_owned(), ..cash(&made.booking_id, 1) },
            Code::FailedPrecondition,
            ("CURRENCY_MISMATCH", ""),
        ),
        (cash_back(&made.booking_id, 1001), Code::FailedPrecondition, ("REFUND_EXCEEDS_PAID", "1000")),
    ] {
        let refused = till.record(request).await.expect_err(expected.0);
        let (reason, paid) = refusal(&refused, "paid_cents");
        assert_eq!((refused.code(), reason.as_str(), paid.as_str()), (code, expected.0, expected.1));
    }
    assert_eq!(till.service.written().await, before);
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_of_a_payment_fails_nothing_is_left() {
    let till = Till::open(4).await;
    let made = till.four().await;
    till.expire(&made.booking_id).await;
    till.sql("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$").await;
    let before = till.service.written().await;
    let writes = "UPDATE slots, INSERT payments, INSERT booking_events, UPDATE bookings, INSERT outbox_messages, \
                  INSERT idempotency_keys";
    for write in writes.split(", ") {
        let (verb, table) = write.split_once(' ').expect("two words");
        till.sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")).await;
        let failure = till.record(cash(&made.booking_id, 15_000)).await.expect_err(write);
        assert_eq!(failure.code(), Code::Internal, "{write}");
        assert_eq!(till.service.written().await, before, "{write}");
        assert_eq!(till.service.scalar::<i64>("SELECT count(*) FROM payments").await, 0, "{write}");
        till.sql(format!("DROP TRIGGER fail ON {table}")).await;
    }
    let firm = till.record(cash(&made.booking_id, 15_000)).await.expect("all is well again").booking;
    let firm = firm.expect("the booking");
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (15_000, 0, 1000)));
    till.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_deposit_that_is_paid_already_confirms_the_booking() {
    let till = Till::open(10).await;
    let made = till.four().await;
    till.record(cash(&made.booking_id, 2000)).await.expect("recorded");
    let smaller = till.act(Change::Resize(3), &made.booking_id).await.expect("moved");
    assert_eq!(smaller.status(), BookingStatus::Pending);
    assert_eq!((smaller.deposit_cents, smaller.deposit_due_cents), (2625, 625));
    let firm = till.act(Change::Resize(2), &made.booking_id).await.expect("moved");
    assert_eq!((firm.status(), firm.deposit_cents, firm.version), (BookingStatus::Confirmed, 1750, 5));
    assert_eq!(firm.deposit_due_cents, 0);
    assert!(firm.confirmed_at.is_some() && firm.hold_expires_at.is_none());
    let story = till.story(&made.booking_id).await;
    assert_eq!(story, ["payment.recorded", "booking.rescheduled", "booking.rescheduled", "booking.confirmed"]);
    let told = "SELECT string_agg(destination || version, ' ') FROM outbox_messages";
    assert_eq!(till.service.scalar::<String>(told).await, "conversation-service5");
    till.assert_counted().await;
}
