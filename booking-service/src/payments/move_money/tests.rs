use chrono::TimeDelta;
use serde_json::json;

use super::{entries::new_entry, *};
use crate::{
    bookings::{
        decision::PaymentChange,
        fixtures::{
            START, assert_sound, at, booking_in_status, confirmed_booking, euro, events, occasion, pending_booking,
        },
    },
    domain::{PaymentId, PaymentKind},
};

/// A cash payment.
fn cash(cents: i64) -> Movement<'static> {
    Movement {
        etag: None,
        money: MoneyMove::Received,
        method: PaymentMethod::Cash,
        amount_cents: cents,
        paid_delta_cents: cents,
        refunded_delta_cents: 0,
        disputed_delta_cents: 0,
        extras_delta_cents: 0,
        may_confirm: true,
        currency: Some(euro()),
        external_reference: "receipt 1",
        charge_id: None,
        occurred_at: at(5),
        charge: None,
    }
}

/// A cash refund.
fn cash_back(cents: i64) -> Movement<'static> {
    Movement { money: MoneyMove::Refunded, paid_delta_cents: -cents, refunded_delta_cents: cents, ..cash(cents) }
}

/// The stored payment of a charge through Stripe.
fn entry(status: PaymentStatus, cents: i64) -> Payment {
    Payment {
        payment_id: PaymentId::generate(),
        method: PaymentMethod::Stripe,
        status,
        facts: Some(json!({})),
        revision: 3,
        ..new_entry(&pending_booking().booking, &cash(cents), &occasion(5))
    }
}

/// The state of a charge after a movement.
fn charge(known: Option<Payment>, status: PaymentStatus, cents: i64) -> ChargeChange {
    ChargeChange {
        known,
        status,
        amount_cents: cents,
        refunded_cents: 0,
        disputed_cents: 0,
        occurred_at: at(6),
        facts: json!({ "attempt": null }),
        hold_until: None,
        undone: None,
    }
}

/// An attempt through Stripe that moves no money.
fn attempt(money: MoneyMove, charge: ChargeChange) -> Movement<'static> {
    let method = PaymentMethod::Stripe;
    Movement { money, method, paid_delta_cents: 0, charge_id: Some("ch_1"), charge: Some(charge), ..cash(1750) }
}

fn decided(loaded: &Loaded, movement: &Movement<'_>) -> Decision {
    let decision = decide(loaded, movement, &occasion(10)).expect("money moves");
    assert_sound(Some(&loaded.booking), &decision);
    let sums = |it: &Booking| (it.paid_cents, it.refunded_cents, it.disputed_cents);
    let ((paid, refunded, disputed), after) = (sums(&loaded.booking), sums(&decision.booking));
    let deltas = (movement.paid_delta_cents, movement.refunded_delta_cents, movement.disputed_delta_cents);
    assert_eq!(after, (paid + deltas.0, refunded + deltas.1, disputed + deltas.2));
    decision
}

fn kinds(decision: &Decision) -> Vec<&str> {
    decision
        .events
        .iter()
        .map(|event| event.stored.kind.trim_start_matches("teppan.").trim_end_matches(".v1"))
        .collect()
}

/// The last event, RefundRequired: its reason, the additional amount owed, and the payment.
fn owed(decision: &Decision) -> (RefundReason, i64, String) {
    let Some(EventData::RefundRequired(event)) = events(decision).pop() else { panic!("nothing is owed") };
    assert_eq!(event.refund_due_cents, decision.booking.refund_due_cents);
    (event.reason(), event.amount_cents, event.payment_id)
}

