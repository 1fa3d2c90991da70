//! What RecordPayment and Stripe's events have in common: a movement of money, and what follows from it.

mod answer;

use chrono::{DateTime, Utc};
use serde_json::Value;
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, telemetry};
use tokio::time::Instant;
use uuid::Uuid;

use self::answer::MoveAnswer;
pub use self::answer::Moved;
use crate::{
    bookings::change::{DELIVERY_TIME, came_in_between},
    bookings::row::BookingRow,
    core::Core,
    domain::{BookingChange, EventId, MoneyMove, PaymentId, PaymentMethod},
    payments::row::Payment,
};

/// How often the statement is run. Each run after the first follows a commit of somebody else on the same
/// booking, slot, key or payment intent.
const ATTEMPTS_MAX: usize = 16;

/// A movement of money to be recorded.
pub struct Movement<'a> {
    /// The idempotency key and the fingerprint of the request, of a call.
    pub key: Option<(&'a str, [u8; 32])>,
    /// `None` when no booking is named: the answer is BookingNotFound.
    pub booking_id: Option<Uuid>,
    /// The booking's version as last read.
    pub version: Option<i64>,
    pub money: MoneyMove,
    pub method: PaymentMethod,
    /// The amount of the event, in minor units of the booking's currency.
    pub amount_cents: i64,
    /// What it adds to the booking's paid, refunded and disputed amounts.
    pub paid_delta_cents: i64,
    pub refunded_delta_cents: i64,
    pub disputed_delta_cents: i64,
    /// Whether it may confirm the booking.
    pub may_confirm: bool,
    /// `None`: not compared with the booking's currency.
    pub currency: Option<&'a str>,
    pub external_reference: &'a str,
    pub charge_id: Option<&'a str>,
    pub occurred_at: DateTime<Utc>,
    /// Of a charge through Stripe: the charge after this movement, as the statement reads it.
    pub charge: Option<Value>,
}

/// Why money was not moved. Nothing was written, unless [`DatabaseError`] leaves it open; but for `Corrupted`, which
/// is also the answer when what was written cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MoveMoneyError {
    #[error("there is no such booking")]
    BookingNotFound,
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the booking is no longer what the caller read")]
    StaleEtag,
    #[error("the booking is paid in another currency")]
    CurrencyMismatch { currency: String },
    #[error("more would be given back than was received")]
    RefundExceedsPaid { paid_cents: i64 },
    #[error("something came between every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// What the movement came to. The payment is there when this call, or an earlier one with its key, made it.
///
/// The booking's wishes are still sealed. By now the money has moved, so whoever does not need them must not
/// fail when they cannot be opened.
pub struct MovedMoney {
    pub payment: Option<Payment>,
    pub booking: BookingRow,
    pub replayed: bool,
}

