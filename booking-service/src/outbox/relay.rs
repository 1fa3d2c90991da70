use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{self, BoxStream, FuturesUnordered},
};
use teppan_shared::{
    error_chain::error_chain,
    outbox::{DeliveryMetrics, LEASE_EXPIRED},
    postgres::DatabaseError,
    read_error::ReadError,
    worker::{Batch, Job, jittered},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    BATCH_MAX, CONCURRENCY, Outbox,
    health::Health,
    metrics,
    pace::Pace,
    record::Delivered,
    run::{Ended, Run},
    span,
};
use crate::domain::{BookingId, OutboxDestination, OutboxMessage, Undelivered};

/// What deliveries that have begun may take to end when the service stops. After it they are given back.
const GRACE: Duration = Duration::from_secs(1);
/// What a delivery may take that a reply waits for.
const INLINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes messages to one destination.
pub trait Receiver: Send + Sync + 'static {
    const DESTINATION: OutboxDestination;
    /// For the log and the metrics.
    const WORKER: &'static str;

    /// Delivers a message. It may be given the same one again, also when it had taken it.
    fn deliver(&self, message: &OutboxMessage) -> impl Future<Output = Delivery> + Send;
}

/// How a delivery ended, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The destination answered, or could not be reached.
    Tried(Result<(), Undelivered>),
    /// It was decided here and nothing was sent: it says nothing about the destination.
    Decided(Result<(), Undelivered>),
}

/// Why a run ended early. What it had claimed comes back, at the latest when the lease ends.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// With the age of the oldest message that was tried.
    #[error("{destination} takes nothing now: {reason}")]
    Away { destination: OutboxDestination, reason: String, lag: Duration },
    #[error("the outbox cannot be read")]
    Read(#[from] ReadError),
    #[error("what was delivered cannot be recorded")]
    Record(#[from] DatabaseError),
}

/// Delivers messages to one destination. Clones share its pace, and what is known of the destination.
pub struct Relay<R> {
    outbox: Outbox,
    receiver: Arc<R>,
    pace: Arc<Pace>,
    metrics: Arc<DeliveryMetrics>,
    health: Arc<Health>,
    stopping: CancellationToken,
}

impl<R> Clone for Relay<R> {
    fn clone(&self) -> Self {
        Self {
            outbox: self.outbox.clone(),
            receiver: Arc::clone(&self.receiver),
            pace: Arc::clone(&self.pace),
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            stopping: self.stopping.clone(),
        }
    }
}

/// What became of the messages of a run.
#[derive(Default)]
struct Tally {
    delivered: i64,
    undelivered: i64,
    /// How long the oldest had waited.
    lag: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.undelivered += other.undelivered;
        self.lag = self.lag.max(other.lag);
    }
}

impl<R: Receiver> Relay<R> {
    pub fn new(outbox: Outbox, receiver: R) -> Self {
        let pace = Arc::new(Pace::new(outbox.settings().per_second_max, BATCH_MAX));
        let metrics = Arc::new(DeliveryMetrics::new(R::DESTINATION.as_str()));
        let (health, stopping) = (Arc::default(), CancellationToken::new());
        Self { outbox, receiver: Arc::new(receiver), pace, metrics, health, stopping }
    }

    /// This relay, ending its work when `stopping` is cancelled.
    #[must_use]
    pub fn until(&self, stopping: CancellationToken) -> Self {
        Self { stopping, ..self.clone() }
    }