#[test]
fn a_complete_deposit_confirms_the_booking() {
    let part = decided(&pending_booking(), &cash(1749));
    assert_eq!(kinds(&part), ["payment.recorded"]);
    assert_eq!((part.booking.status, part.booking.hold_expires_at), (BookingStatus::Pending, Some(at(120))));
    let loaded = Loaded { booking: part.booking, ..pending_booking() };
    let whole = decided(&loaded, &cash(1));
    assert_eq!(kinds(&whole), ["payment.recorded", "booking.confirmed"]);
    assert_eq!((whole.booking.status, whole.booking.hold_expires_at), (BookingStatus::Confirmed, None));
    let [EventData::PaymentRecorded(recorded), EventData::BookingConfirmed(confirmed)] = &events(&whole)[..] else {
        panic!("two events")
    };
    assert_eq!((recorded.cause(), recorded.amount_cents, recorded.paid_cents), (PaymentCause::Received, 1, 1750));
    assert_eq!((confirmed.cause(), confirmed.seats_retaken), (ConfirmationCause::DepositPaid, false));

    let [PaymentChange { payment, revision: None }] = &whole.payments[..] else { panic!("one new entry") };
    assert_eq!(payment.payment_id, whole.occasion.payment_id);
    assert_eq!(
        (payment.kind, payment.amount_cents, &*payment.external_reference),
        (PaymentKind::Charge, 1, "receipt 1")
    );
    assert_eq!((payment.occurred_at, payment.created_at), (at(5), at(10)));
}

#[test]
fn a_charge_that_may_not_confirm_leaves_the_booking_pending() {
    let movement = Movement { may_confirm: false, ..cash(1750) };
    assert_eq!(decided(&pending_booking(), &movement).booking.status, BookingStatus::Pending);
}

#[test]
fn a_deposit_after_the_end_of_the_hold_confirms_a_pending_booking_until_it_begins() {
    let paid = |minute| decide(&pending_booking(), &cash(1750), &occasion(minute)).expect("paid").booking.status;
    assert_eq!(paid(START - 1), BookingStatus::Confirmed);
    assert_eq!(paid(START), BookingStatus::Pending);
}

#[test]
fn an_amount_paid_beyond_the_price_is_owed() {
    let decision = decided(&pending_booking(), &cash(8000));
    assert_eq!(kinds(&decision), ["payment.recorded", "booking.confirmed", "payment.refund_required"]);
    assert_eq!(owed(&decision), (RefundReason::Overpaid, 1000, decision.occasion.payment_id.to_string()));
    let again = decided(&Loaded { booking: decision.booking, ..confirmed_booking() }, &cash(500));
    assert_eq!((owed(&again).1, again.booking.refund_due_cents), (500, 1500));
}

#[test]
fn a_late_deposit_takes_the_seats_of_an_expired_booking_again_if_they_are_free() {
    let mut loaded = booking_in_status(BookingStatus::Expired);
    (loaded.booking.paid_cents, loaded.booking.refund_due_cents) = (750, 750);
    loaded.slot.as_mut().expect("a slot").reserved = 8;
    let decision = decided(&loaded, &cash(1000));
    assert_eq!(kinds(&decision), ["payment.recorded", "booking.confirmed"]);
    assert_eq!((decision.booking.status, decision.booking.refund_due_cents), (BookingStatus::Confirmed, 0));
    let [seats] = &decision.seats[..] else { panic!("one change of seats") };
    assert_eq!((seats.slot, seats.seats), (loaded.booking.slot(), 2));
    assert_eq!(seats.expects.map(|slot| slot.starts_at), Some(at(START)));

    let alter: [fn(&mut SlotRow); 4] = [
        |slot| slot.reserved = 9,
        |slot| slot.state = SlotState::Closed,
        |slot| slot.state = SlotState::Unscheduled,
        |slot| slot.starts_at = at(10),
    ];
    for (n, alter) in alter.into_iter().enumerate() {
        let mut loaded = loaded.clone();
        alter(loaded.slot.as_mut().expect("a slot"));
        let decision = decided(&loaded, &cash(1000));
        assert_eq!((decision.booking.status, decision.seats.len()), (BookingStatus::Expired, 0), "{n}");
        assert_eq!((owed(&decision).0, owed(&decision).1), (RefundReason::SeatsGone, 1000), "{n}");
        assert_eq!(decision.booking.refund_due_cents, 1750, "{n}");
    }
    loaded.booking.erased_at = Some(at(1));
    let decision = decided(&loaded, &cash(1000));
    assert_eq!(decision.booking.status, BookingStatus::Expired, "nobody would come for the seats");
    assert_eq!(decision.booking.refund_due_cents, 1750);
}

