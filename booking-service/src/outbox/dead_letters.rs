//! Lists and settles dead letters: messages that could not be delivered, and Stripe events that could not be applied.

use teppan_shared::{
    clock::Clock,
    outbox::{
        DeadLetterCursor, DeadLetterFilter, DeadLetterPage, DeadLetterSelection, DestinationStatus, Operations, Outbox,
        SETTLED_MAX, Settled, Settlement,
    },
    postgres::{Database, DatabaseError},
};

use super::STRIPE;

/// The operations of OutboxService.
#[derive(Clone)]
pub struct OutboxOperations {
    pub outbox: Outbox,
    pub database: Database,
    pub clock: Clock,
}

impl Operations for OutboxOperations {
    async fn read_status(&self) -> Result<Vec<DestinationStatus>, DatabaseError> {
        let mut statuses = self.outbox.read_status().await?;
        let stripe = self.stripe_status().await?;
        if self.outbox.is_in_use(STRIPE) || stripe.was_used() {
            statuses.push(stripe);
        }
        Ok(statuses)
    }

    /// The database view contains the dead letters of Stripe too.
    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        page_size: u16,
    ) -> Result<DeadLetterPage, DatabaseError> {
        self.outbox.list_dead_letters(filter, after, page_size).await
    }

    async fn settle_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection,
    ) -> Result<Settled, DatabaseError> {
        let messages = self.outbox.settle_dead_letters(settlement, selection).await?;
        let stripe = self.settle_stripe_dead_letters(settlement, selection, SETTLED_MAX - messages.settled).await?;
        self.outbox.nudge(STRIPE);
        Ok(Settled {
            settled: messages.settled + stripe.settled,
            remaining: messages.remaining + stripe.remaining,
            unknown: messages.unknown.into_iter().filter(|id| stripe.unknown.contains(id)).collect(),
        })
    }
}

impl OutboxOperations {
    async fn stripe_status(&self) -> Result<DestinationStatus, DatabaseError> {
        let now = self.clock.now();
        let row = self.database.fetch_one(|| sqlx::query_file!("src/stripe/read_status.sql", now)).await?;
        Ok(DestinationStatus {
            destination: STRIPE.to_owned(),
            pending: row.pending,
            leased: row.leased,
            dead: row.dead,
            oldest_at: row.oldest_at,
            lag_seconds: row.lag_seconds,
            last_delivered_at: row.last_delivered_at,
        })
    }

    async fn settle_stripe_dead_letters(
        &self,
        settlement: Settlement,
        selection: &DeadLetterSelection,
        limit: i64,
    ) -> Result<Settled, DatabaseError> {
        let filter = selection.filter();
        if filter.destination.is_some_and(|destination| destination != STRIPE) {
            return Ok(Settled { settled: 0, remaining: 0, unknown: Vec::new() });
        }
        let now = self.clock.now();
        let settle = || {
            sqlx::query_file_as!(
                Settled,
                "src/stripe/settle_dead_letters.sql",
                settlement == Settlement::Retry,
                now,
                selection.ids(),
                filter.event_type.as_deref(),
                filter.aggregate_id.as_deref(),
                limit,
            )
        };
        self.database.fetch_one(settle).await
    }
}
