//! A movement of money and its effects on the booking: for RecordPayment, and for Stripe's reports about a charge.

mod entries;

use chrono::{DateTime, Utc};
use serde_json::Value;
use teppan_shared::contract::events::v1::{
    self as wire, ConfirmationCause, PaymentCause, PaymentFailureReason, RefundReason,
};

use self::entries::entries;
use super::row::Payment;
use crate::{
    bookings::{
        booking::Booking,
        confirm::confirmed,
        decision::{Decision, Occasion},
        event_data::{EventData, timestamp},
        fold::FoldFault,
        load::Loaded,
    },
    domain::{BookingChange, BookingStatus, Currency, Etag, MoneyMove, PaymentMethod, PaymentStatus},
    slots::row::{SlotRow, SlotState},
};

/// A movement of money to be recorded.
#[derive(Debug, Clone)]
pub struct Movement<'a> {
    pub etag: Option<Etag>,
    pub money: MoneyMove,
    pub method: PaymentMethod,
    /// The amount of the event, in minor units of the booking's currency.
    pub amount_cents: i64,
    /// The changes of the booking's paid, refunded and disputed amounts.
    pub paid_delta_cents: i64,
    pub refunded_delta_cents: i64,
    pub disputed_delta_cents: i64,
    /// The change of the part of the paid amount that is for tips and extras.
    pub extras_delta_cents: i64,
    /// Whether it may confirm the booking.
    pub may_confirm: bool,
    /// `None`: not compared with the booking's currency.
    pub currency: Option<Currency>,
    pub external_reference: &'a str,
    pub charge_id: Option<&'a str>,
    pub occurred_at: DateTime<Utc>,
    /// For a charge through Stripe.
    pub charge: Option<ChargeChange>,
}

/// The state of a charge through Stripe after a movement.
#[derive(Debug, Clone)]
pub struct ChargeChange {
    /// Its stored payment; `None` if the charge is not known yet.
    pub known: Option<Payment>,
    pub status: PaymentStatus,
    pub amount_cents: i64,
    pub refunded_cents: i64,
    pub disputed_cents: i64,
    pub occurred_at: DateTime<Utc>,
    pub facts: Value,
    /// For a payment that the bank is processing: until when it extends the booking's hold.
    pub hold_until: Option<DateTime<Utc>>,
    /// The stored payment of the refund that failed completely or partly.
    pub undone: Option<Payment>,
}

/// Why a movement of money is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyRefusal {
    #[error("the booking has changed since the caller read it")]
    StaleEtag,
    #[error("the booking is paid in another currency")]
    CurrencyMismatch { currency: String },
    #[error("the refund exceeds the received amount")]
    RefundExceedsPaid { paid_cents: i64 },
    #[error("the events of the movement cannot happen to the booking")]
    Impossible(#[from] FoldFault),
}