#[test]
fn a_failed_refund_or_a_won_dispute_does_not_take_the_seats_of_an_expired_booking() {
    for money in [MoneyMove::RefundFailed, MoneyMove::DisputeWon] {
        let mut loaded = booking_in_status(BookingStatus::Expired);
        (loaded.booking.refunded_cents, loaded.booking.disputed_cents) = (1750, 1750);
        let (refunded_delta_cents, disputed_delta_cents) =
            if money == MoneyMove::DisputeWon { (0, -1750) } else { (-1750, 0) };
        let movement = Movement { money, refunded_delta_cents, disputed_delta_cents, ..cash(1750) };
        let decision = decided(&loaded, &movement);
        assert_eq!(decision.booking.status, BookingStatus::Expired, "{money:?}");
        assert_eq!(owed(&decision).1, 1750, "{money:?}");
    }
}

#[test]
fn a_late_payment_for_a_cancelled_booking_is_owed_beyond_the_amount_that_the_venue_keeps() {
    let mut loaded = booking_in_status(BookingStatus::Cancelled);
    loaded.booking.kept_cents = 3500;
    let decision = decided(&loaded, &cash(4000));
    assert_eq!(decision.booking.status, BookingStatus::Cancelled);
    assert_eq!((owed(&decision).0, owed(&decision).1), (RefundReason::BookingCancelled, 500));
}

#[test]
fn a_refund_reduces_the_owed_amount() {
    let mut loaded = confirmed_booking();
    (loaded.booking.paid_cents, loaded.booking.refund_due_cents) = (8000, 1000);
    let part = decided(&loaded, &cash_back(400));
    assert_eq!((kinds(&part), part.booking.refund_due_cents), (vec!["payment.refunded"], 600));
    assert_eq!((part.payments[0].payment.kind, part.payments[0].revision), (PaymentKind::Refund, None));
    assert_eq!(decided(&loaded, &cash_back(8000)).booking.refund_due_cents, 0);
    let refused = decide(&loaded, &cash_back(8001), &occasion(10)).expect_err("more than was received");
    assert_eq!(refused, MoneyRefusal::RefundExceedsPaid { paid_cents: 8000 });
}

#[test]
fn a_movement_with_a_stale_etag_or_another_currency_is_refused() {
    let refused = |movement| decide(&pending_booking(), &movement, &occasion(10)).expect_err("refused");
    assert_eq!(refused(Movement { etag: Some(Etag::of(2)), ..cash(1) }), MoneyRefusal::StaleEtag);
    let dollars = Movement { currency: Currency::parse("USD").ok(), ..cash(1) };
    assert_eq!(refused(dollars), MoneyRefusal::CurrencyMismatch { currency: "EUR".to_owned() });
    decided(&pending_booking(), &Movement { etag: Some(Etag::of(1)), currency: None, ..cash(1) });
}

#[test]
fn a_payment_that_the_bank_is_processing_extends_the_hold() {
    let processing = |until| {
        let charge = ChargeChange { hold_until: Some(until), ..charge(None, PaymentStatus::Processing, 1750) };
        decided(&pending_booking(), &attempt(MoneyMove::Processing, charge))
    };
    assert_eq!(processing(at(100)).booking.hold_expires_at, Some(at(120)), "the hold is longer");
    let until_start = processing(at(START) + TimeDelta::days(1));
    assert_eq!(until_start.booking.hold_expires_at, Some(at(START)), "the booking begins before that");
    let decision = processing(at(5000));
    let held = &decision.booking;
    assert_eq!((held.hold_expires_at, held.unpaid_hold_expires_at), (Some(at(5000)), Some(at(120))));
    let [PaymentChange { payment, revision: None }] = &decision.payments[..] else { panic!("one new entry") };
    assert_eq!((payment.status, payment.hold_until), (PaymentStatus::Processing, Some(at(5000))));

    // It fails, while another payment in processing extends the hold to this minute, or none does.
    for (others, hold) in [(None, 120), (Some(4000), 4000), (Some(9000), 5000), (Some(60), 120)] {
        let known = Some(payment.clone());
        let others_hold_until = others.map(at);
        let loaded = Loaded { booking: held.clone(), others_hold_until, ..pending_booking() };
        let failed = attempt(MoneyMove::Declined, charge(known, PaymentStatus::Failed, 1750));
        let decision = decided(&loaded, &failed);
        assert_eq!(decision.booking.hold_expires_at, Some(at(hold)), "{others:?}");
        assert_eq!((decision.payments.len(), decision.payments[0].revision), (1, Some(1)));
    }
}

