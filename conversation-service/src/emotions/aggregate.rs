use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::Corrupted,
    sealing::{KeyRing, OpenError},
    telemetry::{self, TRACE_TARGET},
    worker::{Batch, Job},
};
use uuid::Uuid;

use super::{
    Emotion, Emotions, LabelCounts,
    count::{Before, Counted, FreshMessage, Scores, count},
    pending_cursor::PendingCursor,
};
use crate::{
    domain::{ConversationId, MessageId, Role},
    messages::{MessageBinding, open_emotion},
    settings::EmotionAggregation,
};

/// The most runs for one conversation. After a run that lost against a concurrent one, almost everything is counted.
const RUNS_MAX: usize = 8;
/// The most pending messages of one run. The statement has the same number.
const BATCH_MAX: i64 = 256;
/// The most traces that a span is linked to.
const LINKS_MAX: usize = 128;

impl Emotions {
    /// Aggregates a conversation's emotions now (inline) or soon (in the background). The statement that stored the
    /// message has recorded the pending work, so it is done even if this fails.
    pub async fn count(&self, conversation_id: &ConversationId) {
        if self.aggregation == EmotionAggregation::Inline {
            match self.aggregate_of(conversation_id).await {
                Ok(true) => return,
                Ok(false) => {}
                // Only logged: the message is stored, so the call has succeeded.
                Err(error) => tracing::warn!(error = error_chain(&error), "inline emotion aggregation failed"),
            }
        }
        self.pending.nudge();
    }

