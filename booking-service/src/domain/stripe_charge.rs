//! Everything that Stripe has reported about one charge, and the standing that follows from it.
//!
//! Facts merge: their order and repetitions do not matter. The standing of a charge is computed from its facts alone,
//! and [`next_step`] leads from the recorded standing to it, one movement at a time.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MoneyMove, PaymentStatus};

/// How long a payment that Stripe still processes keeps a booking's hold, counted from Stripe's event. Stripe's
/// documentation: bank debits are decided within 14 days.
pub const PROCESSING_MAX: TimeDelta = TimeDelta::days(14);
/// A payment that is processed so much later than before was tried again: it keeps the hold anew. The events of one
/// attempt, of its intent and of its session, are seconds apart.
const NEW_ATTEMPT_AFTER: TimeDelta = TimeDelta::hours(1);
/// The most refunds and disputes that are kept for one charge.
const REFUNDS_MAX: usize = 200;
const DISPUTES_MAX: usize = 20;

/// One thing that Stripe reported about a charge. Amounts are minor units of the charge's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Attempt {
        state: AttemptState,
        amount_cents: i64,
        at: DateTime<Utc>,
    },
    /// The sum of all refunds so far, of a charge that succeeded.
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

/// How an attempt to pay stands.
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
    /// It is lost: no money moves, what was taken stays taken. It counts only where no withdrawal was reported.
    Lost,
    /// The bank has taken the money.
    Withdrawn,
    /// It came back, or a part of it.
    Reinstated,
}

/// One charge has more refunds or disputes than are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the charge has more refunds or disputes than are kept")]
pub struct TooManyFacts;

/// Everything that Stripe reported about a charge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFacts {
    attempt: Option<Attempt>,
    /// The largest sum of refunds that was reported. Stripe's own sum falls when a refund fails.
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
    /// `None`: all of the charge, because the amount was reported in another currency.
    taken_cents: Option<i64>,
    at: DateTime<Utc>,
}

/// The standing of a charge: as its facts have it, or as it is recorded. Paid, refunded and disputed add up:
/// `amount_cents` is `paid_cents()` + `refunded_cents` + `disputed_cents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: AttemptState,
    pub amount_cents: i64,
    pub refunded_cents: i64,
    /// What banks took of the rest by disputes.
    pub disputed_cents: i64,
    /// When the attempt was made, by Stripe's clock.
    pub at: DateTime<Utc>,
}

/// The entry of a refund that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundEntry {
    pub payment_id: Uuid,
    pub amount_cents: i64,
}

/// One movement on the way from the recorded standing to that of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub money: MoneyMove,
    /// The charge after it.
    pub after: Standing,
    /// The amount of the event: received, refunded, disputed or attempted.
    pub amount_cents: i64,
    /// What it adds to the booking's paid, refunded and disputed amounts.
    pub paid_delta_cents: i64,
    pub refunded_delta_cents: i64,
    pub disputed_delta_cents: i64,
    /// The entry of the refund that failed, wholly or in part.
    pub undone: Option<RefundEntry>,
    /// Whether it may confirm the booking: a charge that was refunded in full does not.
    pub may_confirm: bool,
}

impl ChargeFacts {
    /// Adds a fact. The order does not matter.
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

    /// The standing that follows from the facts; `None` where no attempt is known.
    pub fn standing(&self) -> Option<Standing> {
        let Attempt { state, amount_cents, at } = self.attempt?;
        let none = Standing { state, amount_cents, refunded_cents: 0, disputed_cents: 0, at };
        if state != AttemptState::Succeeded {
            return Some(none);
        }
        // Stripe reports a refund under its id and in its sum of refunds. Where only the sum contains a refund, those
        // that failed have to be subtracted from the sum.
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
    /// A success outranks a cancellation, which outranks everything else; of the rest the latest counts. In the same
    /// second a failure comes after the processing that it ends.
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
    /// The latest movement counts: a bank may take the money of a dispute that was won once more. In the same second
    /// a reinstatement comes after the withdrawal.
    fn rank(self) -> (bool, DateTime<Utc>, DisputeNews, Reverse<Option<i64>>) {
        (self.news != DisputeNews::Lost, self.at, self.news, Reverse(self.taken_cents))
    }
}

impl Standing {
    /// The part that counts as paid.
    pub fn paid_cents(&self) -> i64 {
        match self.state {
            AttemptState::Succeeded => self.amount_cents - self.refunded_cents - self.disputed_cents,
            _ => 0,
        }
    }

