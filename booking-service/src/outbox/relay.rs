use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::ReadError,
    telemetry::{self, TRACE_TARGET},
    worker::{Batch, Job},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use super::{BATCH_MAX, CONCURRENCY, Outbox, metrics::Metrics, pace::Pace, record::Delivered};
use crate::domain::{BookingId, OutboxDestination, OutboxMessage, Undelivered};

/// When so many deliveries in a batch end without an answer and none with one, it is the destination that
/// does not answer, and not so many messages that it stumbles over.
const SILENT_MIN: usize = 8;
const NO_ANSWER: &str = "DEADLINE_EXCEEDED";
/// What deliveries that have begun may take to end when the service stops. After it they are given back.
const GRACE: Duration = Duration::from_secs(1);

/// Takes messages to one destination.
pub trait Receiver: Send + Sync + 'static {
    const DESTINATION: OutboxDestination;
    /// For the log and the metrics.
    const WORKER: &'static str;

    /// Delivers a message. It may be given the same one again, also when it had taken it.
    fn deliver(&self, message: &OutboxMessage) -> impl Future<Output = Result<(), Undelivered>> + Send;
}

/// Why a run ended early. What it had claimed comes back, at the latest when the lease ends.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("{destination} takes nothing now: {reason}")]
    Away { destination: OutboxDestination, reason: String },
    #[error("the outbox cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("what was delivered cannot be recorded: {0}")]
    Record(#[from] DatabaseError),
}

/// Delivers messages to one destination. Clones share its pace, and what is known of the destination.
pub struct Relay<R> {
    outbox: Outbox,
    receiver: Arc<R>,
    pace: Arc<Pace>,
    metrics: Arc<Metrics>,
    /// While the destination is away one message at a time finds out whether it is back.
    is_away: Arc<AtomicBool>,
    stopping: CancellationToken,
}

