//! Random calls by many concurrent clients, compared with a model: see `tests/src/model`.

use std::time::Duration;

use teppan_tests::model::Drive;

const OPERATIONS: usize = 10_000;
/// Calls without a subject are skipped, and so are refunds that run beside a Stripe event.
const SPARE: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn many_concurrent_clients_get_the_answers_that_the_contract_defines() {
    let drive = Drive {
        seed: rand::random(),
        operations: OPERATIONS + SPARE,
        case: None,
        at_once: 3,
        shrink_for: Duration::from_mins(3),
    };
    println!("seed {}", drive.seed);
    let tally = Box::pin(drive.go(|_| {})).await.unwrap_or_else(|disagreement| panic!("{disagreement}"));

    println!("{tally}");
    assert!(tally.operations >= OPERATIONS);
    // The run is meaningful: many calls succeed, and many are refused, for reasons of many kinds.
    for (call, outcome) in [
        ("CreateBooking", "ok"),
        ("CreateBooking", "replayed"),
        ("CreateBooking", "SLOT_FULL"),
        ("CreateBooking", "IDEMPOTENCY_KEY_REUSED"),
        ("ConfirmBooking", "ok"),
        ("RescheduleBooking", "ok"),
        ("RescheduleBooking", "SLOT_FULL"),
        ("RescheduleBooking", "ETAG_MISMATCH"),
        ("CompleteBooking", "BOOKING_NOT_STARTED"),
        ("UpdateSlot", "ok"),
        ("SetWeeklySchedule", "ok"),
        ("CancelBooking", "ok"),
        ("RecordPayment", "ok"),
        ("RecordPayment", "replayed"),
        ("RecordPayment", "REFUND_EXCEEDS_PAID"),
        ("JoinWaitlist", "ok"),
        ("JoinWaitlist", "ALREADY_WAITING"),
        ("LeaveWaitlist", "ok"),
        ("SetFloor", "ok"),
        ("SetFloor", "TABLE_HAS_BOOKINGS"),
        ("CreateBooking", "AREA_FULL"),
        ("AssignTables", "ok"),
        ("AssignTables", "TABLE_TAKEN"),
        ("SeatBooking", "ok"),
        ("ListFloor", "ok"),
        ("Stripe", "ok"),
        ("Stripe", "sent again"),
        ("Stripe", "beside calls"),
        ("event", "booking.expired"),
        ("event", "payment.recorded"),
        ("event", "payment.refunded"),
        ("event", "payment.failed"),
        ("event", "payment.refund_required"),
        ("event", "waitlist.offered"),
        ("booking", "seats retaken"),
        ("booking", "walk-in"),
        ("booking", "at a table"),
        ("booking", "at joined tables"),
        ("booking", "confirmed by its guest"),
        ("waitlist entry", "part of a day offered"),
        ("waitlist entry", "ACCEPTED"),
        ("waitlist entry", "LAPSED"),
        ("waitlist entry", "LEFT"),
        ("waitlist entry", "CLOSED"),
    ] {
        assert!(tally.of(call, outcome) > 0, "never: {call} {outcome}\n{tally}");
    }
}
