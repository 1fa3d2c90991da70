use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, telemetry};
use uuid::Uuid;

use crate::{
    bookings::change::is_overtaken,
    customers::Customers,
    domain::{CustomerId, EventId, OutboxDestination},
};

/// Each attempt after the first follows a deadlock with an offer to the same customer.
const ATTEMPTS_MAX: usize = 8;

/// An erased customer.
pub struct Erased {
    pub erased_at: DateTime<Utc>,
    /// The bookings that stay, without personal data.
    pub bookings_kept: i64,
    /// At most 1,000 of the conversations that are deleted with the customer.
    pub conversation_ids: Vec<String>,
}

/// Why a customer was not erased. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum EraseCustomerError {
    #[error("there is no such customer")]
    NotFound,
    #[error("the customer was merged into another one")]
    Merged(CustomerId),
    #[error("the customer has {0} future bookings")]
    HasLiveBookings(i64),
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// The row of `erase.sql`.
struct Row {
    outcome: String,
    erased_at: Option<DateTime<Utc>>,
    bookings: i64,
    conversation_ids: Option<Vec<String>>,
    merged_into: Option<Uuid>,
}

impl Customers {
    /// Erases the personal data of a customer here, and of the customers merged into it, in one round trip. The outbox deletes the conversations.
    ///
    /// An erased customer stays as it is.
    ///
    /// # Errors
    /// [`EraseCustomerError`].
    pub async fn erase_customer(&self, id: CustomerId) -> Result<Erased, EraseCustomerError> {
        let row = self.erase(id, None).await?;
        match row.outcome.as_str() {
            "erased" => {
                self.outbox.nudge(OutboxDestination::EventStream);
                self.outbox.nudge(OutboxDestination::ConversationService);
                Ok(Erased {
                    erased_at: row.erased_at.ok_or(Corrupted::Column("erase.erased_at"))?,
                    bookings_kept: row.bookings,
                    conversation_ids: row.conversation_ids.unwrap_or_default(),
                })
            }
            "live" => Err(EraseCustomerError::HasLiveBookings(row.bookings)),
            "merged" => {
                let into = row.merged_into.ok_or(Corrupted::Column("erase.merged"))?;
                Err(EraseCustomerError::Merged(CustomerId(into)))
            }
            "missing" => Err(EraseCustomerError::NotFound),
            _ => Err(Corrupted::Column("erase.outcome").into()),
        }
    }

    /// Erases a customer who has no bookings and no waitlist entries, and has not changed since this time. False if the
    /// customer has some by now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn erase_unused(&self, id: CustomerId, since: DateTime<Utc>) -> Result<bool, DatabaseError> {
        Ok(self.erase(id, Some(since)).await?.outcome == "erased")
    }

    async fn erase(&self, id: CustomerId, unused_since: Option<DateTime<Utc>>) -> Result<Row, DatabaseError> {
        let (now, event_id, traceparent) = (self.clock.now(), EventId::generate(), telemetry::current_traceparent());
        let destinations = self.outbox.destinations_of_events();
        let erase = || {
            let (id, event, traceparent) = (id.0, event_id.0, traceparent.as_deref());
            sqlx::query_file_as!(
                Row,
                "src/customers/erase.sql",
                id,
                now,
                event,
                traceparent,
                &destinations,
                unused_since
            )
        };
        let mut attempt = 1;
        loop {
            match self.database.fetch_one(erase).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_overtaken(&error) => attempt += 1,
                row => return row,
            }
        }
    }
}
