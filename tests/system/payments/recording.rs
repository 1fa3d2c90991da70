use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    BookingStatus, PaymentKind, PaymentMethod, PaymentStatus, RecordPaymentRequest,
};
use teppan_shared::wire::Timestamp;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{StripeFixture, cash, cash_back, sums};
use crate::changes::{Change, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_a_payment_record_it_once() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    let request = RecordPaymentRequest {
        external_reference: "till 7, receipt 12".to_owned(),
        etag: made.etag.clone(),
        ..cash(&made.booking_id, 3500)
    };
    let answers = join_all((0..24).map(|_| fixture.record(request.clone()))).await;
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
    let refused = fixture.record(other).await.expect_err("another request");
    assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refunds_never_exceed_what_was_paid() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    fixture.record(cash(&made.booking_id, 3500)).await.expect("recorded");
    let request = cash_back(&made.booking_id, 3500);
    // Concurrent duplicates of one refund have one result; of the other refunds at most one finds an amount to refund.
    let duplicates = join_all((0..10).map(|_| fixture.record(request.clone())));
    let others = join_all((0..10).map(|_| fixture.record(cash_back(&made.booking_id, 3500))));
    let (duplicates, others) = futures::join!(duplicates, others);
    let given: Vec<_> =
        duplicates.iter().chain(&others).filter_map(|it| it.as_ref().ok()).filter(|it| !it.replayed).collect();
    assert_eq!(given.len(), 1);
    let won = duplicates.iter().filter(|it| it.is_ok()).count();
    assert!(won == 0 || won == duplicates.len(), "duplicates end alike: {won}");
    for refused in duplicates.iter().chain(&others).filter_map(|it| it.as_ref().err()) {
        assert_eq!(refusal(refused, "paid_cents"), ("REFUND_EXCEEDS_PAID".to_owned(), "0".to_owned()));
    }
    assert_eq!(sums(&fixture.read(&made.booking_id).await), (0, 3500, 0));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_states_the_reason_and_writes_nothing() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    fixture.record(cash(&made.booking_id, 1000)).await.expect("recorded");
    let before = fixture.service.written().await;
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
    let refused = fixture.record(wrong).await.expect_err("every field is wrong");
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
        let refused = fixture.record(request).await.expect_err(expected.0);
        let (reason, paid) = refusal(&refused, "paid_cents");
        assert_eq!((refused.code(), reason.as_str(), paid.as_str()), (code, expected.0, expected.1));
    }
    assert_eq!(fixture.service.written().await, before);
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_leaves_no_trace_when_any_of_its_writes_fails() {
    let fixture = StripeFixture::with_seats(4).await;
    let made = fixture.pending_party_of_four().await;
    fixture.expire_with_worker(&made.booking_id).await;
    fixture
        .sql("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$")
        .await;
    let before = fixture.service.written().await;
    let writes = "UPDATE slots, INSERT payments, INSERT booking_events, UPDATE bookings, INSERT outbox_messages, \
                  INSERT idempotency_keys";
    for write in writes.split(", ") {
        let (verb, table) = write.split_once(' ').expect("two words");
        fixture.sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")).await;
        let failure = fixture.record(cash(&made.booking_id, 15_000)).await.expect_err(write);
        assert_eq!(failure.code(), Code::Internal, "{write}");
        assert_eq!(fixture.service.written().await, before, "{write}");
        assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM payments").await, 0, "{write}");
        fixture.sql(format!("DROP TRIGGER fail ON {table}")).await;
    }
    let firm = fixture.record(cash(&made.booking_id, 15_000)).await.expect("no write fails any more").booking;
    let firm = firm.expect("the booking");
    assert_eq!((firm.status(), sums(&firm)), (BookingStatus::Confirmed, (15_000, 0, 1000)));
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reschedule_confirms_the_booking_when_the_smaller_deposit_is_already_paid() {
    let fixture = StripeFixture::with_seats(10).await;
    let made = fixture.pending_party_of_four().await;
    fixture.record(cash(&made.booking_id, 2000)).await.expect("recorded");
    let smaller = fixture.act(Change::Resize(3), &made.booking_id).await.expect("rescheduled");
    assert_eq!(smaller.status(), BookingStatus::Pending);
    assert_eq!((smaller.deposit_cents, smaller.deposit_due_cents), (2625, 625));
    let firm = fixture.act(Change::Resize(2), &made.booking_id).await.expect("rescheduled");
    assert_eq!((firm.status(), firm.deposit_cents, firm.version), (BookingStatus::Confirmed, 1750, 5));
    assert_eq!(firm.deposit_due_cents, 0);
    assert!(firm.confirmed_at.is_some() && firm.hold_expires_at.is_none());
    let types = fixture.event_types(&made.booking_id).await;
    assert_eq!(types, ["payment.recorded", "booking.rescheduled", "booking.rescheduled", "booking.confirmed"]);
    let messages = "SELECT string_agg(destination || version, ' ') FROM outbox_messages";
    assert_eq!(fixture.service.scalar::<String>(messages).await, "conversation-service5");
    fixture.assert_sums_and_audit().await;
}
