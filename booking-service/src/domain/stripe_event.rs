//! Stripe's events, as far as they matter here: ids and amounts, never the payload.

mod objects;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use self::objects::Object;
use super::{AmountCents, AttemptState, Currency, DisputeNews, Fact, stripe_currency::from_stripe};

/// An event of Stripe's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeEvent {
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    pub created_at: DateTime<Utc>,
    pub news: StripeNews,
}

/// What an event reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StripeNews {
    Payment(StripePayment),
    /// Nothing that concerns a payment here; the reason is stored.
    Nothing(&'static str),
    /// A movement of money that an operator has to look into; the reason is stored.
    SetAside(&'static str, StripeNames),
}

/// What a payment is known by. One of the last two is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StripeNames {
    /// `metadata.booking_id`.
    pub booking_id: Option<Uuid>,
    pub payment_intent: Option<String>,
    pub charge_id: Option<String>,
}

/// What became of a payment. Amounts are minor units as ISO 4217 has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripePayment {
    pub names: StripeNames,
    pub effect: StripeEffect,
    /// The refund or the dispute that it is about.
    pub object_id: Option<String>,
    /// Of the charge, or of one refund. Of a dispute: what it has taken; all of the charge, when it is not known.
    pub amount_cents: Option<i64>,
    /// Given back so far, in all.
    pub refunded_cents: Option<i64>,
    pub currency: Currency,
}

/// What an event reports about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Events of live mode, where money moves; else those of test mode.
    pub live: bool,
    /// The connected account; without one, only events of the account itself.
    pub connected: Option<String>,
}

/// The body is no event of Stripe's.
#[derive(Debug, thiserror::Error)]
#[error("the body is no event of Stripe's")]
pub struct NoStripeEvent;

#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    created: i64,
    /// Stripe always sets it. An event without it was made by hand, to try things out.
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
    /// Reads a body whose signature is right. Fields that are not known do not matter, nor do the types of
    /// objects that are of no concern.
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
            (false, _) => news.of_others("LIVEMODE_MISMATCH"),
            (true, false) => news.of_others("ACCOUNT_MISMATCH"),
        };
        Ok(Self { id: envelope.id, kind: envelope.r#type, created_at, news })
    }
}

impl StripeNews {
    fn of(kind: &str, object: Value) -> Self {
        if !Object::is_of_concern(kind) {
            return Self::Nothing("IGNORED");
        }
        match serde_json::from_value::<Object>(object) {
            Ok(object) => object.news(kind),
            Err(_) => Self::SetAside("UNREADABLE", StripeNames::default()),
        }
    }

    /// An event of another mode or account. One that names a booking was meant for this service: a setting is wrong.
    fn of_others(self, reason: &'static str) -> Self {
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
    /// The names under which the payment is known: its intent, or its charge where there is none.
    pub fn reference(&self) -> &str {
        self.names.payment_intent.as_deref().or(self.names.charge_id.as_deref()).unwrap_or_default()
    }

    /// The facts about the charge, at the event's time. `of_charge`: whether the event's currency is the charge's; a
    /// bank may report a dispute in its own.
    ///
    /// `None` when a field is missing.
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
            // A charge that is refunded has succeeded, also when that event comes later.
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
    const ALL: [Self; 10] = [
        Self::Processing,
        Self::Failed,
        Self::Cancelled,
        Self::Succeeded,
        Self::Refunded,
        Self::RefundMade,
        Self::RefundFailed,
        Self::Disputed,
        Self::DisputeReinstated,
        Self::DisputeLost,
    ];

    pub fn as_column(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Succeeded => "SUCCEEDED",
            Self::Refunded => "REFUNDED",
            Self::RefundMade => "REFUND_MADE",
            Self::RefundFailed => "REFUND_FAILED",
            Self::Disputed => "DISPUTED",
            Self::DisputeReinstated => "DISPUTE_REINSTATED",
            Self::DisputeLost => "DISPUTE_LOST",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_column() == raw)
    }

    /// Whether it reports how the attempt to pay stands, and not only a refund or a dispute.
    pub fn is_attempt(self) -> bool {
        matches!(self, Self::Processing | Self::Failed | Self::Cancelled | Self::Succeeded | Self::Refunded)
    }

    fn is_dispute(self) -> bool {
        matches!(self, Self::Disputed | Self::DisputeReinstated | Self::DisputeLost)
    }
}

/// An amount in minor units, from one of Stripe's; 0 or what can be recorded.
fn amount_cents(raw: i64, currency: Currency) -> Result<i64, &'static str> {
    match from_stripe(raw, currency) {
        Ok(cents) if (0..=AmountCents::MAX).contains(&cents) => Ok(cents),
        Err(_) if (0..=AmountCents::MAX).contains(&raw) => Err("AMOUNT_NOT_CONVERTIBLE"),
        _ => Err("AMOUNT_OUT_OF_RANGE"),
    }
}

/// What Stripe uses as ids and types.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
