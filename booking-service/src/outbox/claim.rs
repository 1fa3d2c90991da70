use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use uuid::Uuid;

use super::Outbox;
use crate::domain::{BookingId, EventId, OutboxDestination, OutboxMessage};

/// What a claim got.
pub struct Claimed {
    pub messages: Vec<OutboxMessage>,
    /// Whether there may be more to claim at once.
    pub more: bool,
}

impl Outbox {
    /// Claims messages that are due, at most `limit`; only those of one booking when it is given.
    ///
    /// # Errors
    /// [`ReadError`]. Whatever was claimed comes back when its lease ends.
    pub(super) async fn claim(
        &self,
        destination: OutboxDestination,
        limit: u32,
        only: Option<BookingId>,
    ) -> Result<Claimed, ReadError> {
        let rows = self.claimed_rows(destination, limit, only).await?;
        let more = rows.iter().any(|row| row.more);
        let messages = rows.into_iter().filter(|row| row.booking_id.is_some()).map(Row::message);
        let messages = messages.collect::<Option<_>>().ok_or(Corrupted::Column("claim_outbox.booking_id"))?;
        Ok(Claimed { messages, more })
    }

    async fn claimed_rows(
        &self,
        destination: OutboxDestination,
        limit: u32,
        only: Option<BookingId>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let now = self.clock.now();
        self.database
            .fetch_all(|| {
                sqlx::query_file_as!(
                    Row,
                    "src/outbox/claim_outbox.sql",
                    destination.as_str(),
                    now,
                    now + self.lease(),
                    i64::from(limit),
                    only.map(|id| id.0),
                )
            })
            .await
    }
}

/// A row of the statement.
struct Row {
    more: bool,
    booking_id: Option<Uuid>,
    version: Option<i64>,
    claim: Option<i64>,
    attempts: Option<i32>,
    last_error_reason: Option<String>,
    traceparent: Option<String>,
    created_at: Option<DateTime<Utc>>,
    event_id: Option<Uuid>,
    r#type: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    data: Option<String>,
}

impl Row {
    /// `None` for what the statement cannot answer.
    fn message(self) -> Option<OutboxMessage> {
        Some(OutboxMessage {
            booking_id: BookingId(self.booking_id?),
            version: self.version?,
            claim: self.claim?,
            attempts: self.attempts?,
            last_error_reason: self.last_error_reason?,
            traceparent: self.traceparent,
            created_at: self.created_at?,
            event_id: EventId(self.event_id?),
            event_type: self.r#type?,
            occurred_at: self.occurred_at?,
            data: self.data?,
        })
    }
}
