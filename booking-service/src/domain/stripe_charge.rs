//! The facts that Stripe has reported about one charge, and the standing that follows from them.
//!
//! Facts may arrive in any order and more than once. The standing of a charge depends on its facts alone.
//! [`next_step`] gives the next movement of money from the recorded standing to that standing.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MoneyMove, PaymentStatus};

/// How long a payment that Stripe still processes extends a booking's hold, counted from Stripe's event. By Stripe's
/// documentation, bank debits are decided within 14 days.
pub const PROCESSING_MAX: TimeDelta = TimeDelta::days(14);
/// A processing event that is this much later than the one before belongs to a new attempt, which extends the hold
/// again. The events of one attempt (of its payment intent and of its session) are only seconds apart.
const NEW_ATTEMPT_AFTER: TimeDelta = TimeDelta::hours(1);
/// The most refunds and disputes that are stored for one charge.
const REFUNDS_MAX: usize = 200;
const DISPUTES_MAX: usize = 20;

/// One fact that Stripe reported about a charge. Amounts are in minor units of the charge's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Attempt {
        state: AttemptState,
        amount_cents: i64,
        at: DateTime<Utc>,
    },
    /// The sum of all refunds so far; only a charge that succeeded has refunds.
    RefundedInAll {
        cents: i64,
    },
    /// One refund, under Stripe's id.
    Refund {
        id: String,
        cents: i64,
        failed: bool,
    },
    /// One dispute, under Stripe's id.
    Dispute {
        id: String,
        news: DisputeNews,
        taken_cents: Option<i64>,
        at: DateTime<Utc>,
    },
}

/// The state of an attempt to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptState {
    /// The bank has not decided yet.
    Processing,
    Failed,
    Cancelled,
    Succeeded,
}

/// What Stripe reports about a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DisputeNews {
    /// The dispute is lost: no money moves, and the withdrawn money is not returned. Counts only if no withdrawal was
    /// reported.
    Lost,
    /// The bank has withdrawn the money.
    Withdrawn,
    /// The bank has returned the money, or a part of it.
    Reinstated,
}

/// The charge has more refunds or disputes than are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the charge has more refunds or disputes than are stored")]
pub struct TooManyFacts;

/// All facts that Stripe has reported about a charge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFacts {
    attempt: Option<Attempt>,
    /// The largest reported sum of refunds. Stripe's own sum decreases when a refund fails.
    refunded_in_all: i64,
    refunds: BTreeMap<String, Refund>,
    disputes: BTreeMap<String, Dispute>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    state: AttemptState,
    amount_cents: i64,
    at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Refund {
    cents: i64,
    failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Dispute {
    news: DisputeNews,
    /// `None`: the whole charge, because the amount was reported in another currency.
    taken_cents: Option<i64>,
    at: DateTime<Utc>,
}

/// The standing of a charge: computed from its facts, or recorded in the database. `amount_cents` is always
/// `paid_cents()` + `refunded_cents` + `disputed_cents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: AttemptState,
    pub amount_cents: i64,
    pub refunded_cents: i64,
    /// The part of the rest that banks have withdrawn because of disputes.
    pub disputed_cents: i64,
    /// When the attempt was made, by Stripe's clock.
    pub at: DateTime<Utc>,
}

/// The recorded payment of a refund that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundEntry {
    pub payment_id: Uuid,
    pub amount_cents: i64,
}

/// One movement of money, from the recorded standing towards the standing of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub money: MoneyMove,
    /// The standing of the charge after this movement.
    pub after: Standing,
    /// The amount of the movement: received, refunded, disputed or attempted.
    pub amount_cents: i64,
    /// Added to the booking's paid, refunded and disputed amounts.
    pub paid_delta_cents: i64,
    pub refunded_delta_cents: i64,
    pub disputed_delta_cents: i64,
    /// The recorded refund that failed completely or in part.
    pub undone: Option<RefundEntry>,
    /// Whether this movement may confirm the booking. A completely refunded charge does not confirm it.
    pub may_confirm: bool,
}

