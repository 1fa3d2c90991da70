//! Applies what Stripe reports about a charge to its booking: the new facts are added to the known ones, and the
//! standing that follows is recorded movement by movement.

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::{Value, json};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{
        AttemptState, ChargeFacts, PROCESSING_MAX, PaymentMethod, PaymentStatus, RefundEntry, Standing, Step,
        StripeEffect, StripePayment, TooManyFacts, next_step,
    },
    payments::move_money::{MoveMoneyError, Movement},
};

/// How often the charge is read. Each read after the first follows a movement, or a concurrent commit.
const ATTEMPTS_MAX: usize = 32;

/// Why an event was not applied. Nothing was written, or a part that the same event completes when it is applied
/// again.
#[derive(Debug, thiserror::Error)]
pub enum ApplyPaymentError {
    /// Stripe may send a refund or a dispute before the charge.
    #[error("nothing is known of the charge")]
    ChargeUnknown,
    /// A part came back in another currency than the charge's.
    #[error("it is unknown how much of the charge came back")]
    AmountUnknown,
    #[error("the charge is recorded in another currency")]
    CurrencyMismatch,
    #[error(transparent)]
    TooMany(#[from] TooManyFacts),
    #[error(transparent)]
    Move(#[from] MoveMoneyError),
}

/// A charge as it is recorded.
struct ChargeRow {
    payment_id: Uuid,
    booking_id: Uuid,
    revision: i64,
    status: String,
    amount_cents: i64,
    currency: String,
    charge_id: Option<String>,
    refunded_cents: i64,
    disputed_cents: i64,
    occurred_at: DateTime<Utc>,
    facts: Value,
    refund_ids: Vec<Uuid>,
    refund_cents: Vec<i64>,
}

impl Core {
    /// Adds the facts of an event to those of its charge, and records what follows. The order of events and their
    /// repetitions do not matter.
    ///
    /// # Errors
    /// [`ApplyPaymentError`].
    pub(crate) async fn apply_stripe_payment(
        &self,
        payment: &StripePayment,
        reported_at: DateTime<Utc>,
    ) -> Result<(), ApplyPaymentError> {
        for _ in 0..ATTEMPTS_MAX {
            let row = self.load_stripe_charge(payment).await.map_err(MoveMoneyError::from)?;
            let (known, recorded, refunds) = row.as_ref().map_or(Ok(Default::default()), ChargeRow::read)?;
            let facts = with_facts(known.clone(), payment, row.as_ref(), reported_at)?;
            let decided = |it: &Standing| matches!(it.state, AttemptState::Succeeded | AttemptState::Cancelled);
            let is_of_attempt = payment.effect.is_attempt();
            let Some(comes_to) = facts.standing().filter(|comes_to| is_of_attempt || decided(comes_to)) else {
                let is_named = row.is_some() || payment.names.booking_id.is_some();
                return Err(if is_named {
                    ApplyPaymentError::ChargeUnknown
                } else {
                    MoveMoneyError::BookingNotFound.into()
                });
            };
            let Some(step) = next_step(recorded, &refunds, comes_to) else {
                let Some(row) = row else { return Ok(()) };
                let newly_named = row.charge_id.is_none() && payment.names.charge_id.is_some();
                if (facts == known && !newly_named)
                    || self.note_stripe_facts(&row, &facts, comes_to.at, payment).await?
                {
                    return Ok(());
                }
                continue;
            };
            let charge = charge_after(row.as_ref(), &step, &facts, self.clock.now());
            let movement = movement(payment, row.as_ref(), &step, charge, reported_at);
            match self.move_money(&movement).await {
                // The next read decides whether a step is left.
                Ok(_) | Err(MoveMoneyError::Contended) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(MoveMoneyError::Contended.into())
    }

    async fn load_stripe_charge(&self, payment: &StripePayment) -> Result<Option<ChargeRow>, DatabaseError> {
        let (reference, charge_id) = (payment.reference(), payment.names.charge_id.as_deref());
        let load = || sqlx::query_file_as!(ChargeRow, "src/stripe/load_charge.sql", reference, charge_id);
        self.database.fetch_optional(load).await
    }

    /// `false` when a concurrent writer was faster.
    async fn note_stripe_facts(
        &self,
        row: &ChargeRow,
        facts: &ChargeFacts,
        occurred_at: DateTime<Utc>,
        payment: &StripePayment,
    ) -> Result<bool, MoveMoneyError> {
        let (facts, charge_id, now) = (json!(facts), payment.names.charge_id.as_deref(), self.clock.now());
        let note = || {
            let (id, revision) = (row.payment_id, row.revision);
            sqlx::query_file!("src/stripe/note_facts.sql", id, revision, facts, charge_id, now, occurred_at)
        };
        Ok(self.database.fetch_optional(note).await?.is_some())
    }
}

impl ChargeRow {
    fn read(&self) -> Result<(ChargeFacts, Option<Standing>, Vec<RefundEntry>), MoveMoneyError> {
        let facts = ChargeFacts::deserialize(&self.facts).map_err(|_| Corrupted::Column("payments.facts"))?;
        let status = PaymentStatus::from_column(&self.status).ok_or(Corrupted::Column("payments.status"))?;
        let recorded = Standing {
            state: match status {
                PaymentStatus::Succeeded | PaymentStatus::Disputed => AttemptState::Succeeded,
                PaymentStatus::Failed => AttemptState::Failed,
                PaymentStatus::Cancelled => AttemptState::Cancelled,
                PaymentStatus::Processing => AttemptState::Processing,
            },
            amount_cents: self.amount_cents,
            refunded_cents: self.refunded_cents,
            disputed_cents: self.disputed_cents,
            at: self.occurred_at,
        };
        let refunds = self.refund_ids.iter().zip(&self.refund_cents);
        let refunds = refunds.map(|(&payment_id, &amount_cents)| RefundEntry { payment_id, amount_cents }).collect();
        Ok((facts, Some(recorded), refunds))
    }
}

/// The known facts and those of the event.
fn with_facts(
    mut facts: ChargeFacts,
    payment: &StripePayment,
    row: Option<&ChargeRow>,
    reported_at: DateTime<Utc>,
) -> Result<ChargeFacts, ApplyPaymentError> {
    let of_charge = row.is_none_or(|row| row.currency == payment.currency.code());
    match payment.effect {
        _ if of_charge => {}
        // A bank may report a dispute in its own currency: then it counts for all of the charge.
        StripeEffect::Disputed | StripeEffect::DisputeLost => {}
        StripeEffect::DisputeReinstated if payment.amount_cents == Some(0) => {}
        StripeEffect::DisputeReinstated => return Err(ApplyPaymentError::AmountUnknown),
        _ => return Err(ApplyPaymentError::CurrencyMismatch),
    }
    let reported =
        payment.facts(reported_at, of_charge).ok_or(MoveMoneyError::from(Corrupted::Column("stripe_events")))?;
    for fact in &reported {
        facts.add(fact)?;
    }
    Ok(facts)
}

/// The charge after a step, as `payments/move_money.sql` reads it.
fn charge_after(row: Option<&ChargeRow>, step: &Step, facts: &ChargeFacts, now: DateTime<Utc>) -> Value {
    let after = step.after;
    json!({
        "payment_id": row.map(|row| row.payment_id),
        "revision": row.map(|row| row.revision),
        "status": after.status().as_column(),
        "amount_cents": after.amount_cents,
        "refunded_cents": after.refunded_cents,
        "disputed_cents": after.disputed_cents,
        "occurred_at": after.at,
        "facts": facts,
        "hold_until": (after.state == AttemptState::Processing).then(|| after.at.min(now) + PROCESSING_MAX),
        "undone_id": step.undone.map(|undone| undone.payment_id),
        "undone_cents": step.undone.map(|undone| undone.amount_cents),
    })
}

fn movement<'a>(
    payment: &'a StripePayment,
    row: Option<&ChargeRow>,
    step: &Step,
    charge: Value,
    reported_at: DateTime<Utc>,
) -> Movement<'a> {
    Movement {
        key: None,
        booking_id: row.map(|row| row.booking_id).or(payment.names.booking_id),
        version: None,
        money: step.money,
        method: PaymentMethod::Stripe,
        amount_cents: step.amount_cents,
        paid_delta_cents: step.paid_delta_cents,
        refunded_delta_cents: step.refunded_delta_cents,
        disputed_delta_cents: step.disputed_delta_cents,
        may_confirm: step.may_confirm,
        // The currency of a known charge was compared before.
        currency: row.is_none().then(|| payment.currency.code()),
        external_reference: payment.reference(),
        charge_id: payment.names.charge_id.as_deref(),
        occurred_at: if step.money.is_of_attempt() { step.after.at } else { reported_at },
        charge: Some(charge),
    }
}
