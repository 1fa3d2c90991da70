//! Metrics of the backlogs in the database.

use chrono::TimeDelta;
use opentelemetry::{KeyValue, metrics::Gauge};
use teppan_shared::{
    backlog::{age, count, show_age, show_count},
    clock::Clock,
    outbox::{Outbox, OutboxBacklog},
    postgres::{Database, DatabaseError},
    worker::{Batch, Job},
};

/// A hold that ends within this time counts as expiring.
const EXPIRING: TimeDelta = TimeDelta::minutes(5);

/// Reads the backlogs into gauges. When a read fails, the gauges keep their last values.
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
            holds: count("teppan.holds", "Bookings that hold seats for a limited time, counted up to 10,000."),
            holds_overdue_age_seconds: age(
                "teppan.holds.overdue.age",
                "How long the oldest overdue hold has been overdue, 0 when there is none.",
            ),
            waitlist_entries: count(
                "teppan.waitlist.entries",
                "Waitlist entries that wait, and entries that have an offer, each counted up to 10,000.",
            ),
            openings: count(
                "teppan.waitlist.openings",
                "Records of freed seats that are due to be offered, counted up to 10,000.",
            ),
            openings_age_seconds: age(
                "teppan.waitlist.openings.age",
                "Age of the oldest record of freed seats, 0 when there is none.",
            ),
            stripe_waiting: count(
                "teppan.stripe.event.waiting",
                "Stripe events that wait to be applied, counted up to 10,000.",
            ),
            stripe_waiting_age_seconds: age(
                "teppan.stripe.event.waiting.age",
                "Age of the oldest Stripe event that waits to be applied, 0 when there is none.",
            ),
            stripe_set_aside: count(
                "teppan.stripe.event.set_aside",
                "Stripe events that are dead letters, counted up to 10,000.",
            ),
            stripe_set_aside_age_seconds: age(
                "teppan.stripe.event.set_aside.age",
                "How long the oldest dead letter of Stripe has been one, 0 when there is none.",
            ),
        }
    }
}

impl Job for Backlog {
    type Error = DatabaseError;
    const NAME: &'static str = "backlog";

    /// Reads by indexes, and counts up to 10,000.
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
