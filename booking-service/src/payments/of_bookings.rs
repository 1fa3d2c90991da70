use std::collections::HashMap;

use sqlx::{FromRow as _, postgres::PgRow};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use super::{Payments, row::Payment};
use crate::domain::BookingId;

const OF_BOOKINGS: &str = include_str!("of_bookings.sql");

impl Payments {
    /// All payments of these bookings, by booking, in the order of recording.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn of_bookings(&self, bookings: &[BookingId]) -> Result<HashMap<BookingId, Vec<Payment>>, DatabaseError> {
        let ids: Vec<Uuid> = bookings.iter().map(|id| id.0).collect();
        let of_bookings = || sqlx::query(OF_BOOKINGS).bind(&ids).try_map(|row: PgRow| Payment::from_row(&row));
        let mut payments: HashMap<BookingId, Vec<Payment>> = HashMap::new();
        for payment in self.database.fetch_all(of_bookings).await? {
            payments.entry(payment.booking_id).or_default().push(payment);
        }
        Ok(payments)
    }
}
