use std::{fmt::Display, pin::pin, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream, FuturesUnordered},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    BATCH_MAX, CONCURRENCY, DeliveryMetrics, Destination, Message, Outbox,
    circuit_breaker::CircuitBreaker,
    rate_limiter::RateLimiter,
    record::Attempted,
    run::{Ended, Run},
};
use crate::{
    backoff::jittered,
    conversation_id::is_loggable,
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::ReadError,
    service::Service,
    worker::{Batch, Job},
};

/// The time limit of a delivery that a reply waits for.
const INLINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a run ended early. Claimed messages are due again when their lease ends, at the latest.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// `lag` is the age of the oldest message that was tried.
    #[error("{destination} is unavailable: {reason}")]
    Unavailable { destination: &'static str, reason: String, lag: Duration },
    #[error("the outbox cannot be read")]
    Read(#[from] ReadError),
    #[error("the results of deliveries cannot be recorded")]
    Record(#[from] DatabaseError),
}

/// Delivers messages to one destination. Clones share its rate limiter and its circuit breaker.
pub struct Relay<D> {
    pub(super) outbox: Outbox,
    pub(super) destination: Arc<D>,
    pub(super) metrics: Arc<DeliveryMetrics>,
    pub(super) breaker: Arc<CircuitBreaker>,
    pub(super) stopping: CancellationToken,
    limiter: Arc<RateLimiter>,
}

impl<D> Clone for Relay<D> {
    fn clone(&self) -> Self {
        Self {
            outbox: self.outbox.clone(),
            destination: Arc::clone(&self.destination),
            metrics: Arc::clone(&self.metrics),
            breaker: Arc::clone(&self.breaker),
            stopping: self.stopping.clone(),
            limiter: Arc::clone(&self.limiter),
        }
    }
}

/// The results of a run.
#[derive(Default)]
struct Tally {
    delivered: i64,
    undelivered: i64,
    /// How long the oldest message had waited.
    lag: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.undelivered += other.undelivered;
        self.lag = self.lag.max(other.lag);
    }
}

impl<D: Destination> Relay<D> {
    pub fn new(outbox: Outbox, destination: D) -> Self {
        let limiter = Arc::new(RateLimiter::new(outbox.settings.per_second_max, BATCH_MAX));
        let metrics = Arc::new(DeliveryMetrics::new(D::NAME));
        let (breaker, stopping) = (Arc::default(), CancellationToken::new());
        Self { outbox, destination: Arc::new(destination), metrics, breaker, stopping, limiter }
    }

    /// Starts the relays of this process.
    pub fn work(&self, service: &Service) {
        for _ in 0..self.outbox.settings.relays {
            let relay = Self { stopping: service.stopping(), ..self.clone() };
            service.work(relay, self.outbox.nudge_of(D::NAME), self.outbox.settings.interval);
        }
    }

    /// Delivers the due messages of one aggregate now, unless the destination timed out recently. It uses at most half
    /// of the time until `reply_by`; the next run delivers what is left.
    pub async fn deliver_of(&self, aggregate_id: impl Display, reply_by: Instant) {
        let aggregate_id = aggregate_id.to_string();
        if !self.breaker.is_doubtful() {
            match self.deliver_inline(&aggregate_id, reply_by).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    // The id of a conversation may be an address, so personal data.
                    let aggregate_id = is_loggable(&aggregate_id).then_some(&*aggregate_id);
                    tracing::warn!(aggregate_id, error = error_chain(&error), "inline delivery failed");
                }
            }
        }
        self.outbox.nudge(D::NAME);
    }

    /// `true` when every message was delivered.
    async fn deliver_inline(&self, aggregate_id: &str, reply_by: Instant) -> Result<bool, RelayError> {
        let left = reply_by.saturating_duration_since(Instant::now());
        let timeout = self.outbox.settings.delivery_timeout.min(INLINE_TIMEOUT).min(left / 2);
        let claimed = self.outbox.claim(D::NAME, BATCH_MAX, Some(aggregate_id)).await?;
        let run = Run::inline(timeout, claimed.messages.len());
        let tally = self.deliver_all(stream::iter(claimed.messages), &run).await?;
        Ok(tally.undelivered == 0)
    }

    /// Delivers messages, several at a time, and records each result as soon as it is known.
    async fn deliver_all(
        &self,
        messages: impl Stream<Item = Message> + Send,
        run: &Run,
    ) -> Result<Tally, DatabaseError> {
        let attempts = messages.map(|message| self.attempt(message, run));
        let attempted = attempts.buffer_unordered(CONCURRENCY as usize).ready_chunks(BATCH_MAX as usize).fuse();
        let (mut attempted, mut records) = (pin!(attempted), FuturesUnordered::new());
        let mut tally = Tally::default();
        loop {
            // Claims and records are polled together. A claim that is not polled would keep its database connection,
            // and a record may wait for that connection.
            tokio::select! {
                Some(chunk) = attempted.next() => records.push(self.record(chunk)),
                Some(recorded) = records.next() => tally.add(&recorded?),
                else => return Ok(tally),
            }
        }
    }

    async fn record(&self, attempted: Vec<Attempted>) -> Result<Tally, DatabaseError> {
        let recorded = self.outbox.record(D::NAME, &attempted).await?;
        let oldest = attempted.iter().map(|(message, _)| message.created_at).min();
        let lag = oldest.and_then(|oldest| (self.outbox.clock.now() - oldest).to_std().ok());
        self.metrics.died(recorded.dead);
        if recorded.dead > 0 {
            tracing::error!(destination = D::NAME, messages = recorded.dead, "messages became dead letters");
        }
        if recorded.more {
            self.outbox.nudge(D::NAME);
        }
        let (delivered, undelivered) = (recorded.delivered, recorded.put_back + recorded.dead);
        Ok(Tally { delivered, undelivered, lag: lag.unwrap_or_default() })
    }

    /// The messages of a run. It claims whenever there is room and messages may be due, so that slow deliveries do not
    /// delay the others.
    fn claims<'a>(&'a self, run: &'a Run) -> BoxStream<'a, Message> {
        let claims = stream::unfold((), move |()| async move { Some((self.next_claim(run).await?, ())) });
        claims.flat_map(stream::iter).boxed()
    }

    /// `None` when nothing is left, or when the run must end.
    async fn next_claim(&self, run: &Run) -> Option<Vec<Message>> {
        loop {
            if self.stopping.is_cancelled() || run.is_over() {
                return None;
            }
            if run.is_idle() || (run.may_find_more() && !self.breaker.is_open()) {
                break;
            }
            self.rest(run).await;
        }
        let room = if self.breaker.is_open() { 1 } else { self.limiter.batch() };
        match self.outbox.claim(D::NAME, room, None).await {
            Ok(claimed) => {
                run.claimed(claimed.messages.len(), claimed.more);
                // The lease leaves time for this wait.
                tokio::select! {
                    () = self.limiter.admit(u32::try_from(claimed.messages.len()).unwrap_or(room)) => {}
                    () = self.stopping.cancelled() => {}
                }
                Some(claimed.messages)
            }
            Err(error) => {
                run.end(Ended::Unread(error));
                None
            }
        }
    }

    /// Waits until another claim may find messages. Deliveries continue meanwhile.
    async fn rest(&self, run: &Run) {
        let nudge = self.outbox.nudge_of(D::NAME);
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = run.idle() => {}
            () = nudge.nudged() => {
                tokio::time::sleep(Self::GATHER).await;
                run.expect_more();
            }
            () = tokio::time::sleep(jittered(self.outbox.settings.interval)) => run.expect_more(),
        }
    }
}

impl<D: Destination> Job for Relay<D> {
    type Error = RelayError;
    const NAME: &'static str = D::WORKER;
    // Under load, one claim every few milliseconds replaces one claim a message.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, RelayError> {
        let run = Run::new(self.outbox.settings.delivery_timeout);
        let tally = self.deliver_all(self.claims(&run), &run).await?;
        let more = run.may_find_more();
        match run.into_ended() {
            // Deliveries that a stop of this service interrupts do not make the destination unavailable.
            Some(Ended::Unavailable(reason)) if !self.stopping.is_cancelled() => {
                Err(RelayError::Unavailable { destination: D::NAME, reason, lag: tally.lag })
            }
            Some(Ended::Unread(error)) => Err(RelayError::Read(error)),
            Some(Ended::Unavailable(_)) | None => Ok(Batch {
                done: u64::try_from(tally.delivered).unwrap_or(0),
                failed: u64::try_from(tally.undelivered).unwrap_or(0),
                more,
                lag: tally.lag,
            }),
        }
    }

    fn lag_of(error: &RelayError) -> Option<Duration> {
        match error {
            RelayError::Unavailable { lag, .. } => Some(*lag),
            RelayError::Read(_) | RelayError::Record(_) => None,
        }
    }
}
