use serde_json::json;

use super::*;

fn test_mode() -> StripeAccount {
    StripeAccount { live: false, connected: None }
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"id": "evt_1", "type": kind, "created": 1_732_300_000, "livemode": false,
           "api_version": "2030-01-01.next", "data": {"object": object}})
}

fn parsed(event: &Value, account: &StripeAccount) -> StripeNews {
    StripeEvent::parse(event.to_string().as_bytes(), account).expect("an event").news
}

fn news(kind: &str, object: &Value) -> StripeNews {
    parsed(&event(kind, object), &test_mode())
}

fn payment(kind: &str, object: &Value) -> StripePayment {
    match news(kind, object) {
        StripeNews::Payment(payment) => payment,
        other => panic!("{kind} {object}: {other:?}"),
    }
}

fn set_aside(kind: &str, object: &Value) -> &'static str {
    match news(kind, object) {
        StripeNews::SetAside(reason, _) => reason,
        other => panic!("{kind} {object}: {other:?}"),
    }
}

#[test]
fn a_payment_has_the_ids_and_amounts_of_its_event_and_nothing_else() {
    let booking_id = Uuid::from_u128(7);
    let intent = json!({"id": "pi_1", "amount": 3500, "amount_received": 3400, "currency": "eur",
                        "latest_charge": "ch_1", "receipt_email": "mina@example.org",
                        "metadata": {"booking_id": booking_id.to_string()}});
    let names = StripeNames {
        booking_id: Some(booking_id),
        payment_intent: Some("pi_1".to_owned()),
        charge_id: Some("ch_1".to_owned()),
    };
    let expected = StripePayment {
        names,
        effect: StripeEffect::Succeeded,
        object_id: None,
        amount_cents: Some(3400),
        refunded_cents: None,
        currency: Currency::parse("EUR").expect("a currency"),
    };
    assert_eq!(payment("payment_intent.succeeded", &intent), expected);
}

#[test]
fn every_event_type_of_the_payments_page_is_understood() {
    use StripeEffect as Effect;
    let intent = json!({"id": "pi_1", "amount": 3500, "currency": "eur", "metadata": {}});
    let session = |status: &str| json!({"id": "cs_1", "payment_status": status, "payment_intent": "pi_1", "amount_total": 3500, "currency": "eur"});
    let charge = json!({"id": "ch_1", "amount": 3500, "amount_refunded": 5, "currency": "eur"});
    let refund =
        |status: &str| json!({"id": "re_1", "amount": 5, "charge": "ch_1", "currency": "eur", "status": status});
    let dispute =
        |status: &str| json!({"id": "dp_1", "amount": 5, "charge": "ch_1", "currency": "eur", "status": status});
    let page = include_str!("../../../../docs/payments.md");
    for (kind, object, effect, cents) in [
        ("payment_intent.processing", &intent, Effect::Processing, 3500),
        ("payment_intent.succeeded", &intent, Effect::Succeeded, 3500),
        ("payment_intent.payment_failed", &intent, Effect::Failed, 3500),
        ("payment_intent.canceled", &intent, Effect::Cancelled, 3500),
        ("checkout.session.completed", &session("paid"), Effect::Succeeded, 3500),
        ("checkout.session.completed", &session("unpaid"), Effect::Processing, 3500),
        ("checkout.session.async_payment_succeeded", &session("paid"), Effect::Succeeded, 3500),
        ("checkout.session.async_payment_failed", &session("unpaid"), Effect::Failed, 3500),
        ("charge.refunded", &charge, Effect::Refunded, 3500),
        ("refund.created", &refund("pending"), Effect::RefundMade, 5),
        ("refund.updated", &refund("succeeded"), Effect::RefundMade, 5),
        ("refund.updated", &refund("canceled"), Effect::RefundFailed, 5),
        ("refund.failed", &refund("failed"), Effect::RefundFailed, 5),
        ("charge.refund.updated", &refund("failed"), Effect::RefundFailed, 5),
        ("charge.dispute.created", &dispute("needs_response"), Effect::Disputed, 5),
        ("charge.dispute.funds_withdrawn", &dispute("warning_under_review"), Effect::Disputed, 5),
        ("charge.dispute.funds_reinstated", &dispute("won"), Effect::DisputeReinstated, 0),
        ("charge.dispute.closed", &dispute("won"), Effect::DisputeReinstated, 0),
        ("charge.dispute.closed", &dispute("lost"), Effect::DisputeLost, 5),
    ] {
        let reported = payment(kind, object);
        assert_eq!((reported.effect, reported.amount_cents), (effect, Some(cents)), "{kind} {object}");
        assert!(reported.facts(DateTime::UNIX_EPOCH, true).is_some(), "{kind}");
        assert_eq!(effect.into_str().parse(), Ok(effect));
        assert!(page.contains(kind), "docs/payments.md does not name {kind}");
    }
}

