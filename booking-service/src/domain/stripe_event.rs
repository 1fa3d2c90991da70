//! What Stripe tells, as far as it matters here: ids and figures, never the payload.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::PaymentEffect;

/// An event of Stripe's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEvent {
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    pub created_at: DateTime<Utc>,
    pub news: StripeNews,
}

/// What an event has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StripeNews {
    Payment(StripePayment),
    /// Nothing that concerns a payment here.
    Nothing,
    /// Its type is known, and what it needs is not in it.
    Unreadable,
}

/// What became of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripePayment {
    pub effect: PaymentEffect,
    /// `metadata.booking_id`, where it is a UUID.
    pub booking_id: Option<Uuid>,
    /// At least one of these is there.
    pub payment_intent: Option<String>,
    pub charge_id: Option<String>,
    /// Of a dispute it is not known.
    pub amount_cents: Option<i64>,
    /// Given back so far, in all.
    pub refunded_cents: Option<i64>,
    /// In upper case, as ISO 4217 has it.
    pub currency: Option<String>,
}

/// A body that is no event of Stripe's.
#[derive(Debug, thiserror::Error)]
#[error("the body is no event of Stripe's")]
pub struct NoStripeEvent;

#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    created: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// The parts of payment intents, sessions, charges and disputes that matter. None has them all.
#[derive(Deserialize)]
struct Object {
    id: String,
    #[serde(default)]
    metadata: Option<serde_json::Map<String, Value>>,
    amount: Option<i64>,
    amount_received: Option<i64>,
    amount_total: Option<i64>,
    amount_captured: Option<i64>,
    captured: Option<bool>,
    amount_refunded: Option<i64>,
    currency: Option<String>,
    payment_intent: Option<String>,
    latest_charge: Option<String>,
    charge: Option<String>,
    payment_status: Option<String>,
    status: Option<String>,
}

impl StripeEvent {
    /// Reads a body whose signature is right. Fields that are not known do not matter, nor do the types of
    /// objects that are of no concern.
    pub fn parse(body: &[u8]) -> Result<Self, NoStripeEvent> {
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| NoStripeEvent)?;
        let created_at = DateTime::from_timestamp(envelope.created, 0).ok_or(NoStripeEvent)?;
        if !is_name(&envelope.id) || !is_name(&envelope.r#type) {
            return Err(NoStripeEvent);
        }
        let news = StripeNews::of(&envelope.r#type, envelope.data.object);
        Ok(Self { id: envelope.id, kind: envelope.r#type, created_at, news })
    }
}

impl StripeNews {
    fn of(kind: &str, object: Value) -> Self {
        use PaymentEffect as Effect;
        let effect = match kind {
            "payment_intent.succeeded" | "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                Effect::Succeeded
            }
            "payment_intent.payment_failed" => Effect::Failed,
            "payment_intent.canceled" => Effect::Cancelled,
            "charge.refunded" => Effect::Refunded,
            "charge.dispute.created" | "charge.dispute.funds_withdrawn" => Effect::Disputed,
            _ => return Self::Nothing,
        };
        let Ok(object) = serde_json::from_value::<Object>(object) else { return Self::Unreadable };
        let is = |field: &Option<String>, value: &str| field.as_deref() == Some(value);
        // A session may be completed before it is paid; an inquiry of a bank has not taken anything yet; and an
        // authorisation that is released is told as a refund of what was never taken.
        let is_unpaid = kind.starts_with("checkout.session.") && !is(&object.payment_status, "paid");
        let is_inquiry = kind == "charge.dispute.created"
            && object.status.as_deref().is_some_and(|status| status.starts_with("warning_"));
        let is_release =
            kind == "charge.refunded" && (object.captured == Some(false) || object.amount_captured == Some(0));
        if is_unpaid || is_inquiry || is_release {
            return Self::Nothing;
        }
        object.payment(effect, kind)
    }
}

impl Object {
    fn payment(self, effect: PaymentEffect, kind: &str) -> StripeNews {
        let booking_id = self.metadata.as_ref().and_then(|metadata| metadata.get("booking_id"));
        let booking_id = booking_id.and_then(Value::as_str).and_then(|raw| Uuid::try_parse(raw.trim()).ok());
        let received = self.amount_received.filter(|cents| *cents > 0);
        let captured = self.amount_captured.filter(|cents| *cents > 0);
        let (payment_intent, charge_id, amount_cents) = match kind.split_once('.').map_or("", |(object, _)| object) {
            "payment_intent" => {
                // A charge that failed is not the one that may be given back.
                let charge = self.latest_charge.filter(|_| effect == PaymentEffect::Succeeded);
                (Some(self.id), charge, received.or(self.amount))
            }
            "checkout" => (self.payment_intent, None, self.amount_total),
            _ if effect == PaymentEffect::Disputed => (self.payment_intent, self.charge, None),
            _ => (self.payment_intent, Some(self.id), captured.or(self.amount)),
        };
        // Nothing moves in a session that costs nothing, or only sets a payment up.
        if kind.starts_with("checkout.") && (payment_intent.is_none() || amount_cents == Some(0)) {
            return StripeNews::Nothing;
        }
        let payment = StripePayment {
            effect,
            booking_id,
            payment_intent,
            charge_id,
            amount_cents,
            refunded_cents: self.amount_refunded.filter(|_| effect == PaymentEffect::Refunded),
            // What a bank takes back it may count in its own currency.
            currency: self.currency.map(|it| it.to_ascii_uppercase()).filter(|_| effect != PaymentEffect::Disputed),
        };
        if payment.is_complete() { StripeNews::Payment(payment) } else { StripeNews::Unreadable }
    }
}

impl StripePayment {
    fn is_complete(&self) -> bool {
        let ids = [&self.payment_intent, &self.charge_id];
        let named = ids.iter().any(|id| id.is_some()) && ids.iter().all(|id| id.as_deref().is_none_or(is_name));
        let moved = |cents: Option<i64>| cents.is_some_and(|cents| cents > 0);
        let is_code = |it: &str| it.len() == 3 && it.bytes().all(|byte| byte.is_ascii_uppercase());
        let has_figures = moved(self.amount_cents) && self.currency.as_deref().is_some_and(is_code);
        named
            && match self.effect {
                PaymentEffect::Disputed => true,
                PaymentEffect::Refunded => has_figures && moved(self.refunded_cents),
                _ => has_figures,
            }
    }

