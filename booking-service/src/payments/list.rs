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

impl Payments {
    /// Lists payments in the order of recording, in one round trip that looks at a bounded number of rows.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says.
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
                .bind(LOOKED_AT_MAX)
                .bind(i64::from(page_size) + 1)
                .try_map(|row: PgRow| ListedPayment::from_row(&row))
        };
        let mut rows = self.database.fetch_all(list).await?;
        let full = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let next = rows.last().filter(|last| full || last.place == LOOKED_AT_MAX);
        let next = next.map(|last| (last.payment.created_at, last.payment.payment_id.0));
        let wanted = rows.into_iter().filter(|row| row.wanted);
        Ok(PaymentPage { payments: wanted.map(|row| row.payment).collect(), next })
    }
}

#[derive(FromRow)]
struct ListedPayment {
    place: i64,
    wanted: bool,
    #[sqlx(flatten)]
    payment: Payment,
}