impl Core {
    /// Records a movement of money: the payment, what is paid and owed, a booking that becomes firm, the
    /// events and messages, in one round trip.
    ///
    /// # Errors
    /// [`MoveMoneyError`].
    pub(crate) async fn move_money(&self, movement: &Movement<'_>) -> Result<MovedMoney, MoveMoneyError> {
        let draft = self.draft_of_movement(movement.money);
        for attempt in 1..=ATTEMPTS_MAX {
            let answer = match self.run_move_money(movement, &draft).await {
                Ok(answer) => answer.ok_or(MoveMoneyError::BookingNotFound)?,
                Err(error) if movement.charge.is_some() && (is_overtaken(&error) || is_own_first_run(&error)) => {
                    return Err(MoveMoneyError::Contended);
                }
                Err(error) if attempt < ATTEMPTS_MAX && is_overtaken(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            match answer.outcome()? {
                Moved::Changed(payment, row) => {
                    self.live.nudge();
                    self.count_offer(&row, draft.now);
                    self.deliver(&row, Instant::now() + DELIVERY_TIME).await;
                    return Ok(MovedMoney { payment, booking: row, replayed: false });
                }
                Moved::Replayed { fingerprint, payment, row } => {
                    if movement.key.is_none_or(|(_, own)| own.as_slice() != fingerprint) {
                        return Err(MoveMoneyError::KeyReused);
                    }
                    // Recorded by an earlier run of this call, whose answer was lost, it is this call's payment.
                    let replayed = payment.id != draft.payment_id;
                    if !replayed {
                        self.live.nudge();
                        self.deliver(&row, Instant::now() + DELIVERY_TIME).await;
                    }
                    return Ok(MovedMoney { payment: Some(payment), booking: row, replayed });
                }
                Moved::StaleEtag => return Err(MoveMoneyError::StaleEtag),
                Moved::CurrencyMismatch { currency } => return Err(MoveMoneyError::CurrencyMismatch { currency }),
                Moved::RefundExceedsPaid { paid_cents } => {
                    return Err(MoveMoneyError::RefundExceedsPaid { paid_cents });
                }
                // The next step has to be computed from the charge as it is now.
                Moved::Contended if movement.charge.is_some() => return Err(MoveMoneyError::Contended),
                Moved::Contended => {}
            }
        }
        Err(MoveMoneyError::Contended)
    }

    fn draft_of_movement(&self, money: MoneyMove) -> Draft {
        let allows = |change: BookingChange| change.allowed_from().iter().map(|it| it.as_column().to_owned()).collect();
        Draft {
            payment_id: PaymentId::generate(),
            // Recorded, confirmed, to be given back.
            event_ids: [(); 3].map(|()| EventId::generate().0).to_vec(),
            traceparent: telemetry::current_traceparent(),
            destinations: self.destinations(true),
            confirms_from: allows(BookingChange::PayDeposit),
            // Only money that comes in takes seats again. Money that comes back, because a refund failed or a dispute
            // was won, is owed: the customer had no table any more.
            retakes_from: if money == MoneyMove::Received { allows(BookingChange::RetakeSeats) } else { Vec::new() },
            now: self.clock.now(),
        }
    }

    async fn run_move_money(&self, it: &Movement<'_>, draft: &Draft) -> Result<Option<MoveAnswer>, DatabaseError> {
        let (key, fingerprint) = it.key.map(|(key, fingerprint)| (key, fingerprint.to_vec())).unzip();
        let fingerprint = fingerprint.as_deref();
        self.database
            .fetch_optional(|| {
                sqlx::query_file_as!(
                    MoveAnswer,
                    "src/payments/move_money.sql",
                    key,
                    fingerprint,
                    it.booking_id,
                    it.version,
                    it.money.event(),
                    draft.payment_id.0,
                    it.method.as_column(),
                    it.amount_cents,
                    it.currency,
                    it.external_reference,
                    it.charge_id,
                    it.occurred_at,
                    draft.now,
                    &draft.event_ids,
                    draft.traceparent.as_deref(),
                    &draft.destinations,
                    &draft.confirms_from,
                    &draft.retakes_from,
                    it.money.reason(),
                    it.paid_delta_cents,
                    it.refunded_delta_cents,
                    it.disputed_delta_cents,
                    it.may_confirm,
                    it.charge,
                )
            })
            .await
    }
}

/// The parts of a movement that are made before its statement runs.
struct Draft {
    payment_id: PaymentId,
    event_ids: Vec<Uuid>,
    traceparent: Option<String>,
    destinations: Vec<String>,
    confirms_from: Vec<String>,
    retakes_from: Vec<String>,
    now: DateTime<Utc>,
}

/// Whether an earlier run of the same call committed, and its answer was lost with the connection.
fn is_own_first_run(error: &DatabaseError) -> bool {
    ["payments_pkey", "booking_events_pkey", "booking_events_version_key"].iter().any(|name| error.violates(name))
}

/// Whether a concurrent call was faster: a new run sees what it did.
fn is_overtaken(error: &DatabaseError) -> bool {
    came_in_between(error)
        || ["idempotency_keys_pkey", "payments_pkey", "payments_stripe_intent", "payments_stripe_charge"]
            .iter()
            .any(|constraint| error.violates(constraint))
}
