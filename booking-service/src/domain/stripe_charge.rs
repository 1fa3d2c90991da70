//! Everything that Stripe has told of one charge, and what it comes to.
//!
//! Facts merge: in whatever order they are told, and however often, they come to the same. What a charge comes to
//! is computed from them alone, and [`next_step`] leads from what is recorded to that, one movement at a time.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MoneyMove, PaymentStatus};

/// How long a payment that Stripe still processes keeps a booking's hold, from when that was told. Bank debits are
/// decided within 14 days, as Stripe's documentation has it.
pub const PROCESSING_MAX: TimeDelta = TimeDelta::days(14);
/// Refunds and disputes of one charge that are kept apart.
const REFUNDS_MAX: usize = 200;
const DISPUTES_MAX: usize = 20;

/// One thing that Stripe told of a charge. Amounts are minor units of the charge's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Attempt {
        state: AttemptState,
        amount_cents: i64,
        at: DateTime<Utc>,
    },
    /// Of a charge that succeeded: given back so far in all.
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

/// What is told of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DisputeNews {
    /// It is lost, and what was taken stays taken: nothing moves. Says something only where nothing else is known.
    Lost,
    /// The bank has taken the money.
    Withdrawn,
    /// It came back, or a part of it.
    Reinstated,
}

/// More refunds or disputes of one charge than are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the charge has more refunds or disputes than are kept")]
pub struct TooManyFacts;

/// Everything that was told of a charge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFacts {
    attempt: Option<Attempt>,
    /// The most that was told as given back in all. Stripe's own sum falls when a refund fails.
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
    /// All of the charge, when it is not told in the charge's currency.
    taken_cents: Option<i64>,
    at: DateTime<Utc>,
}

/// What a charge comes to, or what is recorded of it. What was paid, given back and is disputed add up:
/// `amount_cents` is `paid_cents()` + `refunded_cents` + `disputed_cents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: AttemptState,
    pub amount_cents: i64,
    pub refunded_cents: i64,
    /// What banks took of the rest.
    pub disputed_cents: i64,
    /// When the attempt was made, as Stripe has it.
    pub at: DateTime<Utc>,
}

/// An entry of a refund that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundEntry {
    pub payment_id: Uuid,
    pub amount_cents: i64,
}

/// One movement on the way from what is recorded to what the facts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub money: MoneyMove,
    /// The charge after it.
    pub after: Standing,
    /// What the event tells: how much was received, given back, taken, or tried.
    pub amount_cents: i64,
    /// What it adds to what the booking has paid, was given back, and has disputed.
    pub paid_delta_cents: i64,
    pub refunded_delta_cents: i64,
    pub disputed_delta_cents: i64,
    /// The entry of the refund that failed, or of which a part did.
    pub undone: Option<RefundEntry>,
    /// Whether not all of the charge was given back: what is known to have gone back whole makes no booking firm.
    pub may_confirm: bool,
}

impl ChargeFacts {
    /// Adds what was told. The order does not matter.
    ///
    /// # Errors
    /// [`TooManyFacts`].
    pub fn add(&mut self, fact: &Fact) -> Result<(), TooManyFacts> {
        match fact {
            &Fact::Attempt { state, amount_cents, at } => {
                let told = Attempt { state, amount_cents, at };
                if self.attempt.is_none_or(|known| told.rank() > known.rank()) {
                    self.attempt = Some(told);
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
                let told = Dispute { news: *news, taken_cents: *taken_cents, at: *at };
                let known = self.disputes.entry(id.clone()).or_insert(told);
                if told.rank() > known.rank() {
                    *known = told;
                }
            }
        }
        Ok(())
    }

    /// What they come to; `None` where no attempt is known.
    pub fn standing(&self) -> Option<Standing> {
        let Attempt { state, amount_cents, at } = self.attempt?;
        let none = Standing { state, amount_cents, refunded_cents: 0, disputed_cents: 0, at };
        if state != AttemptState::Succeeded {
            return Some(none);
        }
        // A refund is told by itself, under its id, and in Stripe's sum. Where only the sum tells of it, what failed
        // has to be taken off.
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
    /// What succeeded stays so, then what was cancelled; else the latest counts. A failure ends what was processed
    /// in the same second.
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
    /// The latest movement counts: what was won may be taken once more. In one second it was taken before it came
    /// back.
    fn rank(self) -> (bool, DateTime<Utc>, DisputeNews, Reverse<Option<i64>>) {
        (self.news != DisputeNews::Lost, self.at, self.news, Reverse(self.taken_cents))
    }
}

impl Standing {
    /// What of it counts as paid.
    pub fn paid_cents(&self) -> i64 {
        match self.state {
            AttemptState::Succeeded => self.amount_cents - self.refunded_cents - self.disputed_cents,
            _ => 0,
        }
    }

    /// The state of the charge's entry.
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

/// The next movement from what is recorded of a charge, and the refunds that count of it, the newest first, to
/// what its facts come to. `None` when they are the same.
pub fn next_step(recorded: Option<Standing>, refunds: &[RefundEntry], comes_to: Standing) -> Option<Step> {
    let received = comes_to.state == AttemptState::Succeeded;
    let Some(before) = recorded else {
        return Some(first_step(None, comes_to));
    };
    if (before.state, received) != (comes_to.state, true) {
        let changed = before.state != comes_to.state;
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

/// The attempt becomes what it is; what was given back or taken of it follows.
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

/// The entry that a failed refund was: one of that amount, else the newest that is large enough, else the newest.
fn undone(refunds: &[RefundEntry], failed_cents: i64) -> Option<RefundEntry> {
    let exact = refunds.iter().find(|entry| entry.amount_cents == failed_cents);
    let larger = || refunds.iter().find(|entry| entry.amount_cents > failed_cents);
    exact.or_else(larger).or_else(|| refunds.first()).copied()
}

#[cfg(test)]
mod tests;