#[test]
fn a_failed_attempt_that_was_never_in_processing_does_not_change_the_hold() {
    for (money, status) in
        [(MoneyMove::Declined, PaymentStatus::Failed), (MoneyMove::Cancelled, PaymentStatus::Cancelled)]
    {
        let decision = decided(&pending_booking(), &attempt(money, charge(None, status, 1750)));
        assert_eq!((kinds(&decision), decision.booking.hold_expires_at), (vec!["payment.failed"], Some(at(120))));
        assert_eq!(decision.payments[0].payment.status, status);
    }
}

#[test]
fn a_dispute_reduces_the_owed_amount() {
    let mut loaded = confirmed_booking();
    (loaded.booking.paid_cents, loaded.booking.refund_due_cents) = (8000, 1000);
    let known = entry(PaymentStatus::Succeeded, 8000);
    let disputed_cents = 7500;
    let change = ChargeChange { disputed_cents, ..charge(Some(known.clone()), PaymentStatus::Disputed, 8000) };
    let movement = Movement {
        paid_delta_cents: -disputed_cents,
        disputed_delta_cents: disputed_cents,
        ..attempt(MoneyMove::Disputed, change)
    };
    let decision = decided(&loaded, &movement);
    assert_eq!((kinds(&decision), decision.booking.refund_due_cents), (vec!["payment.failed"], 0));
    let [PaymentChange { payment, revision: Some(3) }] = &decision.payments[..] else { panic!("one changed payment") };
    assert_eq!((payment.payment_id, payment.status), (known.payment_id, PaymentStatus::Disputed));
    assert_eq!((payment.disputed_cents, payment.charge_id.as_deref()), (disputed_cents, Some("ch_1")));
}

#[test]
fn a_refund_of_a_charge_is_a_payment_of_its_own() {
    let mut loaded = confirmed_booking();
    loaded.booking.paid_cents = 7000;
    let known = entry(PaymentStatus::Succeeded, 7000);
    let change = ChargeChange { refunded_cents: 2000, ..charge(Some(known.clone()), PaymentStatus::Succeeded, 7000) };
    let movement = Movement { method: PaymentMethod::Stripe, charge: Some(change), ..cash_back(2000) };
    let decision = decided(&loaded, &movement);
    let [of_charge, refund] = &decision.payments[..] else { panic!("two entries") };
    assert_eq!((of_charge.revision, of_charge.payment.refunded_cents), (Some(3), 2000));
    assert_eq!((refund.revision, refund.payment.refund_of), (None, Some(known.payment_id.0)));
    assert_eq!((refund.payment.kind, refund.payment.amount_cents), (PaymentKind::Refund, 2000));
    assert_eq!(refund.payment.payment_id, decision.occasion.payment_id);
}

#[test]
fn the_failed_amount_of_a_refund_no_longer_counts_as_refunded() {
    for (failed, left, status) in [(2000, 2000, PaymentStatus::Failed), (500, 1500, PaymentStatus::Succeeded)] {
        let mut loaded = confirmed_booking();
        (loaded.booking.paid_cents, loaded.booking.refunded_cents) = (5000, 2000);
        let known = entry(PaymentStatus::Succeeded, 7000);
        let refund = Payment { kind: PaymentKind::Refund, ..entry(PaymentStatus::Succeeded, 2000) };
        let change = ChargeChange {
            undone: Some(refund.clone()),
            refunded_cents: 2000 - failed,
            ..charge(Some(known.clone()), PaymentStatus::Succeeded, 7000)
        };
        let movement = Movement {
            money: MoneyMove::RefundFailed,
            refunded_delta_cents: -failed,
            charge: Some(change),
            ..cash(failed)
        };
        let decision = decided(&loaded, &movement);
        let undone = decision.payments.iter().find(|it| it.payment.payment_id == refund.payment_id).expect("its entry");
        assert_eq!((undone.revision, undone.payment.status, undone.payment.amount_cents), (Some(3), status, left));
        let part = decision.payments.iter().find(|it| it.revision.is_none()).map(|it| &it.payment);
        let expected = (failed < 2000).then_some((PaymentStatus::Failed, failed, Some(known.payment_id.0)));
        assert_eq!(part.map(|it| (it.status, it.amount_cents, it.refund_of)), expected);
    }
}
