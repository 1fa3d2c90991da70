//! One delivery of one message.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tracing::Instrument as _;

use super::{
    Delivery, Destination, LEASE_EXPIRED, Message, Undelivered,
    record::Attempted,
    relay::Relay,
    run::{Ended, Run},
    span,
};

/// How long running deliveries may continue when the service stops. After it their messages are released.
const GRACE: Duration = Duration::from_secs(1);

impl<D: Destination> Relay<D> {
    pub(super) async fn attempt(&self, message: Message, run: &Run) -> Attempted {
        let result = match self.reason_not_to_send(&message, run) {
            Some(undelivered) => Err(undelivered),
            None => self.try_once(&message, run).await,
        };
        if let Err(Undelivered::Unavailable(reason)) = &result {
            run.end(Ended::Unavailable(reason.clone()));
        }
        run.concluded();
        (message, result)
    }

    /// Why a claimed message is not sent at all; `None` when it is to be sent.
    fn reason_not_to_send(&self, message: &Message, run: &Run) -> Option<Undelivered> {
        if let Some(Ended::Unavailable(reason)) = run.ended() {
            return Some(Undelivered::Unavailable(reason.clone()));
        }
        if self.stopping.is_cancelled() {
            return Some(draining());
        }
        // The process that made its last attempt ended before it recorded a result.
        if message.attempts > self.outbox.settings.attempts_max {
            let last = &message.last_error_reason;
            return Some(Undelivered::Refused(if last.is_empty() { LEASE_EXPIRED } else { last }.to_owned()));
        }
        None
    }

    async fn try_once(&self, message: &Message, run: &Run) -> Result<(), Undelivered> {
        let span = span::begin(message, D::NAME);
        let answers_before = self.breaker.answers();
        let delivery = AssertUnwindSafe(self.destination.deliver(message)).catch_unwind();
        let delivery = tokio::time::timeout(run.timeout, delivery).instrument(span.clone());
        let result = tokio::select! {
            delivered = delivery => match delivered {
                Ok(Ok(Delivery::Tried(result))) => self.breaker.judge(result, answers_before, run.is_inline),
                Ok(Ok(Delivery::Decided(result))) => result,
                Ok(Err(_)) => {
                    tracing::error!(event = %message.event_id, destination = D::NAME, "delivery panicked");
                    Err(Undelivered::Failed("PANICKED".to_owned()))
                }
                Err(_) => self.breaker.judge(Err(Undelivered::TimedOut), answers_before, run.is_inline),
            },
            () = self.stopped() => Err(draining()),
        };
        span::end(&span, &result);
        self.metrics.attempted(&result, self.outbox.clock.now() - message.created_at);
        result
    }

    async fn stopped(&self) {
        self.stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }
}

/// Releases the message, whether or not it was delivered. The attempt does not count.
fn draining() -> Undelivered {
    Undelivered::Unavailable("DRAINING".to_owned())
}