    /// The status of the charge's entry.
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

/// The next movement from the recorded standing of a charge to that of its facts; `None` when they are the same.
/// `refunds` are the entries of its refunds that count, newest first.
pub fn next_step(recorded: Option<Standing>, refunds: &[RefundEntry], comes_to: Standing) -> Option<Step> {
    let received = comes_to.state == AttemptState::Succeeded;
    let Some(before) = recorded else {
        return Some(first_step(None, comes_to));
    };
    if (before.state, received) != (comes_to.state, true) {
        // The failure that ended the attempt before may never have been reported.
        let is_new = comes_to.state == AttemptState::Processing && comes_to.at - before.at >= NEW_ATTEMPT_AFTER;
        let changed = before.state != comes_to.state || is_new;
        return changed.then(|| first_step(Some(before), comes_to));
    }
    let room = |refunded: i64, disputed: i64| disputed.min(before.amount_cents - refunded);
    if before.amount_cents < comes_to.amount_cents {
        let more = comes_to.amount_cents - before.amount_cents;
        let after = Standing { amount_cents: comes_to.amount_cents, ..before };
        return Some(step(MoneyMove::Received, Some(before), after, more, comes_to));
    }
    if before.refunded_cents < comes_to.refunded_cents {
        let refunded_cents = comes_to.refunded_cents;
        let after = Standing { refunded_cents, disputed_cents: room(refunded_cents, before.disputed_cents), ..before };
        let more = refunded_cents - before.refunded_cents;
        return Some(step(MoneyMove::Refunded, Some(before), after, more, comes_to));
    }
    if before.refunded_cents > comes_to.refunded_cents {
        let failed = before.refunded_cents - comes_to.refunded_cents;
        let undone = undone(refunds, failed)?;
        let refunded_cents = before.refunded_cents - failed.min(undone.amount_cents);
        let disputed_cents = room(refunded_cents, comes_to.disputed_cents);
        let after = Standing { refunded_cents, disputed_cents, ..before };
        let back = after.paid_cents() - before.paid_cents();
        return Some(Step {
            undone: Some(undone),
            ..step(MoneyMove::RefundFailed, Some(before), after, back, comes_to)
        });
    }
    let after = Standing { disputed_cents: comes_to.disputed_cents, ..before };
    let more = after.disputed_cents - before.disputed_cents;
    let money = if more > 0 { MoneyMove::Disputed } else { MoneyMove::DisputeWon };
    (more != 0).then(|| step(money, Some(before), after, more.abs(), comes_to))
}

/// The attempt gets its state. Refunds and disputes follow as steps of their own.
fn first_step(before: Option<Standing>, comes_to: Standing) -> Step {
    let money = match comes_to.state {
        AttemptState::Processing => MoneyMove::Processing,
        AttemptState::Failed => MoneyMove::Declined,
        AttemptState::Cancelled => MoneyMove::Cancelled,
        AttemptState::Succeeded => MoneyMove::Received,
    };
    let after = Standing { refunded_cents: 0, disputed_cents: 0, ..comes_to };
    step(money, before, after, comes_to.amount_cents, comes_to)
}

fn step(money: MoneyMove, before: Option<Standing>, after: Standing, amount_cents: i64, comes_to: Standing) -> Step {
    let before = |of: fn(&Standing) -> i64| before.as_ref().map_or(0, of);
    Step {
        money,
        after,
        amount_cents,
        paid_delta_cents: after.paid_cents() - before(Standing::paid_cents),
        refunded_delta_cents: after.refunded_cents - before(|it| it.refunded_cents),
        disputed_delta_cents: after.disputed_cents - before(|it| it.disputed_cents),
        undone: None,
        may_confirm: comes_to.amount_cents > comes_to.refunded_cents,
    }
}

/// The entry of a refund that failed: one of that amount, else the newest that is larger, else the newest.
fn undone(refunds: &[RefundEntry], failed_cents: i64) -> Option<RefundEntry> {
    let exact = refunds.iter().find(|entry| entry.amount_cents == failed_cents);
    let larger = || refunds.iter().find(|entry| entry.amount_cents > failed_cents);
    exact.or_else(larger).or_else(|| refunds.first()).copied()
}

#[cfg(test)]
mod tests;
