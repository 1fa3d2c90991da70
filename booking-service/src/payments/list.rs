use chrono::{DateTime, Utc};
use teppan_shared::read_error::ReadError;
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{BookingId, PaymentKind, PaymentStatus},
    payments::row::{Payment, PaymentRow},
};

/// The most rows one page looks at; a page of what is rare ends there, perhaps without a payment.
pub const LOOKED_AT_MAX: i64 = 5_000;

/// A place in the order of recording: when, then id.
pub type PaymentPlace = (DateTime<Utc>, Uuid);

/// Which payments are asked for; filters that are given must all match.
pub struct PaymentsQuery {
    pub booking_id: Option<BookingId>,
    pub kind: Option<PaymentKind>,
    /// `None`: any.
    pub statuses: Option<Vec<PaymentStatus>>,
    /// The page starts behind it.
    pub after: PaymentPlace,
}

/// Payments, and where the next page starts if there may be one.
pub struct PaymentPage {
    pub payments: Vec<Payment>,
    pub next: Option<PaymentPlace>,
}

impl Core {
    /// Lists payments in the order of recording, in one round trip that looks at a bounded number of rows.
    ///
    /// # Errors
    /// [`ReadError`], though never that something is not found.
    pub async fn list_payments(&self, query: &PaymentsQuery, page_size: u16) -> Result<PaymentPage, ReadError> {
        let statuses: Option<Vec<String>> =
            query.statuses.as_ref().map(|them| them.iter().map(|it| it.as_column().to_owned()).collect());
        let statuses = statuses.as_deref();
        let mut rows = self
            .database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    ListedPayment,
                    "src/payments/list.sql",
                    query.booking_id.map(|id| id.0),
                    query.kind.map(PaymentKind::as_column),
                    statuses,
                    query.after.0,
                    query.after.1,
                    LOOKED_AT_MAX,
                    i64::from(page_size) + 1,
                )
            })
            .await?;
        let full = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|last| full || last.place == LOOKED_AT_MAX);
        let next = next.map(|last| (last.created_at, last.payment_id));
        let wanted = rows.into_iter().filter(|row| row.wanted);
        let payments = wanted.map(|row| row.payment().try_into()).collect::<Result<_, _>>()?;
        Ok(PaymentPage { payments, next })
    }
}

struct ListedPayment {
    place: i64,
    wanted: bool,
    payment_id: Uuid,
    booking_id: Uuid,
    kind: String,
    method: String,
    status: String,
    amount_cents: i64,
    currency: String,
    external_reference: String,
    occurred_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    disputed_cents: i64,
}

impl ListedPayment {
    fn payment(self) -> PaymentRow {
        PaymentRow {
            payment_id: self.payment_id,
            booking_id: self.booking_id,
            kind: self.kind,
            method: self.method,
            status: self.status,
            amount_cents: self.amount_cents,
            currency: self.currency,
            external_reference: self.external_reference,
            occurred_at: self.occurred_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            disputed_cents: self.disputed_cents,
        }
    }
}