#[test]
fn the_returned_part_of_a_lost_dispute_is_read_from_its_balance_transactions() {
    let dispute = |currencies: [&str; 2]| {
        let [withdrawn, back] = currencies;
        json!({"id": "dp_1", "amount": 3500, "charge": "ch_1", "currency": "eur", "status": "lost",
               "balance_transactions": [{"amount": -3500, "currency": withdrawn}, {"amount": 1000, "currency": back}]})
    };
    for kind in ["charge.dispute.funds_reinstated", "charge.dispute.closed"] {
        assert_eq!(payment(kind, &dispute(["eur", "eur"])).amount_cents, Some(2500), "{kind}");
    }
    let foreign = dispute(["usd", "usd"]);
    assert_eq!(set_aside("charge.dispute.funds_reinstated", &foreign), "DISPUTE_AMOUNT_UNKNOWN");
    assert_eq!(payment("charge.dispute.closed", &foreign).amount_cents, Some(3500));
}

#[test]
fn an_event_with_an_amount_that_cannot_be_converted_becomes_a_dead_letter() {
    let intent = |amount: i64, currency: &str| json!({"id": "pi_1", "amount": amount, "currency": currency});
    for (amount, currency, cents) in
        [(500_000, "isk", 5000), (500, "ugx", 5), (500, "mga", 50_000), (5120, "kwd", 5120), (500, "jpy", 500)]
    {
        assert_eq!(
            payment("payment_intent.succeeded", &intent(amount, currency)).amount_cents,
            Some(cents),
            "{currency}"
        );
    }
    for (amount, currency, reason) in [
        (500_050, "isk", "AMOUNT_NOT_CONVERTIBLE"),
        (i64::MAX, "eur", "AMOUNT_OUT_OF_RANGE"),
        (i64::MAX, "mga", "AMOUNT_OUT_OF_RANGE"),
        (i64::MAX, "isk", "AMOUNT_OUT_OF_RANGE"),
        (i64::MIN, "eur", "AMOUNT_OUT_OF_RANGE"),
        (AmountCents::MAX + 1, "eur", "AMOUNT_OUT_OF_RANGE"),
        (-5, "eur", "AMOUNT_OUT_OF_RANGE"),
    ] {
        assert_eq!(set_aside("payment_intent.succeeded", &intent(amount, currency)), reason, "{amount} {currency}");
    }
    let refund = json!({"id": "re_1", "amount": i64::MAX, "charge": "ch_1", "currency": "eur", "status": "succeeded"});
    assert_eq!(set_aside("refund.created", &refund), "AMOUNT_OUT_OF_RANGE");
    let dispute = json!({"id": "dp_1", "amount": i64::MAX, "charge": "ch_1", "currency": "eur", "status": "lost"});
    assert_eq!(set_aside("charge.dispute.created", &dispute), "AMOUNT_OUT_OF_RANGE");
}

#[test]
fn an_event_with_a_malformed_booking_id_becomes_a_dead_letter() {
    for bad in [json!("K7MX2QPD"), json!(""), json!(7), json!(null), json!("0193a1f2-7c3e")] {
        let intent = json!({"id": "pi_1", "amount": 5, "currency": "eur", "metadata": {"booking_id": bad}});
        assert_eq!(set_aside("payment_intent.succeeded", &intent), "MALFORMED_BOOKING_ID", "{bad}");
    }
    let other_business = json!({"id": "pi_1", "amount": 5, "currency": "eur", "metadata": {"order": "7"}});
    assert_eq!(payment("payment_intent.succeeded", &other_business).names.booking_id, None);
}