    /// The name under which the payment is known: its intent, or its charge where there is none.
    pub fn reference(&self) -> &str {
        self.payment_intent.as_deref().or(self.charge_id.as_deref()).unwrap_or_default()
    }
}

/// What Stripe uses as ids and types.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn news(kind: &str, object: &Value) -> StripeNews {
        let event = json!({"id": "evt_1", "type": kind, "created": 1_732_300_000, "livemode": true,
                           "api_version": "2030-01-01.next", "data": {"object": object}});
        StripeEvent::parse(event.to_string().as_bytes()).expect("an event").news
    }

    #[test]
    fn what_is_needed_is_taken_and_nothing_else() {
        let booking_id = Uuid::from_u128(7);
        let intent = json!({"id": "pi_1", "amount": 3500, "amount_received": 3400, "currency": "eur",
                            "latest_charge": "ch_1", "receipt_email": "mina@example.org",
                            "metadata": {"booking_id": booking_id.to_string()}});
        let expected = StripePayment {
            effect: PaymentEffect::Succeeded,
            booking_id: Some(booking_id),
            payment_intent: Some("pi_1".to_owned()),
            charge_id: Some("ch_1".to_owned()),
            amount_cents: Some(3400),
            refunded_cents: None,
            currency: Some("EUR".to_owned()),
        };
        assert_eq!(news("payment_intent.succeeded", &intent), StripeNews::Payment(expected));
    }

    #[test]
    fn what_is_of_no_concern_is_nothing_and_what_lacks_something_is_unreadable() {
        let unpaid = json!({"id": "cs_1", "payment_status": "unpaid", "payment_intent": "pi_1", "amount_total": 1});
        let free = json!({"id": "cs_1", "payment_status": "paid", "payment_intent": null, "amount_total": 0});
        let inquiry = json!({"id": "dp_1", "status": "warning_needs_response", "charge": "ch_1", "amount": 1});
        let mut released = json!({"id": "ch_1", "amount": 5, "amount_refunded": 5, "currency": "eur"});
        assert!(matches!(news("charge.refunded", &released), StripeNews::Payment(_)), "captured, as far as is told");
        released["amount_captured"] = json!(0);
        let mut uncaptured = released.clone();
        (uncaptured["amount_captured"], uncaptured["captured"]) = (json!(null), json!(false));
        for (kind, object) in [
            ("charge.refunded", &released),
            ("charge.refunded", &uncaptured),
            ("customer.created", &json!({"amount": "much"})),
            ("checkout.session.completed", &unpaid),
            ("checkout.session.completed", &free),
            ("charge.dispute.created", &inquiry),
            ("charge.dispute.closed", &inquiry),
        ] {
            assert_eq!(news(kind, object), StripeNews::Nothing, "{kind}");
        }
        for (kind, object) in [
            ("payment_intent.succeeded", &json!({"id": "pi_1", "currency": "eur"})),
            ("payment_intent.succeeded", &json!({"id": "pi_1", "amount": -5, "currency": "eur"})),
            ("payment_intent.succeeded", &json!({"id": "pi_1", "amount": "5", "currency": "eur"})),
            ("charge.refunded", &json!({"id": "ch_1", "amount": 5, "currency": "eur"})),
            ("charge.dispute.created", &json!({"id": "dp_1"})),
            ("charge.refunded", &json!([])),
        ] {
            assert_eq!(news(kind, object), StripeNews::Unreadable, "{kind} {object}");
        }
    }

    #[test]
    fn what_is_no_event_is_told_apart() {
        for body in ["", "{}", "[]", r#"{"id":"","type":"x","created":1,"data":{"object":{}}}"#, "{\"id\":\"evt_1\""] {
            assert!(StripeEvent::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