    /// Delivers what is due of one booking, now, unless the destination was silent a moment ago. It leaves half
    /// of the time until `reply_by` to the reply; what is not delivered by then is left to the next run.
    pub async fn deliver_of(&self, booking_id: BookingId, reply_by: Instant) {
        if !self.health.is_doubtful() {
            let left = reply_by.saturating_duration_since(Instant::now());
            let timeout = self.outbox.settings().delivery_timeout.min(INLINE_TIMEOUT).min(left / 2);
            let delivered = async {
                let claimed = self.outbox.claim(R::DESTINATION, BATCH_MAX, Some(booking_id)).await?;
                let run = Run::inline(timeout, claimed.messages.len());
                let tally = self.deliver_all(stream::iter(claimed.messages), &run).await?;
                Ok::<_, RelayError>(tally.undelivered == 0)
            };
            match delivered.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::warn!(%booking_id, error, "a message was not delivered at once");
                }
            }
        }
        self.outbox.nudge(R::DESTINATION);
    }

    /// Delivers messages, several at a time, and records each as soon as its result is there.
    async fn deliver_all(
        &self,
        messages: impl Stream<Item = OutboxMessage> + Send,
        run: &Run,
    ) -> Result<Tally, DatabaseError> {
        let attempts = messages.map(|message| self.attempt(message, run));
        let attempted = attempts.buffer_unordered(CONCURRENCY as usize).ready_chunks(BATCH_MAX as usize).fuse();
        let (mut attempted, mut records) = (pin!(attempted), FuturesUnordered::new());
        let mut tally = Tally::default();
        loop {
            // Both go on side by side. A claim that nobody polls keeps its connection, for which a record would wait.
            tokio::select! {
                Some(chunk) = attempted.next() => records.push(self.record(chunk)),
                Some(recorded) = records.next() => tally.add(&recorded?),
                else => return Ok(tally),
            }
        }
    }

    async fn record(&self, attempted: Vec<Delivered>) -> Result<Tally, DatabaseError> {
        let recorded = self.outbox.record(R::DESTINATION, &attempted).await?;
        let oldest = attempted.iter().map(|(message, _)| message.created_at).min();
        let lag = oldest.and_then(|oldest| (self.outbox.clock.now() - oldest).to_std().ok());
        self.metrics.died(recorded.dead);
        if recorded.dead > 0 {
            tracing::error!(destination = %R::DESTINATION, messages = recorded.dead, "messages became dead letters");
        }
        let (delivered, undelivered) = (recorded.delivered, recorded.put_back + recorded.dead);
        Ok(Tally { delivered, undelivered, lag: lag.unwrap_or_default() })
    }

    async fn attempt(&self, message: OutboxMessage, run: &Run) -> Delivered {
        let result = match self.not_tried(&message, run) {
            Some(undelivered) => Err(undelivered),
            None => self.try_once(&message, run).await,
        };
        if let Err(Undelivered::Away(reason)) = &result {
            run.end(Ended::Away(reason.clone()));
        }
        run.concluded();
        (message, result)
    }

    /// Why a message that was claimed is not even tried.
    fn not_tried(&self, message: &OutboxMessage, run: &Run) -> Option<Undelivered> {
        // The run found out that the destination is away.
        if let Some(Ended::Away(reason)) = run.ended() {
            return Some(Undelivered::Away(reason.clone()));
        }
        if self.stopping.is_cancelled() {
            return Some(draining());
        }
        // Its last attempt ended with the process that made it.
        if message.attempts > self.outbox.settings().attempts_max {
            let last = &message.last_error_reason;
            return Some(Undelivered::Refused(if last.is_empty() { LEASE_EXPIRED } else { last }.to_owned()));
        }
        None
    }

    /// One delivery.
    async fn try_once(&self, message: &OutboxMessage, run: &Run) -> Result<(), Undelivered> {
        let span = span::span(message, R::DESTINATION);
        let answers_before = self.health.answers();
        let delivery = AssertUnwindSafe(self.receiver.deliver(message)).catch_unwind();
        let delivery = tokio::time::timeout(run.timeout, delivery).instrument(span.clone());
        let result = tokio::select! {
            delivered = delivery => match delivered {
                Ok(Ok(Delivery::Tried(result))) => self.health.judge(result, answers_before, run.is_inline),
                Ok(Ok(Delivery::Decided(result))) => result,
                Ok(Err(_)) => {
                    tracing::error!(event = %message.event_id, destination = %R::DESTINATION, "a delivery panicked");
                    Err(Undelivered::Failed("PANICKED".to_owned()))
                }
                Err(_) => self.health.judge(Err(Undelivered::Silent), answers_before, run.is_inline),
            },
            () = self.stopped() => Err(draining()),
        };
        span::conclude(&span, &result);
        self.metrics.attempted(metrics::outcome(&result), self.outbox.clock.now() - message.created_at);
        result
    }

    async fn stopped(&self) {
        self.stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    /// The messages of a run, claimed whenever there is room for them and some may be due, so that those that
    /// hang delay no others.
    fn claims<'a>(&'a self, run: &'a Run) -> BoxStream<'a, OutboxMessage> {
        let claims = stream::unfold((), move |()| async move { Some((self.next_claim(run).await?, ())) });
        claims.flat_map(stream::iter).boxed()
    }

    /// `None` when nothing is left, or when the run is to end.
    async fn next_claim(&self, run: &Run) -> Option<Vec<OutboxMessage>> {
        loop {
            if self.stopping.is_cancelled() || run.is_over() {
                return None;
            }
            if run.is_idle() || (run.may_find_more() && !self.health.is_away()) {
                break;
            }
            self.rest(run).await;
        }
        let room = if self.health.is_away() { 1 } else { self.pace.batch() };
        self.pace.take(room).await;
        let claimed = self.outbox.claim(R::DESTINATION, room, None).await;
        let used = claimed.as_ref().map_or(0, |claimed| claimed.messages.len());
        self.pace.give_back(room.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)));
        match claimed {
            Ok(claimed) => {
                run.claimed(claimed.messages.len(), claimed.more);
                Some(claimed.messages)
            }
            Err(error) => {
                run.end(Ended::Unread(error));
                None
            }
        }
    }

    /// Waits, beside the deliveries that go on, until another claim may find something.
    async fn rest(&self, run: &Run) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = run.idle() => {}
            () = self.outbox.nudge_of(R::DESTINATION).nudged() => {
                tokio::time::sleep(Self::GATHER).await;
                run.expect_more();
            }
            () = tokio::time::sleep(jittered(self.outbox.settings().interval)) => run.expect_more(),
        }
    }
}

impl<R: Receiver> Job for Relay<R> {
    type Error = RelayError;
    const NAME: &'static str = R::WORKER;
    // Under load a claim every few milliseconds instead of one for each message.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, RelayError> {
        let run = Run::new(self.outbox.settings().delivery_timeout);
        let tally = self.deliver_all(self.claims(&run), &run).await?;
        let more = run.may_find_more();
        match run.into_ended() {
            // What is given back because the service stops tells nothing of the destination.
            Some(Ended::Away(reason)) if !self.stopping.is_cancelled() => {
                Err(RelayError::Away { destination: R::DESTINATION, reason, lag: tally.lag })
            }
            Some(Ended::Unread(error)) => Err(RelayError::Read(error)),
            Some(Ended::Away(_)) | None => Ok(Batch {
                done: u64::try_from(tally.delivered).unwrap_or(0),
                failed: u64::try_from(tally.undelivered).unwrap_or(0),
                more,
                lag: tally.lag,
            }),
        }
    }

    fn lag_of(error: &RelayError) -> Option<Duration> {
        match error {
            RelayError::Away { lag, .. } => Some(*lag),
            RelayError::Read(_) | RelayError::Record(_) => None,
        }
    }
}

/// Whether it arrived or not, it is given back, and its attempt does not count.
fn draining() -> Undelivered {
    Undelivered::Away("DRAINING".to_owned())
}
