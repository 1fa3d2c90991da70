//! What waits in the database, read for the metrics.

use chrono::TimeDelta;
use opentelemetry::{KeyValue, metrics::Gauge};
use teppan_shared::{
    backlog::{age, count, show_age, show_count},
    clock::Clock,
    outbox::{Outbox, OutboxBacklog},
    postgres::{Database, DatabaseError},
    worker::{Batch, Job},
};

/// A hold that runs out within this time is expiring.
const EXPIRING: TimeDelta = TimeDelta::minutes(5);

/// Shows in the metrics what waits in the database. The gauges keep the values last read.
pub struct Backlog {
    database: Database,
    clock: Clock,
    outbox: Outbox,
    messages: OutboxBacklog,
    holds: Gauge<u64>,
    holds_overdue_age_seconds: Gauge<f64>,
    waitlist_entries: Gauge<u64>,
    openings: Gauge<u64>,
    openings_age_seconds: Gauge<f64>,
    stripe_waiting: Gauge<u64>,
    stripe_waiting_age_seconds: Gauge<f64>,
    stripe_set_aside: Gauge<u64>,
    stripe_set_aside_age_seconds: Gauge<f64>,
}

impl Backlog {
    pub fn new(database: Database, clock: Clock, outbox: Outbox) -> Self {
        Self {
            database,
            clock,
            outbox,
            messages: OutboxBacklog::default(),
            holds: count("teppan.holds", "Bookings that hold seats for a limited time, of at most 10,000."),
            holds_overdue_age_seconds: age(
                "teppan.holds.overdue.age",
                "For how long the hold that ran out first has been overdue, 0 when none is.",
            ),
            waitlist_entries: count(
                "teppan.waitlist.entries",
                "Customers who wait for a slot, and those who have an offer, of at most 10,000 each.",
            ),
            openings: count(
                "teppan.waitlist.openings",
                "Notes of freed seats that are due to be offered, of at most 10,000.",
            ),
            openings_age_seconds: age(
                "teppan.waitlist.openings.age",
                "Age of the oldest note of freed seats, 0 when there is none.",
            ),
            stripe_waiting: count("teppan.stripe.event.waiting", "Stripe events that wait, of at most 10,000."),
            stripe_waiting_age_seconds: age(
                "teppan.stripe.event.waiting.age",
                "Age of the oldest Stripe event that waits, 0 when none does.",
            ),
            stripe_set_aside: count(
                "teppan.stripe.event.set_aside",
                "Stripe events that are dead letters, of at most 10,000.",
            ),
            stripe_set_aside_age_seconds: age(
                "teppan.stripe.event.set_aside.age",
                "For how long the oldest Stripe event has been a dead letter, 0 when there is none.",
            ),
        }
    }
}

impl Job for Backlog {
    type Error = DatabaseError;
    const NAME: &'static str = "backlog";

    /// Reads by indexes and up to a bound.
    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let now = self.clock.now();
        self.outbox.read_backlog(&self.messages).await?;
        let read = || sqlx::query_file!("src/outbox/backlog.sql", now, now + EXPIRING);
        let row = self.database.fetch_one(read).await?;
        for (state, waiting) in
            [("pending", row.holds_pending), ("expiring", row.holds_expiring), ("overdue", row.holds_overdue)]
        {
            show_count(&self.holds, waiting, &[KeyValue::new("state", state)]);
        }
        for (state, waiting) in [("waiting", row.waitlist_waiting), ("offered", row.waitlist_offered)] {
            show_count(&self.waitlist_entries, waiting, &[KeyValue::new("state", state)]);
        }
        show_count(&self.openings, row.openings, &[]);
        show_count(&self.stripe_waiting, row.stripe_waiting, &[]);
        show_count(&self.stripe_set_aside, row.stripe_set_aside, &[]);
        for (gauge, since) in [
            (&self.holds_overdue_age_seconds, row.first_hold_expires_at),
            (&self.openings_age_seconds, row.oldest_opening_at),
            (&self.stripe_waiting_age_seconds, row.oldest_stripe_at),
            (&self.stripe_set_aside_age_seconds, row.oldest_set_aside_at),
        ] {
            show_age(gauge, now, since, &[]);
        }
        Ok(Batch::default())
    }
}