#[test]
fn events_of_another_mode_or_account_are_not_applied() {
    let named =
        json!({"id": "pi_1", "amount": 5, "currency": "eur", "metadata": {"booking_id": Uuid::nil().to_string()}});
    let unnamed = json!({"id": "pi_1", "amount": 5, "currency": "eur"});
    let (live, connected) = (StripeAccount { live: true, ..test_mode() }, Some("acct_1".to_owned()));
    let of_connected = StripeAccount { connected, ..test_mode() };
    let event_of = |object: &Value, mode: Value, account: Value| {
        let mut event = event("payment_intent.succeeded", object);
        (event["livemode"], event["account"]) = (mode, account);
        event
    };
    for (expected, mode, account, reason) in [
        (test_mode(), json!(false), json!(null), None),
        (live.clone(), json!(true), json!(null), None),
        (of_connected.clone(), json!(false), json!("acct_1"), None),
        (test_mode(), json!(true), json!(null), Some("LIVEMODE_MISMATCH")),
        (live, json!(false), json!(null), Some("LIVEMODE_MISMATCH")),
        (test_mode(), json!(false), json!("acct_1"), Some("ACCOUNT_MISMATCH")),
        (of_connected.clone(), json!(false), json!("acct_2"), Some("ACCOUNT_MISMATCH")),
        (of_connected, json!(false), json!(null), Some("ACCOUNT_MISMATCH")),
    ] {
        let (named, unnamed) = (event_of(&named, mode.clone(), account.clone()), event_of(&unnamed, mode, account));
        match (reason, parsed(&named, &expected), parsed(&unnamed, &expected)) {
            (None, StripeNews::Payment(_), StripeNews::Payment(_)) => {}
            (Some(reason), StripeNews::SetAside(aside, _), StripeNews::Nothing(ignored)) => {
                assert_eq!((aside, ignored), (reason, reason));
            }
            (_, first, second) => panic!("{named}: {first:?} {second:?}"),
        }
    }
}

#[test]
fn irrelevant_events_are_ignored_and_incomplete_ones_are_unreadable() {
    let free = json!({"id": "cs_1", "payment_status": "paid", "payment_intent": null, "amount_total": 0});
    let set_up = json!({"id": "cs_1", "payment_status": "no_payment_required", "payment_intent": "pi_1"});
    let inquiry = json!({"id": "dp_1", "status": "warning_needs_response", "charge": "ch_1", "amount": 1});
    let mut released = json!({"id": "ch_1", "amount": 5, "amount_refunded": 5, "currency": "eur"});
    assert!(
        matches!(news("charge.refunded", &released), StripeNews::Payment(_)),
        "a charge without amount_captured counts as captured"
    );
    released["amount_captured"] = json!(0);
    let mut uncaptured = released.clone();
    (uncaptured["amount_captured"], uncaptured["captured"]) = (json!(null), json!(false));
    for (kind, object) in [
        ("charge.refunded", &released),
        ("charge.refunded", &uncaptured),
        ("customer.created", &json!({"amount": "much"})),
        ("checkout.session.completed", &free),
        ("checkout.session.completed", &set_up),
        ("charge.dispute.created", &inquiry),
        ("charge.dispute.closed", &inquiry),
        ("refund.created", &json!({"id": "re_1", "amount": 5, "currency": "eur", "status": "succeeded"})),
    ] {
        assert_eq!(news(kind, object), StripeNews::Nothing("IGNORED"), "{kind}");
    }
    for (kind, object) in [
        ("payment_intent.succeeded", &json!({"id": "pi_1", "currency": "eur"})),
        ("payment_intent.succeeded", &json!({"id": "pi_1", "amount": "5", "currency": "eur"})),
        ("payment_intent.succeeded", &json!({"id": "pi_1", "amount": 5, "currency": "beads"})),
        ("payment_intent.succeeded", &json!({"id": "pi 1", "amount": 5, "currency": "eur"})),
        ("charge.refunded", &json!({"id": "ch_1", "amount": 5, "currency": "eur"})),
        ("charge.dispute.created", &json!({"id": "dp_1", "amount": 5, "currency": "eur"})),
        ("charge.refunded", &json!([])),
    ] {
        assert_eq!(set_aside(kind, object), "UNREADABLE", "{kind} {object}");
    }
}

#[test]
fn a_body_that_is_not_a_stripe_event_is_refused() {
    for body in ["", "{}", "[]", r#"{"id":"","type":"x","created":1,"data":{"object":{}}}"#, "{\"id\":\"evt_1\""] {
        assert!(StripeEvent::parse(body.as_bytes(), &test_mode()).is_err(), "{body}");
    }
}
