use chrono::{DateTime, Utc};
use teppan_shared::{
    contract::booking::v1 as wire,
    status::Violations,
    wire::{given, instant},
};
use tonic::Status;

use crate::domain::{
    AmountCents, BookingId, Currency, Etag, ExternalReference, IdempotencyKey, NewPayment, PaymentKind, PaymentMethod,
    parse_moved_at,
};

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::RecordPaymentRequest, now: DateTime<Utc>) -> Result<NewPayment, Status> {
    let mut violations = Violations::default();
    let kind = violations.check("kind", decode_kind(request.kind));
    let method = violations.check("method", decode_method(request.method));
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let booking_id = violations.check("booking_id", BookingId::parse(&request.booking_id));
    let amount = violations.check("amount_cents", AmountCents::parse(request.amount_cents));
    let currency = violations.check("currency", Currency::parse(&request.currency));
    let external_reference = violations
        .check_optional("external_reference", given(request.external_reference).map(ExternalReference::parse));
    let occurred_at = violations.check_optional(
        "occurred_at",
        request.occurred_at.map(|at| {
            let at = instant(&at).ok_or("must be a timestamp")?;
            parse_moved_at(at, now)
        }),
    );
    let parsed = (key, booking_id, kind, method, amount, currency, external_reference, occurred_at);
    let (
        Some(key),
        Some(booking_id),
        Some(kind),
        Some(method),
        Some(amount),
        Some(currency),
        Some(external_reference),
        Some(occurred_at),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    let etag = given(request.etag).map(|etag| Etag::parse(&etag));
    let is_extra = request.is_extra;
    Ok(NewPayment { key, booking_id, etag, kind, method, amount, currency, external_reference, occurred_at, is_extra })
}

fn decode_kind(raw: i32) -> Result<PaymentKind, &'static str> {
    match wire::PaymentKind::try_from(raw) {
        Ok(wire::PaymentKind::Unspecified | wire::PaymentKind::Charge) => Ok(PaymentKind::Charge),
        Ok(wire::PaymentKind::Refund) => Ok(PaymentKind::Refund),
        Err(_) => Err("must be a PaymentKind"),
    }
}

fn decode_method(raw: i32) -> Result<PaymentMethod, &'static str> {
    match wire::PaymentMethod::try_from(raw) {
        Ok(wire::PaymentMethod::Cash) => Ok(PaymentMethod::Cash),
        Ok(wire::PaymentMethod::CardTerminal) => Ok(PaymentMethod::CardTerminal),
        Ok(wire::PaymentMethod::BankTransfer) => Ok(PaymentMethod::BankTransfer),
        Ok(wire::PaymentMethod::Voucher) => Ok(PaymentMethod::Voucher),
        Ok(wire::PaymentMethod::Other) => Ok(PaymentMethod::Other),
        Ok(wire::PaymentMethod::Stripe) => Err("must not be PAYMENT_METHOD_STRIPE: Stripe's webhooks record those"),
        Ok(wire::PaymentMethod::Unspecified) | Err(_) => Err("must be a PaymentMethod other than unspecified"),
    }
}
