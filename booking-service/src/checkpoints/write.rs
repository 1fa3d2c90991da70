//! The worker that writes checkpoints.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use teppan_shared::{
    outbox::Outbox,
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use uuid::Uuid;

use super::{
    Checkpoints,
    checkpoint::{Anchor, Checkpoint, EVENTS_MAX, Entry, Head},
};
use crate::{
    domain::{EventId, OutboxDestination},
    event_stream::stream::StreamPosition,
};

/// How often the newest checkpoint is logged, so that the log also states what the database must still contain.
const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// The events of the next checkpoint, in the order of the stream.
struct NextBatch {
    head: Head,
    /// The newest checkpoint; `None` if there is none.
    newest: Option<Anchor>,
    from: StreamPosition,
    to: StreamPosition,
    entries: Vec<Entry>,
    oldest_at: Option<DateTime<Utc>>,
}

struct Row {
    reached_position: i64,
    reached_version: i64,
    reached_event_id: Uuid,
    number: Option<i64>,
    event_count: Option<i64>,
    booking_count: Option<i64>,
    digest: Option<Vec<u8>>,
    created_at: Option<DateTime<Utc>>,
    stream_position: Option<i64>,
    version: Option<i64>,
    event_id: Option<Uuid>,
    booking_id: Option<Uuid>,
    occurred_at: Option<DateTime<Utc>>,
    hash: Option<Vec<u8>>,
}

impl Row {
    fn head(&self) -> Option<Head> {
        let (number, event_count, booking_count) = (self.number?, self.event_count?, self.booking_count?);
        Some(Head { number, event_count, booking_count, digest: self.digest.clone()? })
    }

    fn reached(&self) -> StreamPosition {
        let (transaction_position, version) = (self.reached_position, self.reached_version);
        StreamPosition { transaction_position, version, event_id: self.reached_event_id }
    }

    fn position(&self) -> Option<StreamPosition> {
        let (transaction_position, version) = (self.stream_position?, self.version?);
        Some(StreamPosition { transaction_position, version, event_id: self.event_id? })
    }

    fn entry(&self) -> Option<Entry> {
        Some(Entry::of(self.booking_id?, self.version?, self.hash.as_deref()?))
    }
}

impl NextBatch {
    /// `None` for rows that the statement never returns.
    fn of(rows: &[Row]) -> Option<Self> {
        let (first, last) = (rows.first()?, rows.last()?);
        let head = first.head();
        Some(Self {
            newest: head.as_ref().and_then(|head| Some(Anchor::of(head, first.created_at?))),
            head: head.unwrap_or_default(),
            from: first.reached(),
            to: last.position().unwrap_or(first.reached()),
            entries: rows.iter().filter_map(Row::entry).collect(),
            oldest_at: first.occurred_at,
        })
    }
}

/// Covers new events with checkpoints, and logs the newest checkpoint now and then.
pub struct CheckpointWriter {
    checkpoints: Checkpoints,
    outbox: Outbox,
    /// When this replica last logged a checkpoint, and its number.
    logged: Mutex<Option<(Instant, i64)>>,
}

impl CheckpointWriter {
    pub fn new(checkpoints: Checkpoints, outbox: Outbox) -> Self {
        Self { checkpoints, outbox, logged: Mutex::default() }
    }

    fn log(&self, newest: &Anchor) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|(at, number)| number == newest.number || at.elapsed() < LOG_INTERVAL) {
            return;
        }
        *logged = Some((Instant::now(), newest.number));
        let Anchor { number, digest, event_count, booking_count, created_at } = newest;
        let created_at = created_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        tracing::info!(number, digest, event_count, booking_count, created_at, "newest checkpoint of the events");
    }

    /// Writes the next checkpoint, if there are events that none covers. Returns what was done, and the newest
    /// checkpoint that this replica knows.
    ///
    /// Any number of replicas may run this at once, and again after a crash: one statement writes the position and the
    /// checkpoint, and only if the position is the one that was read. The same holds if an answer is lost: the second
    /// run of the statement finds another position, and the next run of the worker continues there.
    ///
    /// # Errors
    /// [`DatabaseError`]. A later run covers the same events.
    async fn write_next(&self) -> Result<(Batch, Option<Anchor>), DatabaseError> {
        let limit = i64::try_from(EVENTS_MAX).expect("a small number");
        let next = || sqlx::query_file_as!(Row, "src/checkpoints/next_events.sql", limit);
        let Some(next) = NextBatch::of(&self.checkpoints.database.fetch_all(next).await?) else {
            return Ok((Batch::default(), None));
        };
        if next.entries.is_empty() {
            return Ok((Batch::default(), next.newest));
        }
        let now = self.checkpoints.clock.now();
        let checkpoint = Checkpoint::after(&next.head, &next.entries, now, &self.checkpoints.keys);
        if !self.store(&next, &checkpoint).await? {
            // Another replica was faster, and continues.
            return Ok((Batch::default(), next.newest));
        }
        let batch = Batch {
            done: u64::try_from(next.entries.len()).unwrap_or(u64::MAX),
            more: next.entries.len() == EVENTS_MAX,
            lag: next.oldest_at.and_then(|at| (now - at).to_std().ok()).unwrap_or_default(),
            ..Batch::default()
        };
        Ok((batch, Some(checkpoint.anchor())))
    }

    /// Returns whether this call stored the checkpoint.
    async fn store(&self, next: &NextBatch, checkpoint: &Checkpoint) -> Result<bool, DatabaseError> {
        let (from, to, event_id) = (&next.from, &next.to, EventId::generate());
        let destinations = self.outbox.destinations_of_events();
        let store = || {
            sqlx::query_file!(
                "src/checkpoints/store.sql",
                from.transaction_position,
                from.version,
                from.event_id,
                to.transaction_position,
                to.version,
                to.event_id,
                checkpoint.number,
                checkpoint.entries,
                checkpoint.event_count,
                checkpoint.booking_count,
                checkpoint.created_at,
                event_id.0,
                checkpoint.digest,
                checkpoint.key_version,
                checkpoint.mac,
                &destinations,
            )
        };
        let is_stored = self.checkpoints.database.fetch_optional(store).await?.is_some();
        if is_stored {
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        Ok(is_stored)
    }
}

impl Job for CheckpointWriter {
    type Error = DatabaseError;
    const NAME: &'static str = "event-checkpoints";
    const WAITS_AT_START: bool = true;

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let (batch, newest) = self.write_next().await?;
        if let Some(newest) = newest {
            self.log(&newest);
        }
        Ok(batch)
    }
}
