//! Reads the ids and amounts of Stripe's events. The payload is never kept.

mod objects;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use self::objects::Object;
use super::{AmountCents, AttemptState, Currency, DisputeNews, Fact, stripe_currency::from_stripe};

/// A Stripe event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEvent {
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    pub created_at: DateTime<Utc>,
    pub news: StripeNews,
}

/// The meaning of an event for this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StripeNews {
    /// It concerns a payment.
    Payment(StripePayment),
    /// It concerns no payment of this service; the reason is stored.
    Nothing(&'static str),
    /// It becomes a dead letter, because an operator must examine it; the reason is stored.
    SetAside(&'static str, StripeNames),
}

/// The ids of a payment. `payment_intent` or `charge_id` is always set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StripeNames {
    /// `metadata.booking_id`.
    pub booking_id: Option<Uuid>,
    pub payment_intent: Option<String>,
    pub charge_id: Option<String>,
}

/// A report about a payment. Amounts are minor units by ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripePayment {
    pub names: StripeNames,
    pub effect: StripeEffect,
    /// The id of the refund or the dispute, if the event concerns one.
    pub object_id: Option<String>,
    /// The amount of the charge or of one refund. For a dispute: the amount it has withdrawn; `None` means the whole
    /// charge.
    pub amount_cents: Option<i64>,
    /// The sum of all refunds so far.
    pub refunded_cents: Option<i64>,
    pub currency: Currency,
}

/// What a Stripe event reports about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", const_into_str)]
pub enum StripeEffect {
    Processing,
    Failed,
    Cancelled,
    Succeeded,
    /// The charge, and the sum of its refunds.
    Refunded,
    /// One refund.
    RefundMade,
    RefundFailed,
    Disputed,
    DisputeReinstated,
    DisputeLost,
}

/// The mode and the account whose events are applied.
#[derive(Debug, Clone)]
pub struct StripeAccount {
    /// True: events of live mode, in which real money moves. False: events of test mode.
    pub live: bool,
    /// The connected account whose events are applied; `None`: only events of the account itself.
    pub connected: Option<String>,
}

/// The body is not a Stripe event.
#[derive(Debug, thiserror::Error)]
#[error("the body is not a Stripe event")]
pub struct NoStripeEvent;

#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    created: i64,
    /// Stripe always sets it. Only a manually written test event lacks it.
    #[serde(default)]
    livemode: bool,
    account: Option<String>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

impl StripeEvent {
    /// Reads a body whose signature is verified. Unknown fields, and the objects of irrelevant event types, are
    /// ignored.
    ///
    /// # Errors
    /// [`NoStripeEvent`].
    pub fn parse(body: &[u8], expected: &StripeAccount) -> Result<Self, NoStripeEvent> {
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| NoStripeEvent)?;
        let created_at = DateTime::from_timestamp(envelope.created, 0).ok_or(NoStripeEvent)?;
        if !is_name(&envelope.id) || !is_name(&envelope.r#type) {
            return Err(NoStripeEvent);
        }
        let news = StripeNews::of(&envelope.r#type, envelope.data.object);
        let news = match (envelope.livemode == expected.live, envelope.account == expected.connected) {
            (true, true) => news,
            (false, _) => news.of_another_account("LIVEMODE_MISMATCH"),
            (true, false) => news.of_another_account("ACCOUNT_MISMATCH"),
        };
        Ok(Self { id: envelope.id, kind: envelope.r#type, created_at, news })
    }
}

impl StripeNews {
    fn of(kind: &str, object: Value) -> Self {
        if !Object::is_about_payment(kind) {
            return Self::Nothing("IGNORED");
        }
        match serde_json::from_value::<Object>(object) {
            Ok(object) => object.news(kind),
            Err(_) => Self::SetAside("UNREADABLE", StripeNames::default()),
        }
    }

    /// Handles an event of another mode or account. An event that names a booking was meant for this service, so a
    /// setting is wrong: it becomes a dead letter. Other events are ignored.
    fn of_another_account(self, reason: &'static str) -> Self {
        match self {
            Self::Payment(StripePayment { names, .. }) | Self::SetAside(_, names) if names.booking_id.is_some() => {
                Self::SetAside(reason, names)
            }
            Self::SetAside("MALFORMED_BOOKING_ID", names) => Self::SetAside(reason, names),
            Self::Nothing(ignored) => Self::Nothing(ignored),
            Self::Payment(_) | Self::SetAside(..) => Self::Nothing(reason),
        }
    }
}

impl StripePayment {
    /// The id under which the payment is recorded: its payment intent, or its charge if it has no intent.
    pub fn reference(&self) -> &str {
        self.names.payment_intent.as_deref().or(self.names.charge_id.as_deref()).unwrap_or_default()
    }

    /// The facts about the charge, at the event's time; `None` when a field is missing. `of_charge` is whether the
    /// event has the charge's currency; a bank may report a dispute in its own currency.
    pub fn facts(&self, at: DateTime<Utc>, of_charge: bool) -> Option<Vec<Fact>> {
        let attempt = |state| Some(Fact::Attempt { state, amount_cents: self.amount_cents?, at });
        let refund = |failed| Some(Fact::Refund { id: self.object_id.clone()?, cents: self.amount_cents?, failed });
        let dispute = |news| {
            let taken_cents = self.amount_cents.filter(|cents| of_charge || *cents == 0);
            Some(Fact::Dispute { id: self.object_id.clone()?, news, taken_cents, at })
        };
        Some(match self.effect {
            StripeEffect::Processing => vec![attempt(AttemptState::Processing)?],
            StripeEffect::Failed => vec![attempt(AttemptState::Failed)?],
            StripeEffect::Cancelled => vec![attempt(AttemptState::Cancelled)?],
            StripeEffect::Succeeded => vec![attempt(AttemptState::Succeeded)?],
            // A refunded charge has succeeded, even if the event of its success arrives later.
            StripeEffect::Refunded => {
                vec![attempt(AttemptState::Succeeded)?, Fact::RefundedInAll { cents: self.refunded_cents? }]
            }
            StripeEffect::RefundMade => vec![refund(false)?],
            StripeEffect::RefundFailed => vec![refund(true)?],
            StripeEffect::Disputed => vec![dispute(DisputeNews::Withdrawn)?],
            StripeEffect::DisputeReinstated => vec![dispute(DisputeNews::Reinstated)?],
            StripeEffect::DisputeLost => vec![dispute(DisputeNews::Lost)?],
        })
    }
}

impl StripeEffect {
    /// Whether it reports the state of the attempt to pay, and not only a refund or a dispute.
    pub fn is_attempt(self) -> bool {
        matches!(self, Self::Processing | Self::Failed | Self::Cancelled | Self::Succeeded | Self::Refunded)
    }

    fn is_dispute(self) -> bool {
        matches!(self, Self::Disputed | Self::DisputeReinstated | Self::DisputeLost)
    }
}

/// Converts Stripe's amount to minor units, from 0 to the largest amount that can be recorded.
fn amount_cents(raw: i64, currency: Currency) -> Result<i64, &'static str> {
    match from_stripe(raw, currency) {
        Ok(cents) if (0..=AmountCents::MAX).contains(&cents) => Ok(cents),
        Err(_) if (0..=AmountCents::MAX).contains(&raw) => Err("AMOUNT_NOT_CONVERTIBLE"),
        _ => Err("AMOUNT_OUT_OF_RANGE"),
    }
}

/// Whether the text can be an id or type of Stripe.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
