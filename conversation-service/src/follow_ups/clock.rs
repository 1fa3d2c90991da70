//! The follow-up clock: follow-ups fall due, are missed, and their leases expire.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::Corrupted,
    worker::{Batch, Job},
};
use uuid::Uuid;

use super::{
    FollowUpId, FollowUpTrigger, FollowUps, Mood, Templates,
    follow_up::{content_place, open_metadata},
    metrics::FollowUpChange,
};
use crate::domain::{MessageId, Metadata};

/// Pause until the next check of a follow-up that has to wait, as in an escalated conversation.
pub const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// Follow-ups of one run. Each statement repeats it as a literal.
const BATCH_MAX: i64 = 128;

impl FollowUps {
    /// Advances the follow-ups whose time has come, in one bounded run. Any number of replicas may do so at
    /// once.
    ///
    /// # Errors
    /// When the database gave no answer. A later run finds what was left.
    async fn advance(&self) -> Result<Batch, DatabaseError> {
        // First: a follow-up that is overdue for too long must not become ready.
        let missed = self.miss_follow_ups().await?;
        let expired = self.expire_leases().await?;
        let due = self.ready_follow_ups().await?;
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        self.metrics.changed(FollowUpChange::Missed, count(missed));
        self.metrics.changed(FollowUpChange::LeaseExpired, count(expired));
        self.metrics.changed(FollowUpChange::Ready, count(due.ready));
        self.metrics.changed(FollowUpChange::Cancelled, due.cancelled);
        if missed + expired + due.ready > 0 {
            self.events.pending.nudge();
        }
        Ok(Batch {
            done: count(missed + expired + due.ready),
            failed: u64::try_from(due.unreadable).unwrap_or(0),
            more: [missed, expired, due.looked_at].contains(&BATCH_MAX),
            lag: due.lag,
        })
    }

    async fn miss_follow_ups(&self) -> Result<i64, DatabaseError> {
        let now = self.clock.now();
        let due_before = now - self.dispatch.missed_after;
        let statement = || sqlx::query_file!("src/follow_ups/miss.sql", now, due_before, self.events.published);
        Ok(self.database.fetch_one(statement).await?.missed)
    }

    async fn expire_leases(&self) -> Result<i64, DatabaseError> {
        let (now, backoff) = (self.clock.now(), self.dispatch.backoff);
        let (first, max) = (backoff.first.as_secs_f64(), backoff.max.as_secs_f64());
        let statement =
            || sqlx::query_file!("src/follow_ups/expire_leases.sql", now, first, max, self.events.published);
        Ok(self.database.fetch_one(statement).await?.expired)
    }

    /// Chooses the texts of follow-ups that fell due, and wakes the claims that wait.
    async fn ready_follow_ups(&self) -> Result<DueBatch, DatabaseError> {
        let now = self.clock.now();
        let templates = self.dispatch.templates.templates();
        let closed = self.scheduling.sending_hours.closed_zones(now);
        let statement = || {
            sqlx::query_file_as!(
                Due,
                "src/follow_ups/due.sql",
                now,
                now + LOOK_AGAIN,
                &closed.names as &[&str],
                &closed.open_at
            )
        };
        let rows = self.database.fetch_all(statement).await?;
        let looked_at = i64::try_from(rows.len()).unwrap_or(BATCH_MAX);
        let oldest = rows.iter().filter(|row| row.is_due()).map(|row| row.due_at).min();

        let cancelled = rows.iter().filter(|row| row.outcome == "cancelled").count();
        let mut chosen = Chosen::default();
        for row in rows.into_iter().filter(Due::is_due) {
            match self.choose_content(&row, &templates) {
                Ok(content_sealed) => chosen.add(row, content_sealed),
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(follow_up_id = %row.follow_up_id, error, "choosing the text of a follow-up failed");
                    chosen.unreadable.push(row.follow_up_id.0);
                }
            }
        }
        let ready = self.record_ready(&chosen).await?;
        if ready > 0 {
            self.claims.ready.notify_waiters();
        }
        Ok(DueBatch {
            ready,
            cancelled: u64::try_from(cancelled).unwrap_or(0),
            unreadable: chosen.unreadable.len(),
            looked_at,
            lag: oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or(Duration::ZERO),
        })
    }

    /// The text, sealed. `None` when the call that scheduled the follow-up gave one.
    fn choose_content(&self, due: &Due, templates: &Templates) -> Result<Option<Vec<u8>>, Corrupted> {
        if due.has_content {
            return Ok(None);
        }
        let metadata = open_metadata(&self.ring, &due.follow_up_id, due.metadata_sealed.as_deref())?;
        let values = metadata.map(Metadata::texts).unwrap_or_default();
        let content = templates.word(due.trigger, Mood::of(due.recent_mean), &values);
        // Only a custom follow-up has no wording, and a constraint makes it have a text.
        let content = content.ok_or(Corrupted::Column("follow_ups.content_sealed"))?;
        Ok(Some(self.ring.seal(content_place(&due.message_id), content.as_str().as_bytes())))
    }

    async fn record_ready(&self, chosen: &Chosen) -> Result<i64, DatabaseError> {
        if chosen.ids.is_empty() && chosen.unreadable.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let statement = || {
            sqlx::query_file!(
                "src/follow_ups/ready.sql",
                &chosen.ids,
                &chosen.seen_at,
                &chosen.contents_sealed as &[Option<Vec<u8>>],
                &chosen.channels,
                now,
                self.events.published,
                &chosen.unreadable,
                now + LOOK_AGAIN,
            )
        };
        Ok(self.database.fetch_one(statement).await?.ready)
    }
}

/// A follow-up that fell due, and what its text depends on.
struct Due {
    follow_up_id: FollowUpId,
    trigger: FollowUpTrigger,
    channel: String,
    has_content: bool,
    metadata_sealed: Option<Vec<u8>>,
    message_id: MessageId,
    recent_mean: Option<f64>,
    due_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The statement's comment says what each outcome means.
    outcome: String,
}

impl Due {
    fn is_due(&self) -> bool {
        self.outcome == "due"
    }
}

/// The parameters of the second statement, a column each.
#[derive(Default)]
struct Chosen {
    ids: Vec<Uuid>,
    seen_at: Vec<DateTime<Utc>>,
    contents_sealed: Vec<Option<Vec<u8>>>,
    channels: Vec<String>,
    unreadable: Vec<Uuid>,
}

impl Chosen {
    fn add(&mut self, due: Due, content_sealed: Option<Vec<u8>>) {
        self.ids.push(due.follow_up_id.0);
        self.seen_at.push(due.updated_at);
        self.contents_sealed.push(content_sealed);
        self.channels.push(due.channel);
    }
}

/// The result of a batch.
struct DueBatch {
    ready: i64,
    cancelled: u64,
    unreadable: usize,
    looked_at: i64,
    lag: Duration,
}

/// Makes follow-ups ready when they fall due, and expires leases.
pub struct FollowUpClock(pub Arc<FollowUps>);

impl Job for FollowUpClock {
    type Error = DatabaseError;
    const NAME: &'static str = "follow-up-clock";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.advance().await
    }
}