impl<R> Clone for Relay<R> {
    fn clone(&self) -> Self {
        Self {
            outbox: self.outbox.clone(),
            receiver: Arc::clone(&self.receiver),
            pace: Arc::clone(&self.pace),
            metrics: Arc::clone(&self.metrics),
            is_away: Arc::clone(&self.is_away),
            stopping: self.stopping.clone(),
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Run {
    delivered: i64,
    undelivered: i64,
}

impl<R: Receiver> Relay<R> {
    pub fn new(outbox: Outbox, receiver: R) -> Self {
        let pace = Arc::new(Pace::new(outbox.settings().per_second_max, BATCH_MAX));
        let metrics = Arc::new(Metrics::new(R::DESTINATION));
        let (is_away, stopping) = (Arc::default(), CancellationToken::new());
        Self { outbox, receiver: Arc::new(receiver), pace, metrics, is_away, stopping }
    }

    /// This relay, ending its work when `stopping` is cancelled.
    #[must_use]
    pub fn until(&self, stopping: CancellationToken) -> Self {
        Self { stopping, ..self.clone() }
    }

    /// Delivers what is due of one booking, now. Whatever goes wrong is left to the next run.
    pub async fn deliver_of(&self, booking_id: BookingId) {
        let delivered = async {
            let claimed = self.outbox.claim(R::DESTINATION, BATCH_MAX, Some(booking_id)).await?;
            self.deliver_all(claimed.messages).await
        };
        if let Err(error) = delivered.await {
            tracing::warn!(%booking_id, %error, "a message was not delivered at once");
        }
    }

    /// Delivers messages, several at a time, and records each as soon as its result is there.
    async fn deliver_all(&self, messages: Vec<OutboxMessage>) -> Result<Run, RelayError> {
        let (mut run, mut answers, mut silent) = (Run::default(), 0, Vec::new());
        let away = OnceLock::new();
        let attempts = stream::iter(messages).map(|message| self.attempt(message, &away));
        let mut attempted = attempts.buffer_unordered(CONCURRENCY as usize).ready_chunks(BATCH_MAX as usize);
        while let Some(chunk) = attempted.next().await {
            let mut told = Vec::with_capacity(chunk.len());
            for (message, result) in chunk {
                match result {
                    Some(result) => told.push((message, result)),
                    None => silent.push(message),
                }
            }
            answers += told.iter().filter(|(_, result)| !matches!(result, Err(Undelivered::Away(_)))).count();
            self.record(&told, &mut run).await?;
        }
        if silent.len() >= SILENT_MIN && answers == 0 {
            away.get_or_init(|| NO_ANSWER.to_owned());
        }
        let fault = if away.get().is_some() { Undelivered::Away } else { Undelivered::Failed };
        let silent: Vec<_> = silent.into_iter().map(|message| (message, Err(fault(NO_ANSWER.to_owned())))).collect();
        self.record(&silent, &mut run).await?;
        if answers > 0 {
            self.is_away.store(false, Ordering::Relaxed);
        }
        match away.get() {
            Some(reason) => {
                self.is_away.store(true, Ordering::Relaxed);
                Err(RelayError::Away { destination: R::DESTINATION, reason: reason.clone() })
            }
            None => Ok(run),
        }
    }

    async fn record(&self, told: &[Delivered], run: &mut Run) -> Result<(), DatabaseError> {
        if told.is_empty() {
            return Ok(());
        }
        let recorded = self.outbox.record(R::DESTINATION, told).await?;
        run.delivered += recorded.delivered;
        run.undelivered += recorded.put_back + recorded.dead;
        if recorded.dead > 0 {
            tracing::error!(destination = %R::DESTINATION, messages = recorded.dead, "messages became dead letters");
        }
        Ok(())
    }

    /// One delivery: its result, or `None` when there was no answer in time.
    async fn attempt(
        &self,
        message: OutboxMessage,
        away: &OnceLock<String>,
    ) -> (OutboxMessage, Option<Result<(), Undelivered>>) {
        // The batch found out that the destination is away: what has not begun is not tried.
        if let Some(reason) = away.get() {
            return (message, Some(Err(Undelivered::Away(reason.clone()))));
        }
        if self.stopping.is_cancelled() {
            return (message, Some(Err(draining())));
        }
        // Its last attempt ended with the process that made it; this one is not made at all.
        if message.attempts > self.outbox.settings().attempts_max {
            let reason =
                if message.last_error_reason.is_empty() { "LEASE_EXPIRED" } else { &message.last_error_reason };
            let refused = Undelivered::Refused(reason.to_owned());
            return (message, Some(Err(refused)));
        }
        let span = span::<R>(&message);
        let delivery = AssertUnwindSafe(self.receiver.deliver(&message)).catch_unwind();
        let delivery = tokio::time::timeout(self.outbox.settings().delivery_timeout, delivery);
        let result = tokio::select! {
            delivered = delivery.instrument(span.clone()) => match delivered {
                Ok(Ok(result)) => Some(result),
                Ok(Err(_)) => {
                    tracing::error!(event = %message.event_id, destination = %R::DESTINATION, "a delivery panicked");
                    Some(Err(Undelivered::Failed("PANICKED".to_owned())))
                }
                Err(_) => None,
            },
            () = self.stopped() => Some(Err(draining())),
        };
        conclude(&span, result.as_ref());
        self.metrics.attempted(result.as_ref(), self.outbox.clock.now() - message.created_at);
        if let Some(Err(Undelivered::Away(reason))) = &result {
            away.get_or_init(|| reason.clone());
        }
        (message, result)
    }

    async fn stopped(&self) {
        self.stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }
}

impl<R: Receiver> Job for Relay<R> {
    type Error = RelayError;
    const NAME: &'static str = R::WORKER;
    // Under load a run every few milliseconds instead of one for each message.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, RelayError> {
        let room = if self.is_away.load(Ordering::Relaxed) { 1 } else { self.pace.batch() };
        self.pace.take(room).await;
        let claimed = self.outbox.claim(R::DESTINATION, room, None).await;
        let used = claimed.as_ref().map_or(0, |claimed| claimed.messages.len());
        self.pace.give_back(room.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)));
        let claimed = claimed?;
        let oldest = claimed.messages.iter().map(|message| message.created_at).min();
        let waited = oldest.map(|oldest| self.outbox.clock.now() - oldest);
        let run = self.deliver_all(claimed.messages).await?;
        Ok(Batch {
            done: u64::try_from(run.delivered).unwrap_or(0),
            failed: u64::try_from(run.undelivered).unwrap_or(0),
            more: claimed.more,
            lag: waited.and_then(|waited| waited.to_std().ok()).unwrap_or_default(),
        })
    }
}

/// Whether it arrived or not, it is given back, and its attempt does not count.
fn draining() -> Undelivered {
    Undelivered::Away("DRAINING".to_owned())
}

/// The delivery in the trace of the call that led to it, however long ago that was.
fn span<R: Receiver>(message: &OutboxMessage) -> Span {
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        parent: None,
        "deliver",
        otel.name = format!("deliver to {}", R::DESTINATION),
        otel.kind = "producer",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        event.id = %message.event_id,
        event.type = message.event_type,
        attempt = message.attempts,
    );
    if let Some(traceparent) = &message.traceparent {
        telemetry::continue_from(&span, traceparent);
    }
    span
}

fn conclude(span: &Span, result: Option<&Result<(), Undelivered>>) {
    let reason = match result {
        Some(Ok(())) => return,
        Some(Err(Undelivered::Failed(reason) | Undelivered::Refused(reason) | Undelivered::Away(reason))) => reason,
        None => NO_ANSWER,
    };
    span.record("otel.status_code", "ERROR");
    span.record("error.type", reason);
}
