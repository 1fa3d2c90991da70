use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Message, Outbox};
use crate::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

/// The result of a claim.
pub(super) struct Claimed {
    pub messages: Vec<Message>,
    /// Whether other messages may be due.
    pub more: bool,
}

impl Outbox {
    /// Claims at most `limit` due messages; with `only`, those of this aggregate.
    ///
    /// # Errors
    /// [`ReadError`]. Messages that were claimed are due again when their leases end.
    pub(super) async fn claim(
        &self,
        destination: &'static str,
        limit: u32,
        only: Option<&str>,
    ) -> Result<Claimed, ReadError> {
        let rows = self.claimed_rows(destination, limit, only).await?;
        let more = rows.iter().any(|row| row.more);
        let messages = rows.into_iter().filter(|row| row.aggregate_id.is_some()).map(Row::message);
        let messages = messages.collect::<Option<_>>().ok_or(Corrupted::Column("outbox_messages.event_id"))?;
        Ok(Claimed { messages, more })
    }

    async fn claimed_rows(
        &self,
        destination: &'static str,
        limit: u32,
        only: Option<&str>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let now = self.clock.now();
        let claim = || {
            sqlx::query_file_as!(
                Row,
                "src/outbox/claim.sql",
                destination,
                now,
                now + self.lease(),
                i64::from(limit),
                only
            )
        };
        self.database.fetch_all(claim).await
    }
}

/// A row of `claim.sql`.
struct Row {
    more: bool,
    aggregate_id: Option<String>,
    version: Option<i64>,
    claim: Option<i64>,
    attempts: Option<i32>,
    last_error_reason: Option<String>,
    traceparent: Option<String>,
    created_at: Option<DateTime<Utc>>,
    event_id: Option<Uuid>,
    event_type: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    data: Option<String>,
}

impl Row {
    /// `None` when the event is missing.
    fn message(self) -> Option<Message> {
        Some(Message {
            aggregate_id: self.aggregate_id?,
            version: self.version?,
            claim: self.claim?,
            attempts: self.attempts?,
            last_error_reason: self.last_error_reason?,
            traceparent: self.traceparent,
            created_at: self.created_at?,
            event_id: self.event_id?,
            event_type: self.event_type?,
            occurred_at: self.occurred_at?,
            data: self.data?,
        })
    }
}
