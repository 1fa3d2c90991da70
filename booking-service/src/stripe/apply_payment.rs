//! Applies what Stripe reports about a charge to its booking: the new facts are added to the known ones, and the
//! standing that follows is recorded movement by movement.

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::json;
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use crate::{
    bookings::{
        change::is_overtaken,
        decision::{Decision, Occasion, PaymentChange},
        load::{Loaded, Wanted},
    },
    domain::{
        AttemptState, ChargeFacts, PROCESSING_MAX, PaymentMethod, PaymentStatus, RefundEntry, Standing, Step,
        StripeEffect, StripePayment, TooManyFacts, next_step,
    },
    payments::{
        move_money::{ChargeChange, MoneyRefusal, Movement, decide},
        row::Payment,
    },
    stripe::Stripe,
};

/// How often a charge is loaded for one event. Each time after the first follows a movement, or a concurrent commit.
const ATTEMPTS_MAX: usize = 64;

/// Why an event was not applied. Nothing was written, or a part that the same event completes when it is applied
/// again.
#[derive(Debug, thiserror::Error)]
pub enum ApplyPaymentError {
    /// Stripe may send a refund or a dispute before the charge.
    #[error("nothing is known of the charge")]
    ChargeUnknown,
    #[error("there is no such booking")]
    BookingNotFound,
    /// A part came back in another currency than the charge's.
    #[error("it is unknown how much of the charge came back")]
    AmountUnknown,
    #[error("the charge is recorded in another currency")]
    CurrencyMismatch,
    #[error(transparent)]
    TooMany(#[from] TooManyFacts),
    #[error("the money is not moved")]
    Refused(#[from] MoneyRefusal),
    #[error("concurrent changes won every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// What one event leads to.
pub enum Next {
    Nothing,
    /// Its facts are kept; no money moves.
    Facts(Decision),
    Money(Decision),
}

impl Stripe {
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
        let named = payment.names.booking_id.unwrap_or_default();
        let charge_id = payment.names.charge_id.as_deref();
        let wanted = Wanted { reference: Some(payment.reference()), charge_id, ..Wanted::default() };
        for _ in 0..ATTEMPTS_MAX {
            let occasion = Occasion::of_call(self.clock.now());
            let loaded = self.bookings.load(&[named], wanted).await?.pop();
            let (decision, is_last) = match next(loaded.as_ref(), payment, reported_at, &occasion)? {
                Next::Nothing => return Ok(()),
                Next::Facts(decision) => (decision, true),
                // The next look decides whether a step is left.
                Next::Money(decision) => (decision, false),
            };
            match self.bookings.commit(vec![decision]).await {
                Ok(committed) => {
                    let Some(decision) = committed.first() else { continue };
                    if is_last {
                        return Ok(());
                    }
                    self.bookings.follow_payment(&decision.booking, &occasion).await;
                }
                Err(error) if is_overtaken(&error) || is_there(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyPaymentError::Contended)
    }
}

/// Whether an event of the same charge, or an earlier run of the same commit, was faster.
fn is_there(error: &DatabaseError) -> bool {
    ["payments_pkey", "payments_stripe_intent", "payments_stripe_charge"].iter().any(|name| error.violates(name))
}

pub fn next(
    loaded: Option<&Loaded>,
    payment: &StripePayment,
    reported_at: DateTime<Utc>,
    occasion: &Occasion,
) -> Result<Next, ApplyPaymentError> {
    let charge = loaded.and_then(|loaded| loaded.charge.as_ref()).map(|charge| &charge.0);
    let known = charge.map(facts_of).transpose()?.unwrap_or_default();
    let facts = with_facts(known.clone(), payment, charge, reported_at)?;
    let decided = |it: &Standing| matches!(it.state, AttemptState::Succeeded | AttemptState::Cancelled);
    let is_of_attempt = payment.effect.is_attempt();
    let Some(comes_to) = facts.standing().filter(|comes_to| is_of_attempt || decided(comes_to)) else {
        let is_named = charge.is_some() || payment.names.booking_id.is_some();
        return Err(if is_named { ApplyPaymentError::ChargeUnknown } else { ApplyPaymentError::BookingNotFound });
    };
    let refunds = loaded.and_then(|loaded| loaded.refunds.as_ref()).map_or(&[][..], |refunds| &refunds.0);
    let entries: Vec<_> = refunds
        .iter()
        .map(|refund| RefundEntry { payment_id: refund.payment_id.0, amount_cents: refund.amount_cents })
        .collect();
    let step = next_step(charge.map(recorded), &entries, comes_to);
    let loaded = loaded.ok_or(ApplyPaymentError::BookingNotFound)?;
    let Some(step) = step else {
        let Some(charge) = charge else { return Ok(Next::Nothing) };
        let newly_named = charge.charge_id.is_none() && payment.names.charge_id.is_some();
        if facts == known && !newly_named {
            return Ok(Next::Nothing);
        }
        return Ok(Next::Facts(keep_facts(loaded, charge, &facts, payment, comes_to.at, occasion)));
    };
    let undone = step.undone.and_then(|undone| refunds.iter().find(|it| it.payment_id.0 == undone.payment_id));
    let known_after = charge_after(charge, undone, &step, &facts, occasion.at);
    let movement = movement(payment, &step, known_after, reported_at);
    Ok(Next::Money(decide(loaded, &movement, occasion)?))
}

fn facts_of(charge: &Payment) -> Result<ChargeFacts, Corrupted> {
    let facts = charge.facts.as_ref().ok_or(Corrupted::Column("payments.facts"))?;
    ChargeFacts::deserialize(facts).map_err(|_| Corrupted::Column("payments.facts"))
}

/// The standing of a charge as it is recorded.
fn recorded(charge: &Payment) -> Standing {
    Standing {
        state: match charge.status {
            PaymentStatus::Succeeded | PaymentStatus::Disputed => AttemptState::Succeeded,
            PaymentStatus::Failed => AttemptState::Failed,
            PaymentStatus::Cancelled => AttemptState::Cancelled,
            PaymentStatus::Processing => AttemptState::Processing,
        },
        amount_cents: charge.amount_cents,
        refunded_cents: charge.refunded_cents,
        disputed_cents: charge.disputed_cents,
        at: charge.occurred_at,
    }
}

/// The charge with more facts, and its name where that was not known: a session does not name the charge, its intent
/// does.
fn keep_facts(
    loaded: &Loaded,
    charge: &Payment,
    facts: &ChargeFacts,
    payment: &StripePayment,
    occurred_at: DateTime<Utc>,
    occasion: &Occasion,
) -> Decision {
    let revision = Some(charge.revision);
    let payment = Payment {
        facts: Some(json!(facts)),
        charge_id: charge.charge_id.clone().or_else(|| payment.names.charge_id.clone()),
        occurred_at,
        updated_at: occasion.at,
        ..charge.clone()
    };
    let payments = vec![PaymentChange { payment, revision }];
    Decision { payments, ..Decision::about(&loaded.booking, occasion) }
}

/// The known facts and those of the event.
fn with_facts(
    mut facts: ChargeFacts,
    payment: &StripePayment,
    charge: Option<&Payment>,
    reported_at: DateTime<Utc>,
) -> Result<ChargeFacts, ApplyPaymentError> {
    let of_charge = charge.is_none_or(|charge| charge.currency == payment.currency.code());
    match payment.effect {
        _ if of_charge => {}
        // A bank may report a dispute in its own currency: then it counts for all of the charge.
        StripeEffect::Disputed | StripeEffect::DisputeLost => {}
        StripeEffect::DisputeReinstated if payment.amount_cents == Some(0) => {}
        StripeEffect::DisputeReinstated => return Err(ApplyPaymentError::AmountUnknown),
        _ => return Err(ApplyPaymentError::CurrencyMismatch),
    }
    let reported = payment.facts(reported_at, of_charge).ok_or(Corrupted::Column("stripe_events"))?;
    for fact in &reported {
        facts.add(fact)?;
    }
    Ok(facts)
}

fn charge_after(
    known: Option<&Payment>,
    undone: Option<&Payment>,
    step: &Step,
    facts: &ChargeFacts,
    now: DateTime<Utc>,
) -> ChargeChange {
    let after = step.after;
    ChargeChange {
        known: known.cloned(),
        status: after.status(),
        amount_cents: after.amount_cents,
        refunded_cents: after.refunded_cents,
        disputed_cents: after.disputed_cents,
        occurred_at: after.at,
        facts: json!(facts),
        hold_until: (after.state == AttemptState::Processing).then(|| after.at.min(now) + PROCESSING_MAX),
        undone: undone.cloned(),
    }
}

fn movement<'a>(
    payment: &'a StripePayment,
    step: &Step,
    charge: ChargeChange,
    reported_at: DateTime<Utc>,
) -> Movement<'a> {
    Movement {
        etag: None,
        money: step.money,
        method: PaymentMethod::Stripe,
        amount_cents: step.amount_cents,
        paid_delta_cents: step.paid_delta_cents,
        refunded_delta_cents: step.refunded_delta_cents,
        disputed_delta_cents: step.disputed_delta_cents,
        may_confirm: step.may_confirm,
        // The currency of a known charge was compared before.
        currency: charge.known.is_none().then_some(payment.currency),
        external_reference: payment.reference(),
        charge_id: payment.names.charge_id.as_deref(),
        occurred_at: if step.money.is_of_attempt() { step.after.at } else { reported_at },
        charge: Some(charge),
    }
}
