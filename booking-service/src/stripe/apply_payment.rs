//! Applies a Stripe event about a charge to its booking: adds the new facts to the known facts, computes the charge's
//! standing from them, and records the difference movement by movement.

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

/// How often a charge is loaded for one event: once, and again after each movement and each concurrent commit.
const ATTEMPTS_MAX: usize = 64;

/// Why an event was not applied. Some of its movements may have been written; applying the event again completes them.
#[derive(Debug, thiserror::Error)]
pub enum ApplyPaymentError {
    /// Stripe may send a refund or a dispute before the charge.
    #[error("the charge is unknown")]
    ChargeUnknown,
    #[error("the booking does not exist")]
    BookingNotFound,
    /// The bank returned a part in another currency than the charge's.
    #[error("it is unknown how much of the charge the bank returned")]
    AmountUnknown,
    #[error("the charge is recorded in another currency")]
    CurrencyMismatch,
    #[error(transparent)]
    TooMany(#[from] TooManyFacts),
    #[error("the movement of money is refused")]
    Refused(#[from] MoneyRefusal),
    #[error("concurrent changes overtook every attempt")]
    Contended,
    #[error("the stored data is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// What to do next for an event.
pub enum Next {
    Nothing,
    /// Store the facts of the event; no money moves.
    Facts(Decision),
    /// Record one movement of money.
    Money(Decision),
}

impl Stripe {
    /// Adds the facts of an event to those of its charge, and records the movements that follow. Events may arrive in
    /// any order, and more than once.
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
                // The next iteration decides whether another movement follows.
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
                Err(error) if is_overtaken(&error) || is_concurrent_duplicate(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyPaymentError::Contended)
    }
}

/// Whether the commit collides with another event of the same charge, or with an earlier run of the same commit.
fn is_concurrent_duplicate(error: &DatabaseError) -> bool {
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
    let Some(target) = facts.standing().filter(|target| is_of_attempt || decided(target)) else {
        let is_named = charge.is_some() || payment.names.booking_id.is_some();
        return Err(if is_named { ApplyPaymentError::ChargeUnknown } else { ApplyPaymentError::BookingNotFound });
    };
    let refunds = loaded.and_then(|loaded| loaded.refunds.as_ref()).map_or(&[][..], |refunds| &refunds.0);
    let entries: Vec<_> = refunds
        .iter()
        .map(|refund| RefundEntry { payment_id: refund.payment_id.0, amount_cents: refund.amount_cents })
        .collect();
    let step = next_step(charge.map(recorded), &entries, target);
    let loaded = loaded.ok_or(ApplyPaymentError::BookingNotFound)?;
    let Some(step) = step else {
        let Some(charge) = charge else { return Ok(Next::Nothing) };
        let newly_named = charge.charge_id.is_none() && payment.names.charge_id.is_some();
        if facts == known && !newly_named {
            return Ok(Next::Nothing);
        }
        return Ok(Next::Facts(keep_facts(loaded, charge, &facts, payment, target.at, occasion)));
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

/// The recorded standing of a charge.
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

/// Stores the charge with more facts, and with its charge id if that was unknown: a Checkout session does not name the
/// charge, but its payment intent does.
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

/// Adds the facts of the event to the known facts.
fn with_facts(
    mut facts: ChargeFacts,
    payment: &StripePayment,
    charge: Option<&Payment>,
    reported_at: DateTime<Utc>,
) -> Result<ChargeFacts, ApplyPaymentError> {
    let of_charge = charge.is_none_or(|charge| charge.currency == payment.currency.code());
    match payment.effect {
        _ if of_charge => {}
        // A bank may report a dispute in its own currency: then the whole charge counts as disputed.
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
        extras_delta_cents: 0,
        may_confirm: step.may_confirm,
        // `with_facts` has compared the currency of a known charge.
        currency: charge.known.is_none().then_some(payment.currency),
        external_reference: payment.reference(),
        charge_id: payment.names.charge_id.as_deref(),
        occurred_at: if step.money.is_of_attempt() { step.after.at } else { reported_at },
        charge: Some(charge),
    }
}
