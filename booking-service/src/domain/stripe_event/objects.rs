//! The objects of Stripe events: payment intents, Checkout sessions, charges, refunds and disputes.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Currency, StripeEffect as Effect, StripeNames, StripeNews, StripePayment, amount_cents, is_name};

/// The fields that this service reads, of all kinds of objects. Each object has only some of them.
#[derive(Deserialize)]
pub(super) struct Object {
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
    /// Of a dispute: the amounts withdrawn from the account and returned to it.
    #[serde(default)]
    balance_transactions: Option<Vec<BalanceTransaction>>,
}

#[derive(Deserialize)]
struct BalanceTransaction {
    amount: i64,
    currency: String,
}

impl Object {
    /// Whether events of this type concern a payment.
    pub fn is_about_payment(kind: &str) -> bool {
        matches!(
            kind,
            "payment_intent.processing"
                | "payment_intent.succeeded"
                | "payment_intent.payment_failed"
                | "payment_intent.canceled"
                | "checkout.session.completed"
                | "checkout.session.async_payment_succeeded"
                | "checkout.session.async_payment_failed"
                | "charge.refunded"
                | "refund.created"
                | "refund.updated"
                | "refund.failed"
                | "charge.refund.updated"
                | "charge.dispute.created"
                | "charge.dispute.funds_withdrawn"
                | "charge.dispute.funds_reinstated"
                | "charge.dispute.closed"
        )
    }

    pub fn news(self, kind: &str) -> StripeNews {
        let Some(effect) = self.effect(kind) else { return StripeNews::Nothing("IGNORED") };
        let (has_booking_id, booking_id) = self.booking();
        let (payment_intent, charge_id) = match kind.split_once('.').map_or("", |(object, _)| object) {
            // A failed charge cannot be refunded, so its id is not stored.
            "payment_intent" => {
                (Some(self.id.clone()), self.latest_charge.clone().filter(|_| effect == Effect::Succeeded))
            }
            "checkout" => (self.payment_intent.clone(), None),
            _ if effect == Effect::Refunded => (self.payment_intent.clone(), Some(self.id.clone())),
            _ => (self.payment_intent.clone(), self.charge.clone()),
        };
        let names = StripeNames { booking_id, payment_intent, charge_id };
        let unreadable = StripeNews::SetAside("UNREADABLE", StripeNames::default());
        let ids = [&names.payment_intent, &names.charge_id];
        if ids.iter().all(|id| id.is_none()) {
            // A session that only sets up a payment moves no money, and a refund without a charge belongs to other
            // business.
            let must_have_id =
                !kind.starts_with("checkout.") && !matches!(effect, Effect::RefundMade | Effect::RefundFailed);
            return if must_have_id { unreadable } else { StripeNews::Nothing("IGNORED") };
        }
        if ids.iter().any(|id| id.as_deref().is_some_and(|id| !is_name(id))) || !is_name(&self.id) {
            return unreadable;
        }
        if has_booking_id && names.booking_id.is_none() {
            return StripeNews::SetAside("MALFORMED_BOOKING_ID", names);
        }
        match self.figures(effect, kind) {
            Err(Fault::Nothing) => StripeNews::Nothing("IGNORED"),
            Err(Fault::SetAside(reason)) => StripeNews::SetAside(reason, names),
            Ok(figures) => StripeNews::Payment(StripePayment {
                object_id: (!effect.is_attempt()).then_some(self.id),
                names,
                effect,
                amount_cents: figures.amount_cents,
                refunded_cents: figures.refunded_cents,
                currency: figures.currency,
            }),
        }
    }