/// Decides the effects of a movement: the payment, the paid and owed amounts, and whether the booking is confirmed.
pub fn decide(loaded: &Loaded, movement: &Movement<'_>, occasion: &Occasion) -> Result<Decision, MoneyRefusal> {
    let booking = &loaded.booking;
    if movement.etag.is_some_and(|etag| etag.version() != booking.version) {
        return Err(MoneyRefusal::StaleEtag);
    }
    if movement.currency.is_some_and(|currency| currency.code() != booking.currency) {
        return Err(MoneyRefusal::CurrencyMismatch { currency: booking.currency.clone() });
    }
    // Tips and extras are no debts, and pay for nothing else.
    let extras_cents = booking.extras_cents.unwrap_or(0) + movement.extras_delta_cents;
    let paid_cents = booking.paid_cents + movement.paid_delta_cents;
    let without_extras = paid_cents - extras_cents;
    if without_extras < 0 || extras_cents < 0 {
        let is_extra = movement.extras_delta_cents != 0;
        let refundable = if is_extra { booking.extras_cents.unwrap_or(0) } else { booking.paid_without_extras_cents() };
        return Err(MoneyRefusal::RefundExceedsPaid { paid_cents: refundable });
    }
    let confirmation = confirmation(loaded, movement, without_extras, occasion.at);
    let owed_in_all = (without_extras - venue_may_keep(booking, confirmation.is_some())).max(0);
    let owed_before = if confirmation == Some(Confirmation::RetakesSeats) { 0 } else { booking.refund_due_cents };
    let payment_id = match &movement.charge {
        Some(ChargeChange { known: Some(known), .. }) if movement.money != MoneyMove::Refunded => known.payment_id,
        _ => occasion.payment_id,
    };

    let mut decision = Decision::about(booking, occasion);
    decision.payments = entries(booking, movement, occasion);
    let sums = Sums {
        payment_id: payment_id.to_string(),
        paid_cents,
        extras_cents,
        refunded_cents: booking.refunded_cents + movement.refunded_delta_cents,
        disputed_cents: booking.disputed_cents + movement.disputed_delta_cents,
        refund_due_cents: owed_in_all.min(booking.refund_due_cents),
        // If the next event confirms the booking, that event ends the hold.
        hold_expires_at: match confirmation {
            Some(_) => booking.hold_expires_at,
            None => hold_after(loaded, movement),
        },
    };
    decision.apply(sums.event(movement))?;
    if let Some(confirmation) = confirmation {
        if let (Confirmation::RetakesSeats, Some(slot)) = (confirmation, &loaded.slot) {
            decision.take_seats(slot);
        }
        let seats_retaken = confirmation == Confirmation::RetakesSeats;
        decision.apply(confirmed(ConfirmationCause::DepositPaid, seats_retaken))?;
    }
    if owed_in_all > owed_before {
        decision.apply(EventData::RefundRequired(wire::RefundRequired {
            payment_id: payment_id_of_charge(movement, occasion),
            reason: refund_reason(booking.status, confirmation.is_some()).into(),
            amount_cents: owed_in_all - owed_before,
            refund_due_cents: owed_in_all,
            ..Default::default()
        }))?;
    }
    Ok(decision)
}

/// How a payment confirms a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    HasSeats,
    /// The booking has expired, and the seats are still free.
    RetakesSeats,
}

/// A booking that still has its seats is confirmed until it begins, even after the end of its hold. An expired booking
/// takes its seats again only for newly received money, and not after the erasure of its customer. Money that comes back, because a refund failed or a dispute was
/// won, is owed instead.
fn confirmation(loaded: &Loaded, movement: &Movement<'_>, paid_cents: i64, now: DateTime<Utc>) -> Option<Confirmation> {
    let booking = &loaded.booking;
    let completes = movement.paid_delta_cents > movement.extras_delta_cents
        && movement.may_confirm
        && paid_cents >= booking.deposit_cents;
    if !completes {
        return None;
    }
    if booking.status.after(BookingChange::PayDeposit).is_some() && booking.starts_at > now {
        return Some(Confirmation::HasSeats);
    }
    let may_retake = movement.money == MoneyMove::Received
        && booking.status.after(BookingChange::RetakeSeats).is_some()
        && booking.erased_at.is_none();
    let has_room = |slot: &SlotRow| {
        slot.state == SlotState::Open
            && slot.starts_at > now
            && booking.party_size <= slot.open_seats()
            && loaded.has_area_for_it_again()
    };
    (may_retake && loaded.slot.as_ref().is_some_and(|slot| has_room(slot))).then_some(Confirmation::RetakesSeats)
}

/// The amount that the venue may keep besides tips and extras; everything else that was paid beyond it is owed.
pub fn venue_may_keep(booking: &Booking, is_confirmed_now: bool) -> i64 {
    match booking.status {
        BookingStatus::Cancelled => booking.kept_cents,
        BookingStatus::Expired if !is_confirmed_now => 0,
        _ => booking.may_keep_cents(),
    }
}

fn refund_reason(status: BookingStatus, is_confirmed_now: bool) -> RefundReason {
    match status {
        BookingStatus::Cancelled => RefundReason::BookingCancelled,
        BookingStatus::Expired if !is_confirmed_now => RefundReason::SeatsGone,
        _ => RefundReason::Overpaid,
    }
}

