use chrono::{DateTime, Utc};
use sqlx::{FromRow, postgres::PgRow};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    domain::{BookingId, PaymentKind, PaymentStatus},
    payments::Payments,
    payments::row::Payment,
};

const LIST: &str = include_str!("list.sql");

/// The most rows that one page scans. If few rows match, a page ends there, perhaps without a payment.
pub const SCANNED_MAX: i64 = 5_000;

/// A cursor position in the order of recording: creation time, payment id.
pub type PaymentPosition = (DateTime<Utc>, Uuid);

/// The filters of the list; a payment must match all given filters.
pub struct PaymentsQuery {
    pub booking_id: Option<BookingId>,
    pub kind: Option<PaymentKind>,
    /// `None`: any.
    pub statuses: Option<Vec<PaymentStatus>>,
    /// The page starts after this position.
    pub after: PaymentPosition,
}

/// Payments, and the position after which the next page starts, if there may be a next page.
pub struct PaymentPage {
    pub payments: Vec<Payment>,
    pub next: Option<PaymentPosition>,
}

impl Payments {
    /// Lists payments in the order of recording, in one round trip that scans a bounded number of rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_payments(&self, query: &PaymentsQuery, page_size: u16) -> Result<PaymentPage, DatabaseError> {
        let statuses: Option<Vec<&str>> =
            query.statuses.as_ref().map(|them| them.iter().map(|it| (*it).into()).collect());
        let list = || {
            sqlx::query(LIST)
                .bind(query.booking_id.map(|id| id.0))
                .bind(query.kind.map(<&str>::from))
                .bind(&statuses)
                .bind(query.after.0)
                .bind(query.after.1)
                .bind(SCANNED_MAX)
                .bind(i64::from(page_size) + 1)
                .try_map(|row: PgRow| ListedPayment::from_row(&row))
        };
        let mut rows = self.database.fetch_all(list).await?;
        let full = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|last| full || last.scan_number == SCANNED_MAX);
        let next = next.map(|last| (last.payment.created_at, last.payment.payment_id.0));
        let matching = rows.into_iter().filter(|row| row.matches);
        Ok(PaymentPage { payments: matching.map(|row| row.payment).collect(), next })
    }
}

#[derive(FromRow)]
struct ListedPayment {
    scan_number: i64,
    matches: bool,
    #[sqlx(flatten)]
    payment: Payment,
}