    /// The effect of the event; `None` if no money moves.
    fn effect(&self, kind: &str) -> Option<Effect> {
        let status = self.status.as_deref().unwrap_or_default();
        Some(match kind {
            "payment_intent.processing" => Effect::Processing,
            "payment_intent.succeeded" => Effect::Succeeded,
            "payment_intent.payment_failed" | "checkout.session.async_payment_failed" => Effect::Failed,
            "payment_intent.canceled" => Effect::Cancelled,
            // A session completes before its bank debit is decided; another event reports the decision.
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                match self.payment_status.as_deref() {
                    Some("paid") => Effect::Succeeded,
                    Some("unpaid") if kind == "checkout.session.completed" => Effect::Processing,
                    _ => return None,
                }
            }
            // Stripe reports a released authorisation as a refund of an amount that was never captured.
            "charge.refunded" if self.captured == Some(false) || self.amount_captured == Some(0) => return None,
            "charge.refunded" => Effect::Refunded,
            "refund.failed" => Effect::RefundFailed,
            "refund.created" | "refund.updated" | "charge.refund.updated" => match status {
                "failed" | "canceled" => Effect::RefundFailed,
                _ => Effect::RefundMade,
            },
            // During an inquiry the bank has not withdrawn any money.
            "charge.dispute.created" if status.starts_with("warning_") => return None,
            "charge.dispute.created" | "charge.dispute.funds_withdrawn" => Effect::Disputed,
            "charge.dispute.funds_reinstated" => Effect::DisputeReinstated,
            "charge.dispute.closed" => match status {
                "won" => Effect::DisputeReinstated,
                "lost" => Effect::DisputeLost,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Whether the metadata has `booking_id`, and the id if it is a UUID.
    fn booking(&self) -> (bool, Option<Uuid>) {
        let named = self.metadata.as_ref().and_then(|metadata| metadata.get("booking_id"));
        let booking_id = named.and_then(Value::as_str).and_then(|raw| Uuid::try_parse(raw.trim()).ok());
        (named.is_some(), booking_id)
    }

    fn figures(&self, effect: Effect, kind: &str) -> Result<Figures, Fault> {
        let code = self.currency.as_deref().map(str::to_ascii_uppercase);
        let currency = code.and_then(|code| Currency::parse(&code).ok()).ok_or(UNREADABLE)?;
        let positive = |amount: &Option<i64>| amount.filter(|amount| *amount > 0);
        let amount = match effect {
            _ if kind.starts_with("checkout.") => match self.amount_total {
                Some(0) => return Err(Fault::Nothing),
                total => total,
            },
            Effect::Refunded => positive(&self.amount_captured).or(self.amount),
            Effect::Disputed | Effect::DisputeReinstated | Effect::DisputeLost => {
                self.withdrawn(effect).map_err(Fault::SetAside)?
            }
            Effect::RefundMade | Effect::RefundFailed => self.amount,
            _ => positive(&self.amount_received).or(self.amount),
        };
        let cents = |amount: Option<i64>| {
            amount.map(|amount| amount_cents(amount, currency)).transpose().map_err(Fault::SetAside)
        };
        let (amount_cents, refunded_cents) = (cents(amount)?, cents(self.amount_refunded)?);
        let moved = |cents: Option<i64>| cents.is_some_and(|cents| cents > 0);
        let is_complete = match effect {
            _ if effect.is_dispute() => amount_cents.is_some_and(|cents| cents >= 0),
            Effect::Refunded => moved(amount_cents) && moved(refunded_cents),
            _ => moved(amount_cents),
        };
        if !is_complete {
            return Err(UNREADABLE);
        }
        let refunded_cents = refunded_cents.filter(|_| effect == Effect::Refunded);
        Ok(Figures { amount_cents, refunded_cents, currency })
    }

    /// The amount that a dispute has withdrawn, as of this event.
    fn withdrawn(&self, effect: Effect) -> Result<Option<i64>, &'static str> {
        if effect == Effect::Disputed {
            return Ok(self.amount);
        }
        if self.status.as_deref() == Some("won") {
            return Ok(Some(0));
        }
        let Some(amount) = self.amount else { return Ok(None) };
        let transactions = self.balance_transactions.as_deref().unwrap_or_default();
        let net = transactions.iter().try_fold(0_i64, |net, it| {
            let same = self.currency.as_deref().is_some_and(|currency| currency.eq_ignore_ascii_case(&it.currency));
            net.checked_sub(it.amount).filter(|_| same)
        });
        match (effect, net) {
            // The withdrawal and the returned amount.
            (_, Some(net)) if transactions.len() > 1 => Ok(Some(net.clamp(0, amount.max(0)))),
            (Effect::DisputeLost, _) => Ok(Some(amount)),
            // A part of a lost dispute was returned in another currency: its share of the charge is unknown.
            _ if self.status.as_deref() == Some("lost") => Err("DISPUTE_AMOUNT_UNKNOWN"),
            _ => Ok(Some(0)),
        }
    }
}

struct Figures {
    amount_cents: Option<i64>,
    refunded_cents: Option<i64>,
    currency: Currency,
}

/// Why the figures cannot be read.
enum Fault {
    Nothing,
    SetAside(&'static str),
}

const UNREADABLE: Fault = Fault::SetAside("UNREADABLE");