    /// Counts all pending messages of one conversation. `false` when there were too many; the worker counts the rest.
    async fn aggregate_of(&self, conversation_id: &ConversationId) -> Result<bool, DatabaseError> {
        for _ in 0..RUNS_MAX {
            if !self.aggregate(Pending::Of(conversation_id)).await?.batch.more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts the messages that have waited longest, of one conversation or of all, in one bounded run. Any number of
    /// replicas may do so at once.
    ///
    /// # Errors
    /// When the database does not answer. Uncounted messages are still recorded as pending.
    async fn aggregate(&self, which: Pending<'_>) -> Result<Aggregated, DatabaseError> {
        let (only, since) = match which {
            Pending::Of(conversation_id) => (Some(conversation_id.as_str()), DateTime::UNIX_EPOCH),
            Pending::Since(since) => (None, since),
        };
        let load = || sqlx::query_file_as!(Loaded, "src/emotions/aggregate_load.sql", only, since);
        let loaded = self.database.fetch_all(load).await?;
        if loaded.is_empty() {
            return Ok(Aggregated::default());
        }
        let newest = loaded.iter().map(|it| it.newest_since).max();
        let mut run = Counting::default();
        for conversation in loaded {
            run.count(conversation, &self.ring);
        }
        let Counting { counted, labels, traces, pending, left } = run;
        let now = self.clock.now();
        let commit = || {
            let counted = Json(&counted);
            sqlx::query_file!("src/emotions/aggregate_commit.sql", counted as _, now, self.events.published, &labels)
        };
        let run = self.database.fetch_one(commit).await?;
        if run.suggestions > 0 {
            self.events.pending.nudge();
        }
        let traces = traces.iter().filter(|(id, _)| run.written.contains(id)).flat_map(|(_, traces)| traces);
        link_to_storing(traces.take(LINKS_MAX), run.done, run.suggestions);
        let batch = Batch {
            done: u64::try_from(run.done).unwrap_or(0),
            failed: left,
            // `done` is less than `pending` after a concurrent run, and in a conversation with more messages than a
            // run.
            more: pending >= BATCH_MAX || run.done < pending,
            lag: run.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or(Duration::ZERO),
        };
        let is_whole =
            left == 0 && counted.iter().all(|it| !it.has_grown() || run.written.contains(&it.conversation_id));
        Ok(Aggregated { batch, through: newest.filter(|_| is_whole) })
    }
}

/// The messages of a run.
#[derive(Clone, Copy)]
enum Pending<'a> {
    Of(&'a ConversationId),
    /// Of all conversations, pending since this time or later.
    Since(DateTime<Utc>),
}

/// What a run did.
#[derive(Default)]
struct Aggregated {
    batch: Batch,
    /// If it has counted every message that it read: since when the newest of them was pending.
    through: Option<DateTime<Utc>>,
}

/// The conversations of a run that can be counted, as columns, and how many pending messages are left.
#[derive(Default)]
struct Counting {
    counted: Vec<Counted>,
    labels: Vec<Vec<u8>>,
    traces: Vec<(String, Vec<String>)>,
    pending: i64,
    left: u64,
}

impl Counting {
    /// Counts a conversation, or leaves its messages pending: to a process that has every key that sealed its labels,
    /// and to an operator who repairs its sum.
    fn count(&mut self, conversation: Loaded, ring: &KeyRing) {
        let (pending, traces) = (conversation.pending, conversation.recorded_traces());
        match conversation.count(ring) {
            Ok((counted, labels)) => {
                self.counted.push(counted);
                self.labels.push(labels);
                self.traces.push(traces);
                self.pending += pending;
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(
                    error,
                    "a conversation's emotions are not counted: a key is missing, or its sum was altered"
                );
                self.left += u64::try_from(pending).unwrap_or(0);
            }
        }
    }
}

/// A conversation with pending messages. The arrays of its new messages have the same length.
struct Loaded {
    conversation_id: String,
    pending: i64,
    /// The newest of its pending messages that the run has taken has been pending since then.
    newest_since: DateTime<Utc>,
    through: i64,
    created_at: DateTime<Utc>,
    score_count: i64,
    score_sum: String,
    score_min: Option<f64>,
    score_max: Option<f64>,
    label_counts_sealed: Option<Vec<u8>>,
    recent_scores: Vec<f64>,
    message_ids: Vec<Uuid>,
    roles: Vec<Role>,
    sequences: Vec<i64>,
    scores: Vec<Option<f64>>,
    emotions_sealed: Vec<Option<Vec<u8>>>,
    traceparents: Vec<Option<String>>,
}

impl Loaded {
    /// The conversation, and the recorded traces of its new messages.
    fn recorded_traces(&self) -> (String, Vec<String>) {
        let recorded = |traceparent: &&String| traceparent.ends_with("01") || traceparent.ends_with("03");
        (self.conversation_id.clone(), self.traceparents.iter().flatten().filter(recorded).cloned().collect())
    }

    /// The statistics with the new messages, and the sealed label counts.
    ///
    /// Label counts that were altered stay as they are, and so does the error for those who read them. A label that was
    /// altered is not counted. Neither holds up the scores of this conversation or the other conversations.
    ///
    /// # Errors
    /// When a label is sealed under a key that the ring does not have, or the sum of the scores cannot be read.
    fn count(mut self, ring: &KeyRing) -> Result<(Counted, Vec<u8>), Corrupted> {
        let sealed = self.label_counts_sealed.take();
        let open = |sealed: &Vec<u8>| LabelCounts::open(ring, &self.conversation_id, self.through, sealed);
        let labels_before = readable(sealed.as_ref().map(open).transpose())?;
        let mut fresh = Vec::with_capacity(self.sequences.len());
        for index in 0..self.sequences.len() {
            fresh.push(FreshMessage {
                sequence: self.sequences[index],
                score: self.scores[index],
                label: readable(self.label(ring, index))?.flatten(),
                traceparent: self.traceparents[index].take(),
            });
        }
        let label_counts = labels_before.clone().flatten().unwrap_or_default();
        let sum = self.score_sum.parse().map_err(|_| Corrupted::Column("emotion_statistics.score_sum"))?;
        let scores = Scores { count: self.score_count, sum, min: self.score_min, max: self.score_max };
        let Self { created_at, through, recent_scores, .. } = self;
        let before = Before { created_at, through, scores, label_counts, recent_scores };
        let counted = count(self.conversation_id, before, fresh);
        let resealed = || counted.label_counts.seal(ring, &counted.conversation_id, counted.through);
        let labels = sealed.filter(|_| labels_before.is_none()).unwrap_or_else(resealed);
        Ok((counted, labels))
    }

    fn label(&self, ring: &KeyRing, index: usize) -> Result<Option<String>, Corrupted> {
        let Some(sealed) = &self.emotions_sealed[index] else { return Ok(None) };
        let conversation_id = ConversationId::parse(self.conversation_id.clone());
        let conversation_id = conversation_id.map_err(|_| Corrupted::Column("messages.conversation_id"))?;
        let message_id = MessageId(self.message_ids[index]);
        let binding = MessageBinding { message_id, conversation_id: &conversation_id, role: self.roles[index] };
        let emotion = open_emotion(ring, binding, None, Some(sealed))?;
        Ok(emotion.as_ref().and_then(Emotion::label).map(|label| label.as_str().to_owned()))
    }
}

/// `None` for a value that was altered. A missing key is an error: the value can be read again when the key is back.
fn readable<T>(opened: Result<T, Corrupted>) -> Result<Option<T>, Corrupted> {
    match opened {
        Ok(value) => Ok(Some(value)),
        Err(error @ Corrupted::Sealed(OpenError::UnknownKey(_))) => Err(error),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "the labels of a conversation cannot be read");
            Ok(None)
        }
    }
}

/// Creates a span that links this run to the calls that stored the messages, if any of their traces is recorded.
fn link_to_storing<'a>(traces: impl Iterator<Item = &'a String>, messages: i64, suggestions: i64) {
    let mut traces = traces.peekable();
    if traces.peek().is_none() {
        return;
    }
    let span = tracing::info_span!(target: TRACE_TARGET, parent: None, "aggregate emotions", messages, suggestions);
    for traceparent in traces {
        telemetry::link(&span, traceparent);
    }
}

/// The job that updates the statistics of conversations.
pub struct EmotionAggregationJob {
    emotions: Arc<Emotions>,
    cursor: Mutex<PendingCursor>,
}

impl EmotionAggregationJob {
    pub fn new(emotions: Arc<Emotions>) -> Self {
        Self { emotions, cursor: Mutex::default() }
    }

    fn cursor(&self) -> MutexGuard<'_, PendingCursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job for EmotionAggregationJob {
    type Error = DatabaseError;
    const NAME: &'static str = "emotion-aggregation";
    // Under load this gives a few runs a second instead of one for each message, which would slow down storing.
    const GATHER: Duration = Duration::from_millis(25);

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let since = self.cursor().begin();
        let Aggregated { batch, through } = self.emotions.aggregate(Pending::Since(since)).await?;
        if let Some(through) = through {
            self.cursor().end(through, self.emotions.clock.now());
        }
        Ok(batch)
    }
}