/// The end of the hold after a movement. A payment that the bank is processing extends the hold for a bounded time.
/// When it succeeds or fails, the hold ends as it would without this payment: at its original end, or at the last end
/// that another payment in processing requires.
fn hold_after(loaded: &Loaded, movement: &Movement<'_>) -> Option<DateTime<Utc>> {
    let booking = &loaded.booking;
    let hold = booking.hold_expires_at.filter(|_| booking.status == BookingStatus::Pending)?;
    let Some(charge) = &movement.charge else { return Some(hold) };
    if let Some(until) = charge.hold_until {
        return Some(hold.max(until.min(booking.starts_at)));
    }
    let was_processed = charge.known.as_ref().is_some_and(|known| known.status == PaymentStatus::Processing);
    if was_processed && charge.status != PaymentStatus::Processing {
        let without = booking.unpaid_hold_expires_at.max(loaded.others_hold_until);
        return Some(without.map_or(hold, |without| hold.min(without)));
    }
    Some(hold)
}

fn payment_id_of_charge(movement: &Movement<'_>, occasion: &Occasion) -> String {
    let known = movement.charge.as_ref().and_then(|charge| charge.known.as_ref());
    known.map_or(occasion.payment_id, |known| known.payment_id).to_string()
}

/// The booking's sums in an event of money.
struct Sums {
    payment_id: String,
    paid_cents: i64,
    extras_cents: i64,
    refunded_cents: i64,
    disputed_cents: i64,
    refund_due_cents: i64,
    hold_expires_at: Option<DateTime<Utc>>,
}

impl Sums {
    fn event(self, movement: &Movement<'_>) -> EventData {
        let hold_expires_at = self.hold_expires_at.and_then(timestamp);
        let method = wire::PaymentMethod::from(movement.method).into();
        macro_rules! of {
            ($message:ident { $($field:ident $(: $value:expr)?),* }) => {
                EventData::$message(wire::$message {
                    payment_id: self.payment_id,
                    method,
                    amount_cents: movement.amount_cents,
                    paid_cents: self.paid_cents,
                    refunded_cents: self.refunded_cents,
                    disputed_cents: self.disputed_cents,
                    refund_due_cents: self.refund_due_cents,
                    $($field $(: $value)?,)*
                    ..Default::default()
                })
            };
        }
        let recorded = |cause: PaymentCause| cause.into();
        let extras_cents = Some(self.extras_cents);
        let failed = |reason: PaymentFailureReason| reason.into();
        match movement.money {
            MoneyMove::Received => {
                of!(PaymentRecorded { hold_expires_at, extras_cents, cause: recorded(PaymentCause::Received) })
            }
            MoneyMove::RefundFailed => {
                of!(PaymentRecorded { hold_expires_at, extras_cents, cause: recorded(PaymentCause::RefundFailed) })
            }
            MoneyMove::DisputeWon => {
                of!(PaymentRecorded { hold_expires_at, extras_cents, cause: recorded(PaymentCause::DisputeWon) })
            }
            MoneyMove::Refunded => of!(PaymentRefunded { extras_cents }),
            MoneyMove::Processing => of!(PaymentProcessing { hold_expires_at }),
            MoneyMove::Declined => {
                of!(PaymentFailed { hold_expires_at, reason: failed(PaymentFailureReason::Declined) })
            }
            MoneyMove::Cancelled => {
                of!(PaymentFailed { hold_expires_at, reason: failed(PaymentFailureReason::Cancelled) })
            }
            MoneyMove::Disputed => {
                of!(PaymentFailed { hold_expires_at, reason: failed(PaymentFailureReason::Disputed) })
            }
        }
    }
}

impl From<PaymentMethod> for wire::PaymentMethod {
    fn from(method: PaymentMethod) -> Self {
        match method {
            PaymentMethod::Stripe => Self::Stripe,
            PaymentMethod::Cash => Self::Cash,
            PaymentMethod::CardTerminal => Self::CardTerminal,
            PaymentMethod::BankTransfer => Self::BankTransfer,
            PaymentMethod::Voucher => Self::Voucher,
            PaymentMethod::Other => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