impl ChargeFacts {
    /// Adds a fact. Facts may be added in any order.
    ///
    /// # Errors
    /// [`TooManyFacts`].
    pub fn add(&mut self, fact: &Fact) -> Result<(), TooManyFacts> {
        match fact {
            &Fact::Attempt { state, amount_cents, at } => {
                let reported = Attempt { state, amount_cents, at };
                if self.attempt.is_none_or(|known| reported.rank() > known.rank()) {
                    self.attempt = Some(reported);
                }
            }
            Fact::RefundedInAll { cents } => self.refunded_in_all = self.refunded_in_all.max(*cents),
            Fact::Refund { id, cents, failed } => {
                if !self.refunds.contains_key(id) && self.refunds.len() >= REFUNDS_MAX {
                    return Err(TooManyFacts);
                }
                let known = self.refunds.entry(id.clone()).or_insert(Refund { cents: *cents, failed: *failed });
                *known = Refund { cents: known.cents.max(*cents), failed: known.failed || *failed };
            }
            Fact::Dispute { id, news, taken_cents, at } => {
                if !self.disputes.contains_key(id) && self.disputes.len() >= DISPUTES_MAX {
                    return Err(TooManyFacts);
                }
                let reported = Dispute { news: *news, taken_cents: *taken_cents, at: *at };
                let known = self.disputes.entry(id.clone()).or_insert(reported);
                if reported.rank() > known.rank() {
                    *known = reported;
                }
            }
        }
        Ok(())
    }

    /// The standing that follows from the facts; `None` if no attempt is known.
    pub fn standing(&self) -> Option<Standing> {
        let Attempt { state, amount_cents, at } = self.attempt?;
        let none = Standing { state, amount_cents, refunded_cents: 0, disputed_cents: 0, at };
        if state != AttemptState::Succeeded {
            return Some(none);
        }
        // Stripe reports a refund under its id and in its sum of refunds. If only the sum contains a refund, the failed
        // refunds must be subtracted from the sum.
        let sum = |failed: bool| {
            let refunds = self.refunds.values().filter(|refund| refund.failed == failed);
            refunds.fold(0_i64, |sum, refund| sum.saturating_add(refund.cents))
        };
        let refunded = sum(false).max(self.refunded_in_all - sum(true)).clamp(0, amount_cents);
        let taken = self.disputes.values().map(|dispute| dispute.taken_cents.unwrap_or(amount_cents));
        let taken = taken.fold(0_i64, i64::saturating_add).max(0);
        let disputed = taken.min(amount_cents - refunded);
        Some(Standing { refunded_cents: refunded, disputed_cents: disputed, ..none })
    }
}

impl Attempt {
    /// A success outranks a cancellation, and a cancellation outranks the other states. Of the other states the latest
    /// counts. In the same second a failure counts as later than the processing that it ends.
    fn rank(self) -> (u8, Option<DateTime<Utc>>, bool, i64, Reverse<DateTime<Utc>>) {
        let (class, at) = match self.state {
            AttemptState::Succeeded => (2, None),
            AttemptState::Cancelled => (1, None),
            AttemptState::Failed | AttemptState::Processing => (0, Some(self.at)),
        };
        (class, at, self.state == AttemptState::Failed, self.amount_cents, Reverse(self.at))
    }
}

impl Dispute {
    /// The latest movement counts: a bank may withdraw money again after a won dispute. In the same second a
    /// reinstatement counts as later than the withdrawal.
    fn rank(self) -> (bool, DateTime<Utc>, DisputeNews, Reverse<Option<i64>>) {
        (self.news != DisputeNews::Lost, self.at, self.news, Reverse(self.taken_cents))
    }
}

impl Standing {
    /// The part of the charge that counts as paid.
    pub fn paid_cents(&self) -> i64 {
        match self.state {
            AttemptState::Succeeded => self.amount_cents - self.refunded_cents - self.disputed_cents,
            _ => 0,
        }
    }

    /// The status of the charge's payment.
    pub fn status(&self) -> PaymentStatus {
        match self.state {
            AttemptState::Processing => PaymentStatus::Processing,
            AttemptState::Failed => PaymentStatus::Failed,
            AttemptState::Cancelled => PaymentStatus::Cancelled,
            AttemptState::Succeeded if self.disputed_cents > 0 => PaymentStatus::Disputed,
            AttemptState::Succeeded => PaymentStatus::Succeeded,
        }
    }
}

