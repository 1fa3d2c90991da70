//! What time does to follow-ups: they fall due, are missed, and their leases expire.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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
    metrics::FollowUpChange,
    row::{content_place, metadata_place},
};
use crate::domain::{Content, MessageId, Metadata};

/// When what has to wait, as for an escalated conversation, is looked at again.
pub const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// What the statements take at most in one run; each has it written out.
const BATCH_MAX: i64 = 128;

impl FollowUps {
    /// Moves every follow-up on whose time has come, in one bounded run. Any number of replicas may
    /// do so at once.
    ///
    /// # Errors
    /// When the database gave no answer. What was not moved is found again.
    async fn advance(&self) -> Result<Batch, DatabaseError> {
        // Before anything is made ready: what is overdue for too long is not sent any more.
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
        let statement =
            || sqlx::query_file_as!(Missed, "src/follow_ups/miss.sql", now, due_before, self.events.published);
        Ok(self.database.fetch_one(statement).await?.missed)
    }

    async fn expire_leases(&self) -> Result<i64, DatabaseError> {
        let (now, backoff) = (self.clock.now(), self.dispatch.backoff);
        let (first, max) = (backoff.first.as_secs_f64(), backoff.max.as_secs_f64());
        let statement = || {
            sqlx::query_file_as!(Expired, "src/follow_ups/expire_leases.sql", now, first, max, self.events.published)
        };
        Ok(self.database.fetch_one(statement).await?.expired)
    }

    /// Chooses the texts of what fell due, and hands it to whoever waits for it.
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
                    tracing::error!(follow_up_id = %row.follow_up_id, error, "a follow-up cannot be worded");
                    chosen.unreadable.push(row.follow_up_id);
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

    /// The text, sealed; `None` when it was given.
    fn choose_content(&self, due: &Due, templates: &Templates) -> Result<Option<Vec<u8>>, Corrupted> {
        if due.has_content {
            return Ok(None);
        }
        let id = FollowUpId(due.follow_up_id);
        let values = match &due.metadata_sealed {
            Some(sealed) => Metadata::read(self.ring.open(metadata_place(&id), sealed)?.to_vec())
                .map_err(|_| Corrupted::Column("follow_ups.metadata_sealed"))?
                .texts(),
            None => BTreeMap::new(),
        };
        let trigger = FollowUpTrigger::from_column(&due.trigger).ok_or(Corrupted::Column("follow_ups.trigger"))?;
        let content = templates.word(trigger, Mood::of(due.recent_mean), &values);
        // Only a custom one has no wording, and that cannot be without a text of its own.
        let content: Content = content.ok_or(Corrupted::Column("follow_ups.content_sealed"))?;
        let place = MessageId(due.message_id);
        Ok(Some(self.ring.seal(content_place(&place), content.as_str().as_bytes())))
    }

    async fn record_ready(&self, chosen: &Chosen) -> Result<i64, DatabaseError> {
        if chosen.ids.is_empty() && chosen.unreadable.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let statement = || {
            sqlx::query_file_as!(
                Ready,
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

struct Missed {
    missed: i64,
}

struct Expired {
    expired: i64,
}

struct Ready {
    ready: i64,
}

/// A follow-up that fell due, with what its wording depends on.
struct Due {
    follow_up_id: Uuid,
    trigger: String,
    channel: String,
    has_content: bool,
    metadata_sealed: Option<Vec<u8>>,
    message_id: Uuid,
    recent_mean: Option<f64>,
    due_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The statement's own comment says what its outcomes mean.
    outcome: String,
}

impl Due {
    fn is_due(&self) -> bool {
        self.outcome == "due"
    }
}

/// What the second statement is told, a column each.
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
        self.ids.push(due.follow_up_id);
        self.seen_at.push(due.updated_at);
        self.contents_sealed.push(content_sealed);
        self.channels.push(due.channel);
    }
}

/// What became of a batch.
struct DueBatch {
    ready: i64,
    cancelled: u64,
    unreadable: usize,
    looked_at: i64,
    lag: Duration,
}

/// Makes follow-ups ready when they fall due, and ends the leases of senders that have gone.
pub struct FollowUpClock(pub Arc<FollowUps>);

impl Job for FollowUpClock {
    type Error = DatabaseError;
    const NAME: &'static str = "follow-up-clock";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.advance().await
    }
}
