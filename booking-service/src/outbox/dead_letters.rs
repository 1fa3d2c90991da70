//! What operators do with messages that could not be delivered.

use chrono::DateTime;
use teppan_shared::{
    outbox::{DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, DeadLetters, Settled, Settlement},
    postgres::DatabaseError,
};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{BookingId, OutboxDestination},
};

/// Only dead letters that match every filter given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub destination: Option<OutboxDestination>,
    pub event_type: Option<String>,
    pub booking_id: Option<BookingId>,
}

impl DeadLetters for Core {
    type Filter = DeadLetterFilter;
    const OWNER: (&'static str, &'static str) = ("BOOKING", "booking_id");

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> Result<DeadLetterPage, DatabaseError> {
        let (dead_at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        let list = || {
            sqlx::query_file_as!(
                DeadLetter,
                "src/outbox/list_dead_letters.sql",
                dead_at,
                id,
                filter.destination.map(OutboxDestination::as_str),
                filter.event_type,
                filter.booking_id.map(|id| id.0),
                i64::from(page_size) + 1,
            )
        };
        Ok(DeadLetterPage::of(self.database.fetch_all(list).await?, page_size))
    }

    async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection<DeadLetterFilter>,
    ) -> Result<Settled, DatabaseError> {
        let filter = selection.filter();
        let now = self.clock.now();
        let settle = || {
            sqlx::query_file_as!(
                Settled,
                "src/outbox/settle_dead_letters.sql",
                settlement == Settlement::Retry,
                now,
                selection.ids(),
                filter.and_then(|filter| filter.destination).map(OutboxDestination::as_str),
                filter.and_then(|filter| filter.event_type.as_deref()),
                filter.and_then(|filter| filter.booking_id).map(|id| id.0),
            )
        };
        let settled = self.database.fetch_one(settle).await?;
        for destination in OutboxDestination::ALL {
            self.outbox.nudge(destination);
        }
        Ok(settled)
    }
}