/// The next movement from the recorded standing of a charge to the standing of its facts (`target`); `None` when they
/// are equal. `refunds` are the recorded refunds that count, newest first.
pub fn next_step(recorded: Option<Standing>, refunds: &[RefundEntry], target: Standing) -> Option<Step> {
    let received = target.state == AttemptState::Succeeded;
    let Some(before) = recorded else {
        return Some(first_step(None, target));
    };
    if (before.state, received) != (target.state, true) {
        // The failure of the attempt before may not have been reported.
        let is_new = target.state == AttemptState::Processing && target.at - before.at >= NEW_ATTEMPT_AFTER;
        let changed = before.state != target.state || is_new;
        return changed.then(|| first_step(Some(before), target));
    }
    let room = |refunded: i64, disputed: i64| disputed.min(before.amount_cents - refunded);
    if before.amount_cents < target.amount_cents {
        let more = target.amount_cents - before.amount_cents;
        let after = Standing { amount_cents: target.amount_cents, ..before };
        return Some(step(MoneyMove::Received, Some(before), after, more, target));
    }
    if before.refunded_cents < target.refunded_cents {
        let refunded_cents = target.refunded_cents;
        let after = Standing { refunded_cents, disputed_cents: room(refunded_cents, before.disputed_cents), ..before };
        let more = refunded_cents - before.refunded_cents;
        return Some(step(MoneyMove::Refunded, Some(before), after, more, target));
    }
    if before.refunded_cents > target.refunded_cents {
        let failed = before.refunded_cents - target.refunded_cents;
        let undone = undone(refunds, failed)?;
        let refunded_cents = before.refunded_cents - failed.min(undone.amount_cents);
        let disputed_cents = room(refunded_cents, target.disputed_cents);
        let after = Standing { refunded_cents, disputed_cents, ..before };
        let back = after.paid_cents() - before.paid_cents();
        return Some(Step { undone: Some(undone), ..step(MoneyMove::RefundFailed, Some(before), after, back, target) });
    }
    let after = Standing { disputed_cents: target.disputed_cents, ..before };
    let more = after.disputed_cents - before.disputed_cents;
    let money = if more > 0 { MoneyMove::Disputed } else { MoneyMove::DisputeWon };
    (more != 0).then(|| step(money, Some(before), after, more.abs(), target))
}

/// Records the state of the attempt. Refunds and disputes follow as separate steps.
fn first_step(before: Option<Standing>, target: Standing) -> Step {
    let money = match target.state {
        AttemptState::Processing => MoneyMove::Processing,
        AttemptState::Failed => MoneyMove::Declined,
        AttemptState::Cancelled => MoneyMove::Cancelled,
        AttemptState::Succeeded => MoneyMove::Received,
    };
    let after = Standing { refunded_cents: 0, disputed_cents: 0, ..target };
    step(money, before, after, target.amount_cents, target)
}

fn step(money: MoneyMove, before: Option<Standing>, after: Standing, amount_cents: i64, target: Standing) -> Step {
    let before = |of: fn(&Standing) -> i64| before.as_ref().map_or(0, of);
    Step {
        money,
        after,
        amount_cents,
        paid_delta_cents: after.paid_cents() - before(Standing::paid_cents),
        refunded_delta_cents: after.refunded_cents - before(|it| it.refunded_cents),
        disputed_delta_cents: after.disputed_cents - before(|it| it.disputed_cents),
        undone: None,
        may_confirm: target.amount_cents > target.refunded_cents,
    }
}

/// The recorded refund that failed: one with the failed amount, otherwise the newest larger one, otherwise the newest.
fn undone(refunds: &[RefundEntry], failed_cents: i64) -> Option<RefundEntry> {
    let exact = refunds.iter().find(|entry| entry.amount_cents == failed_cents);
    let larger = || refunds.iter().find(|entry| entry.amount_cents > failed_cents);
    exact.or_else(larger).or_else(|| refunds.first()).copied()
}

#[cfg(test)]
mod tests;
